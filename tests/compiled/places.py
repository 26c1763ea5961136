"""What `test_prelude` compiles: each function is one place at which an attribute is read."""

from typing import Any, Protocol, final


@final
class Native:
    """A class that is compiled."""

    def __init__(self, value: object) -> None:
        self.value = value


class HasValue(Protocol):
    """What a compiled class can be known as."""

    value: object


def read(it: Any) -> object:
    """Read from whatever has it."""
    return it.value


def read_known(it: HasValue) -> object:
    """Read from what keeps to a protocol."""
    return it.value


def read_named(it: Any, name: str) -> object:
    """Read what is named only now."""
    return getattr(it, name)
