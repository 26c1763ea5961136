"""The table of all settings in the README, written from their declarations.

``python -m gateway.settings_table`` writes it anew between its two marks;
``--check`` only says whether it is current. It refuses a file without marks.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from gateway.setting_names import titles_of
from gateway.settings import Settings, names

_MARKS: Final = ("<!-- settings -->", "<!-- /settings -->")
_FAILED: Final = 1


def table() -> str:
    """Return all settings as Markdown tables, one for each part."""
    titles = titles_of(Settings)
    lines: list[str] = []
    part: str | None = None
    for name in names():
        if name.part != part:
            part = name.part
            lines += ["", f"**{titles.get(part, 'The process')}**", ""]
            lines += ["| flag | default | |", "|---|---|---|"]
        help_ = name.declaration.help.replace("|", "\\|")
        lines.append(f"| `{name.flag}` | {name.shown_default()} | {help_} |")
    return "\n".join(lines[1:])


def renewed(text: str) -> str:
    """Return ``text`` with the current table between its marks.

    Raises:
        ValueError: there are no marks.
    """
    before, begin, rest = text.partition(_MARKS[0])
    _, end, after = rest.partition(_MARKS[1])
    if not end:
        raise ValueError(f"there is no table to renew: {' and '.join(_MARKS)} mark its place")
    return f"{before}{begin}\n\n{table()}\n\n{end}{after}"


def main(arguments: list[str], path: Path = Path("README.md")) -> int:
    """Renew the table in ``path``, or see whether it is current. Returns the exit status."""
    text = path.read_text(encoding="utf-8")
    try:
        current = renewed(text)
    except ValueError as error:
        print(f"{path}: {error}", file=sys.stderr)
        return _FAILED
    if "--check" not in arguments:
        path.write_text(current, encoding="utf-8")
    elif text != current:
        print(f"{path}: the settings table is stale: make docs", file=sys.stderr)
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
