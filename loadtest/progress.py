"""How a run goes, while it goes.

On a terminal one line that is written anew with every slice; elsewhere, as in a
log, a line every few seconds. It keeps no clock: time is what the slices say.
It refuses to scroll a terminal away, so a line is never longer than its width,
and what matters least is left out first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TextIO, final

from loadtest import figures
from loadtest.attendance import Attendance
from loadtest.readings import greatest
from loadtest.result import Slice

_EVERY_SECONDS: Final = 5.0
_USUAL_WIDTH: Final = 80
_BAR: Final = range(8, 31)
_RED: Final = "\x1b[31m"
_DIM: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"
_ERASE_REST: Final = "\x1b[K"


class _Part(NamedTuple):
    text: str
    colour: str = ""


@final
class Progress:
    """Shows the slices of a run of ``seconds``, or of nobody knows how long."""

    def __init__(
        self, stream: TextIO, seconds: float | None, *, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._stream = stream
        self._seconds = seconds
        self._live = stream.isatty() and environ.get("TERM", "") != "dumb"
        # https://no-color.org: set, and not to nothing.
        self._coloured = self._live and not environ.get("NO_COLOR")
        self._full, self._rest = _bar_letters(stream)
        self._failed = 0
        self._pending: list[Slice] = []
        self._since = 0.0
        self._is_open = False
        self._connecting_since = 0.0

    def connecting(self, seconds: float, attendance: Attendance) -> None:
        """Show who is connected after so many seconds."""
        if self._live:
            # One column stays free, as below.
            said = str(attendance)[: max(self._width() - 1, 0)]
            self._stream.write(f"\r{said}{_ERASE_REST}")
            self._is_open = True
        elif seconds - self._connecting_since >= _EVERY_SECONDS:
            self._stream.write(f"{attendance}\n")
            self._connecting_since = seconds
        else:
            return
        self._stream.flush()

    def update(self, slice: Slice) -> None:  # noqa: A002 - it is what a slice is called here
        """Show what is new."""
        self._failed += slice.failed
        self._pending.append(slice)
        now = slice.at + slice.seconds
        if self._live:
            self._stream.write(f"\r{self._fitted(now)}{_ERASE_REST}")
            self._is_open = True
        elif now - self._since >= _EVERY_SECONDS:
            self._write_line(now)
        else:
            return
        self._stream.flush()
        self._pending.clear()
        self._since = now

    def finish(self) -> None:
        """Leave the last line standing. Nothing happens when there is none, or twice."""
        if self._live and self._is_open:
            self._stream.write("\n")
        elif not self._live and self._pending:
            last = self._pending[-1]
            self._write_line(last.at + last.seconds)
        self._stream.flush()
        self._pending = []
        self._is_open = False

    def _write_line(self, now: float) -> None:
        self._stream.write("  ".join(part.text for part in self._parts(now)) + "\n")

    def _parts(self, now: float) -> list[_Part]:
        """Return what there is to say, what matters most first."""
        fresh = self._pending[-1:] if self._live else self._pending
        last, spent = fresh[-1], sum(each.seconds for each in fresh)
        clock = figures.clock(now)
        if self._seconds is not None:
            clock += f" / {figures.clock(self._seconds)}"
        errors = _Part(f"errors {self._failed:,}", _RED if self._failed else "")
        rate = sum(each.answered for each in fresh) / spent if spent > 0 else None
        return [
            _Part(clock),
            _Part(f"{figures.rate(rate):>9}"),
            errors,
            # The worst of them: a log that shows every fifth second shall hide no stall.
            _Part(f"p99 {figures.milliseconds(greatest(each.p99 for each in fresh)):>7}"),
            _Part(f"p50 {figures.milliseconds(greatest(each.p50 for each in fresh)):>7}"),
            _Part(f"in flight {last.in_flight:,}"),
        ]

    def _fitted(self, now: float) -> str:
        # A letter in the last column makes some terminals wrap.
        room = self._width() - 1
        parts = self._parts(now)
        while len(parts) > 1 and _length(parts) > room:
            parts.pop()
        if _length(parts) > room:
            return parts[0].text[: max(room, 0)]
        first, *others = map(self._painted, parts)
        bar = self._bar(now, room - _length(parts) - 2)
        return "  ".join((first, *bar, *others))

    def _bar(self, now: float, room: int) -> list[str]:
        """Return how far it is, if that is known and fits in ``room``."""
        if not self._seconds or room < _BAR[0]:
            return []
        width = min(room, _BAR[-1])
        full = min(width, int(width * now / self._seconds))
        return [self._full * full + self._painted(_Part(self._rest * (width - full), _DIM))]

    def _painted(self, part: _Part) -> str:
        if not self._coloured or not part.colour:
            return part.text
        return f"{part.colour}{part.text}{_PLAIN}"

    def _width(self) -> int:
        # Asked each time, for people make windows smaller while they wait.
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _USUAL_WIDTH
        except OSError:
            return _USUAL_WIDTH


def _length(parts: Sequence[_Part]) -> int:
    return sum(len(part.text) for part in parts) + 2 * (len(parts) - 1)


def _bar_letters(stream: TextIO) -> tuple[str, str]:
    try:
        "━─".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return "#", "-"
    return "━", "─"
