"""All settings of the process, and where they come from.

Each part declares its settings beside what they configure; here they are
composed, and read from flags, the environment, one TOML file and the defaults,
in this order. Names are derived, never written twice: the setting ``maximum``
of the part ``connections`` is ``--connections-maximum``,
``FRONTEND_ROUTER_CONNECTIONS_MAXIMUM`` and ``maximum`` in ``[connections]``.

It refuses names it does not know, with the nearest that it does, and values out
of their bounds. ``python -m gateway.settings`` writes the table in the README.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import ipaddress
import sys
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from gateway import drain
from gateway.frontends.endpoint import Settings as FrontendsSettings
from gateway.http.access import Settings as AccessSettings
from gateway.http.head import Limits
from gateway.mcp.settings import Settings as McpSettings
from gateway.mcp.tools import Settings as ToolsSettings
from gateway.router import Settings as QuestionsSettings
from pool.connections import Settings as ConnectionsSettings
from pool.settings import Declaration, declarations, setting
from pool.workers import Settings as WorkersSettings
from session import MemorySettings

PREFIX: Final = "FRONTEND_ROUTER_"
_CONFIG: Final = PREFIX + "CONFIG"
_MARKS: Final = ("<!-- settings -->", "<!-- /settings -->")
_LARGEST_PORT: Final = 65_535


class SettingsError(ValueError):
    """A setting cannot be used; the message says which and what to do."""


def _part(settings: type, title: str) -> Any:
    return dataclasses.field(default_factory=settings, metadata={"title": title})


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of the process; the parts are named as their flags begin."""

    host: str = setting("127.0.0.1", "The address the ports are bound to.")
    ws_port: int = setting(
        8080, "Frontends: the inbox and the WebSocket. 0 takes any free port.", minimum=0,
        maximum=_LARGEST_PORT,
    )  # fmt: skip
    mcp_port: int = setting(8081, "Callers: MCP.", minimum=0, maximum=_LARGEST_PORT)
    monitoring_port: int = setting(8082, "Health and metrics.", minimum=0, maximum=_LARGEST_PORT)
    log_level: str = setting(
        "info", "The least important messages that are logged.",
        choices=("debug", "info", "warn", "error", "fatal"),
    )  # fmt: skip
    store: str = setting("memory://", "Where sessions and questions are kept.")
    delivery: str = setting(
        "all", "Who is offered a question that does not say: everybody, or one after the other.",
        choices=("all", "one"),
    )  # fmt: skip
    access: AccessSettings = _part(AccessSettings, "Whose requests are served")
    connections: ConnectionsSettings = _part(ConnectionsSettings, "Connections of all ports")
    http: Limits = _part(Limits, "HTTP requests")
    frontends: FrontendsSettings = _part(FrontendsSettings, "Frontends")
    mcp: McpSettings = _part(McpSettings, "Callers")
    tools: ToolsSettings = _part(ToolsSettings, "The product's tools")
    questions: QuestionsSettings = _part(QuestionsSettings, "Questions")
    memory: MemorySettings = _part(MemorySettings, "The memory store")
    workers: WorkersSettings = _part(WorkersSettings, "The worker nursery")
    drain: drain.Settings = _part(drain.Settings, "Shutting down")


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

    def kind_word(self) -> str:
        """Return what the value is, for ``--help``."""
        if self.kind in (int, float):
            return (self.declaration.unit or "number").upper()
        return "TEXT" if self.kind is str else "A,B,..."

    @property
    def _joined(self) -> str:
        return f"{self.part}_{self.field}" if self.part else self.field

    def parse(self, text: str) -> Any:
        """Return the value that a flag or a variable means."""
        try:
            if self.kind is int:
                return int(text)
            if self.kind is float:
                return float(text)
        except ValueError:
            wanted = "a whole number" if self.kind is int else "a number"
            raise SettingsError(f"{self.flag} takes {wanted}, not {text!r}") from None
        if self.kind is str:
            return text
        return tuple(item.strip() for item in text.split(",") if item.strip())

    def check(self, value: Any) -> Any:
        """Return a value that is within the bounds, of the right type."""
        if self.kind is float and type(value) is int:
            value = float(value)
        if isinstance(value, list):
            value = tuple(value)
        expected = tuple if self.kind not in (int, float, str) else self.kind
        if type(value) is not expected:
            raise SettingsError(f"{self.flag} takes {_WANTED[expected]}, not {value!r}")
        known, unit = self.declaration, self.declaration.unit
        if known.choices and value not in known.choices:
            raise SettingsError(f"{self.flag} is one of {', '.join(known.choices)}, not {value!r}")
        if isinstance(value, (int, float)):
            # Written so that NaN is out of every bound.
            if known.minimum is not None and not value >= known.minimum:
                raise SettingsError(f"{self.flag} is at least {known.minimum:g} {unit}".rstrip())
            if known.maximum is not None and not value <= known.maximum:
                raise SettingsError(f"{self.flag} is at most {known.maximum:g} {unit}".rstrip())
        return value


_WANTED: Final = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list of texts",
}


def names() -> Iterator[Name]:
    """Yield every setting there is, in the order of the declarations."""
    for part, settings in [("", Settings), *_parts()]:
        kinds = typing.get_type_hints(settings)
        for name, (field, declaration) in declarations(settings).items():
            yield Name(part, name, field.default, kinds[name], declaration)


def _parts() -> list[tuple[str, type]]:
    kinds = typing.get_type_hints(Settings)
    return [
        (field.name, kinds[field.name])
        for field in dataclasses.fields(Settings)
        if "title" in field.metadata
    ]


def titles() -> dict[str, str]:
    """Return what each part is about, by its name."""
    fields = dataclasses.fields(Settings)
    return {field.name: field.metadata["title"] for field in fields if "title" in field.metadata}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every setting, grouped by part."""
    groups = {"": parser.add_argument_group("settings")}
    for part, title in titles().items():
        groups[part] = parser.add_argument_group(title.lower())
    groups[""].add_argument("--config", metavar="FILE", help="A TOML file with settings.")
    for name in names():
        help_ = name.declaration.help.replace("%", "%%")
        groups[name.part].add_argument(
            name.flag,
            metavar="|".join(name.declaration.choices) or name.kind_word(),
            help=f"{help_} [{_shown(name)}]",
        )


def load(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Compose the settings.

    Args:
        flags: by argparse's names (``connections_maximum``); ``None`` is absent.
        environment: the process environment.

    Raises:
        SettingsError: a name or a value cannot be used.
    """
    known = {(name.part, name.field): name for name in names()}
    config = flags.get("config") or environment.get(_CONFIG)
    values = _from_file(Path(config), known) if config else {}
    values |= _from_environment(environment)
    for key, name in known.items():
        text = flags.get(name.flag[2:].replace("-", "_"))
        if text is not None:
            values[key] = name.parse(text)
    checked = {key: known[key].check(value) for key, value in values.items()}
    try:
        parts = {
            part: kind(**{field: value for (of, field), value in checked.items() if of == part})
            for part, kind in _parts()
        }
    except ValueError as error:
        raise SettingsError(str(error)) from None
    top = {field: value for (of, field), value in checked.items() if not of}
    return _checked(Settings(**top, **parts))


def _from_environment(environment: Mapping[str, str]) -> dict[tuple[str, str], Any]:
    by_variable = {name.variable: name for name in names()}
    values = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable == _CONFIG:
            continue
        name = by_variable.get(variable)
        if name is None:
            raise SettingsError(_unknown("environment variable", variable, by_variable))
        values[name.part, name.field] = name.parse(text)
    return values


def _from_file(path: Path, known: Mapping[tuple[str, str], Name]) -> dict[tuple[str, str], Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    values: dict[tuple[str, str], Any] = {}
    parts = titles()
    for key, value in tables.items():
        if isinstance(value, dict) and key in parts:
            values |= {(key, field): item for field, item in value.items()}
        else:
            values["", key] = value
    for part, field in values:
        if (part, field) not in known:
            spelled = [f"{p}.{f}" if p else f for p, f in known] + list(parts)
            wrong = f"{part}.{field}" if part else field
            raise SettingsError(f"{path}: " + _unknown("setting", wrong, spelled))
    return values


def _unknown(what: str, name: str, known: Mapping[str, Any] | list[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    return f"there is no {what} {name}; the nearest is {near[0]}"


def nearest_flag(flag: str) -> str:
    """Return the flag that is spelled most like ``flag``."""
    flags = [name.flag for name in names()] + ["--config"]
    return difflib.get_close_matches(flag, flags, n=1, cutoff=0.0)[0]


def _checked(settings: Settings) -> Settings:
    """Refuse what is understood but must not or cannot be done."""
    if settings.store != "memory://":
        raise SettingsError(
            f"--store {settings.store!r} is not served by this version: it keeps everything in "
            "memory (memory://), in one process"
        )
    host = settings.host
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise SettingsError(f"--host takes an IP address, not {host!r}") from None
    if not is_loopback:
        raise SettingsError(
            f"--host {host} would let everybody who reaches it ask and answer, as there are no "
            "credentials. Keep 127.0.0.1, and let others in through something on this machine "
            "that checks who comes: an SSH tunnel, or a reverse proxy with a log-in"
        )
    return settings


def table() -> str:
    """Return all settings as Markdown tables, one for each part."""
    lines: list[str] = []
    part: str | None = None
    for name in names():
        if name.part != part:
            part = name.part
            lines += ["", f"**{titles().get(part, 'The process')}**", ""]
            lines += ["| flag | default | |", "|---|---|---|"]
        lines.append(f"| `{name.flag}` | {_shown(name)} | {name.declaration.help} |")
    return "\n".join(lines[1:])


def _shown(name: Name) -> str:
    value = name.default
    if value in ("", ()):
        return "none"
    unit = name.declaration.unit
    if unit == "bytes" and value >= 1024:  # noqa: PLR2004 - a KiB
        mib, rest = divmod(value, 1024 * 1024)
        return f"{mib} MiB" if not rest else f"{value // 1024} KiB"
    text = f"{value:,}" if isinstance(value, int) else str(value)
    if isinstance(value, float):
        text = f"{value:,g}" if value < 1e6 else f"{value:,.0f}"  # noqa: PLR2004 - no exponent
    return f"{text} {unit}".rstrip()


def main(arguments: list[str]) -> int:
    """Write the table in the README anew, or with ``--check`` see whether it is current."""
    path = Path("README.md")
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_MARKS[0])
    _, end, after = rest.partition(_MARKS[1])
    if not begin or not end:
        print(f"README.md lacks the marks {_MARKS[0]} and {_MARKS[1]}", file=sys.stderr)
        return 1
    current = f"{before}{begin}\n\n{table()}\n\n{end}{after}"
    if "--check" in arguments:
        if text != current:
            print("the settings table in README.md is stale: make docs", file=sys.stderr)
        return int(text != current)
    path.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
