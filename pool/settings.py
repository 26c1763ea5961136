"""How a setting is declared beside what it configures.

Pure module: a declaration is a dataclass field whose metadata carries the help
text, the unit and the bounds. ``gateway.settings`` composes the dataclasses and
derives flags, environment names, the TOML keys and the README table from them.
It refuses to read any of those itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

_KEY: Final = "setting"


@dataclasses.dataclass(frozen=True, slots=True)
class Declaration:
    """What a person has to know of one setting.

    ``minimum`` and ``maximum`` are inclusive. ``unit`` is a word for people
    ("seconds", "bytes", "connections"); an empty one means a plain number.
    """

    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def setting(default: Any, help: str, **more: Any) -> Any:  # noqa: A002 - argparse's word for it
    """Declare a dataclass field as a setting with its ``default``."""
    return dataclasses.field(default=default, metadata={_KEY: Declaration(help, **more)})


def declarations(settings: type) -> dict[str, tuple[dataclasses.Field[Any], Declaration]]:
    """Return every declared setting of a dataclass by field name, in order."""
    return {
        field.name: (field, field.metadata[_KEY])
        for field in dataclasses.fields(settings)
        if _KEY in field.metadata
    }
