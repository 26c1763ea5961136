"""What each setting is called in each place, and which values it takes.

Pure module. Names are derived, never written twice: the setting ``maximum`` of
the part ``connections`` is ``--connections-maximum``,
``FRONTEND_ROUTER_CONNECTIONS_MAXIMUM`` and ``maximum`` in ``[connections]``. It
refuses to know where a value comes from beyond the words for it in an error.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pool.settings import Declaration, declarations

PREFIX: Final = "FRONTEND_ROUTER_"
_WANTED: Final = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list of texts",
}
# How units are written behind a multiple of 1,024.
_SHORT: Final = {"bytes": "B", "characters": " characters"}
_KIB: Final = 1024
_MIB: Final = 1024 * 1024


class SettingsError(ValueError):
    """A setting cannot be used; the message says which and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """One setting: its part (empty at the top), its field, and what is known of it."""

    part: str
    field: str
    default: Any
    kind: Any
    declaration: Declaration

    @property
    def flag(self) -> str:
        """Return the command-line flag."""
        return "--" + self._joined.replace("_", "-")

    @property
    def variable(self) -> str:
        """Return the environment variable."""
        return PREFIX + self._joined.upper()

    @property
    def key(self) -> str:
        """Return the name in a TOML file, with its table before a dot."""
        return f"{self.part}.{self.field}" if self.part else self.field

    @property
    def _joined(self) -> str:
        return f"{self.part}_{self.field}" if self.part else self.field

    @property
    def _type(self) -> type:
        return self.kind if self.kind in (int, float, str) else tuple

    def value_word(self) -> str:
        """Return what stands for the value in ``--help``."""
        if self.declaration.choices:
            return "|".join(self.declaration.choices)
        if self._type in (int, float):
            return (self.declaration.unit or "number").upper()
        return "TEXT" if self._type is str else "A,B,..."

    def shown_default(self) -> str:
        """Return the default as a person would say it."""
        value, unit = self.default, self.declaration.unit
        if value in ("", ()):
            return "none"
        if isinstance(value, tuple):
            return ",".join(value)
        if not unit or isinstance(value, str):
            return str(value)
        if unit in _SHORT and value >= _KIB and value % _KIB == 0:
            many = f"{value // _MIB} Mi" if value % _MIB == 0 else f"{value // _KIB} Ki"
            return many + _SHORT[unit]
        if isinstance(value, float) and not value.is_integer():
            return f"{value:,} {unit}"
        return f"{int(value):,} {unit}"

    def parse(self, text: str, source: str) -> Any:
        """Return the value that a flag or a variable means.

        Raises:
            SettingsError: it means none, or one out of bounds; it begins with ``source``.
        """
        if self._type is str:
            return self.check(text, source)
        if self._type is tuple:
            items = (item.strip() for item in text.split(","))
            return self.check(tuple(item for item in items if item), source)
        try:
            value = self._type(text)
        except ValueError:
            raise SettingsError(f"{source} takes {_WANTED[self._type]}, not {text!r}") from None
        return self.check(value, source)

    def check(self, value: Any, source: str) -> Any:
        """Return a value that is of the right type and within the bounds.

        Raises:
            SettingsError: it is not; the message begins with ``source``.
        """
        expected = self._type
        if expected is float and type(value) is int:
            value = float(value)
        if expected is tuple and isinstance(value, list):
            value = tuple(value)
        is_right = type(value) is expected
        if expected is tuple and is_right:
            is_right = all(isinstance(item, str) for item in value)
        if not is_right:
            raise SettingsError(f"{source} takes {_WANTED[expected]}, not {value!r}")
        choices = self.declaration.choices
        if choices and value not in choices:
            raise SettingsError(f"{source} is one of {', '.join(choices)}, not {value!r}")
        if expected in (int, float):
            self._check_bounds(value, source)
        return value

    def _check_bounds(self, value: float, source: str) -> None:
        known = self.declaration
        unit = f" {known.unit}" if known.unit else ""
        # "inf" and "nan" are floats, and no limit at all.
        if not math.isfinite(value):
            raise SettingsError(f"{source} takes a finite number{unit and ' of' + unit}")
        if known.minimum is not None and value < known.minimum:
            raise SettingsError(f"{source} is at least {known.minimum:,}{unit}, not {value:,}")
        if known.maximum is not None and value > known.maximum:
            raise SettingsError(f"{source} is at most {known.maximum:,}{unit}, not {value:,}")


def names_of(composed: type) -> Iterator[Name]:
    """Yield every setting of a composed dataclass, in the order of the declarations.

    A field with a declaration is a setting of its own; one with a ``title`` in
    its metadata is a part: a dataclass of settings.
    """
    for part, settings in [("", composed), *parts_of(composed).items()]:
        kinds = typing.get_type_hints(settings)
        for name, (field, declaration) in declarations(settings).items():
            yield Name(part, name, field.default, kinds[name], declaration)


def parts_of(composed: type) -> dict[str, type]:
    """Return the dataclass of each part, by the part's name."""
    kinds = typing.get_type_hints(composed)
    return {name: kinds[name] for name in titles_of(composed)}


def titles_of(composed: type) -> dict[str, str]:
    """Return what each part is about, by its name."""
    return {
        field.name: field.metadata["title"]
        for field in dataclasses.fields(composed)
        if "title" in field.metadata
    }


def part(settings: type, title: str) -> Any:
    """Declare a field of a composed dataclass: the settings of one part."""
    return dataclasses.field(default_factory=settings, metadata={"title": title})


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return the complaint about a name that is not ``known``, with the nearest that is."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    return f"there is no {what} {name}; the nearest is {nearest[0]}"
