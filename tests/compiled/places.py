"""What `test_prelude` compiles: each function is one place at which a name is looked up."""

from typing import Any, Protocol, final


@final
class Native:
    """A class that is compiled."""

    def __init__(self, value: object) -> None:
        self.value = value

    def told(self, what: object) -> object:
        """Return both."""
        return (self.value, what)


class HasValue(Protocol):
    """What a compiled class can be known as."""

    value: object

    def told(self, what: object) -> object:
        """Return something of its own and what it is told."""


#: What is looked up in this module's namespace, as it is not final.
shared: object = "shared"


def read(it: Any) -> object:
    """Read from whatever has it."""
    return it.value


def read_known(it: HasValue) -> object:
    """Read from what keeps to a protocol."""
    return it.value


def read_named(it: Any, name: str) -> object:
    """Read what is named only now."""
    return getattr(it, name)


def call(it: Any, what: object) -> object:
    """Call a method of whatever has it."""
    return it.told(what)


def call_known(it: HasValue, what: object) -> object:
    """Call a method of what keeps to a protocol."""
    return it.told(what)


def call_with_name(it: Any, what: object) -> object:
    """Call a method with an argument that is named."""
    return it.told(what=what)


def read_shared() -> object:
    """Read what this module has."""
    return shared


def pick(mapping: dict[str, object], key: str) -> object:
    """Read from any dictionary."""
    return mapping[key]


def pick_from_namespace(mapping: dict[str, object], key: str) -> object:
    """Do so where a module's namespace comes first."""
    return mapping[key]


def pick_from_likeness(mapping: dict[str, object], key: str) -> object:
    """Do so where something comes first that looks like a namespace."""
    return mapping[key]
