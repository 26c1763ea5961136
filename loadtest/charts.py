"""Charts as HTML and inline SVG that need no script and fit every width.

Pure module. Only lines are SVG, stretched to the room there is with strokes that
stay as thick; whatever is read is HTML above it, so letters keep their size on a
telephone. Where a pointer rests, a strip of the chart tells its values. Every
string is escaped here and nowhere else.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Final, NamedTuple

from loadtest.axes import Axis
from loadtest.thinning import Point, thin

# The units of the drawing; the page gives them their real size.
_WIDTH: Final = 1000
_HEIGHT: Final = 200
_STRIPS: Final = 80
# A name beyond would leave the page.
_EDGE: Final = 0.96


class Line(NamedTuple):
    """A line, and the class that colours it."""

    name: str
    colour: str
    points: Sequence[Point]
    #: Whether its points are marked, which is for few of them.
    marked: bool = False


class Chart(NamedTuple):
    """Lines over two axes."""

    title: str
    lines: Sequence[Line]
    across: Axis
    up: Axis
    #: How values are told where the pointer rests.
    say_across: Callable[[float], str]
    say_up: Callable[[float | None], str]
    note: str = ""
    #: Something to see across the axis, with its name: the knee.
    mark: tuple[float, str] | None = None

    def html(self) -> str:
        """Return the chart."""
        lines = [line._replace(points=thin(line.points)) for line in self.lines]
        shapes = "".join(_shape(line, self.across, self.up) for line in lines)
        note = " · ".join(
            filter(None, (self.note, "logarithmic scale" if self.up.logarithmic else ""))
        )
        return (
            f'<figure class="chart"><figcaption><b>{escape(self.title)}</b>'
            f"<small>{escape(note)}</small>{_legend(lines)}</figcaption>"
            f'<div class="plot" role="img" aria-label="{escape(self._aloud())}">'
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
            f"{self._grid()}{shapes}</svg>{self._names()}{self._marked()}"
            f"{self._strips(lines)}</div></figure>\n"
        )

    def _aloud(self) -> str:
        highest = (
            f"{line.name} at most {self.say_up(max(known))}"
            for line in self.lines
            if (known := [value for _, value in line.points if value is not None])
        )
        return f"{self.title}: {', '.join(highest) or 'nothing was measured'}"

    def _known(self) -> bool:
        return any(value is not None for line in self.lines for _, value in line.points)

    def _grid(self) -> str:
        across = "".join(f"M{_x(self.across, value)} 0V{_HEIGHT}" for value, _ in self.across.ticks)
        up = "".join(f"M0 {_y(self.up, value)}H{_WIDTH}" for value, _ in self.up.ticks)
        return f'<path class="grid" d="{across}{up}"/>'

    def _names(self) -> str:
        if not self._known():
            return ""
        across = (
            f'<span class="x{" odd" if index % 2 else ""}{" last" if at > _EDGE else ""}" '
            f'style="left:{at:.2%}">{escape(name)}</span>'
            for index, (value, name) in enumerate(self.across.ticks)
            for at in (self.across.position(value),)
        )
        up = (
            f'<span class="y" style="bottom:{self.up.position(value):.2%}">{escape(name)}</span>'
            for value, name in self.up.ticks
        )
        return "".join((*across, *up))

    def _marked(self) -> str:
        if self.mark is None:
            return ""
        value, name = self.mark
        at = self.across.position(value)
        side = " left" if at > 0.6 else ""  # noqa: PLR2004 - its name stays inside
        return f'<div class="mark{side}" style="left:{at:.2%}"><b>{escape(name)}</b></div>'

    def _strips(self, lines: Sequence[Line]) -> str:
        """Return what is told where a pointer rests: the highest in that strip."""
        if not self._known():
            return '<p class="nothing">nothing was measured</p>'
        span = self.across.end - self.across.start
        strips = []
        for index in range(_STRIPS):
            start = self.across.start + span * index / _STRIPS
            end = self.across.start + span * (index + 1) / _STRIPS
            said = [
                f'<i class="{line.colour}"></i>{escape(line.name)} {escape(self.say_up(value))}'
                for line in lines
                if (value := _highest(line.points, start, end)) is not None
            ]
            if said:
                side = ' class="left"' if index >= _STRIPS // 2 else ""
                strips.append(
                    f'<div{side} style="left:{index / _STRIPS:.2%}"><p>'
                    f"<b>{escape(self.say_across(start))}</b>{'<br>'.join(('', *said))}</p></div>"
                )
        return f'<div class="strips" aria-hidden="true">{"".join(strips)}</div>'


def _legend(lines: Iterable[Line]) -> str:
    names = (f'<span><i class="{line.colour}"></i>{escape(line.name)}</span>' for line in lines)
    return f'<div class="legend">{"".join(names)}</div>'


def _shape(line: Line, across: Axis, up: Axis) -> str:
    path, pen_down = [], False
    for at, value in line.points:
        if value is None:
            pen_down = False
            continue
        place = f"{_x(across, at)} {_y(up, value)}"
        # A point alone between gaps is a dot: a line of no length with round ends.
        path.append(f"L{place}" if pen_down else f"M{place}h0")
        pen_down = True
    shape = f'<path class="line {line.colour}" d="{"".join(path)}"/>'
    if line.marked:
        dots = "".join(
            f"M{_x(across, at)} {_y(up, value)}h0" for at, value in line.points if value is not None
        )
        shape += f'<path class="dots {line.colour}" d="{dots}"/>'
    return shape


def _highest(points: Sequence[Point], start: float, end: float) -> float | None:
    first = bisect_left(points, start, key=lambda point: point[0])
    last = bisect_left(points, end, key=lambda point: point[0])
    return max((value for _, value in points[first:last] if value is not None), default=None)


def _x(axis: Axis, value: float) -> str:
    return f"{axis.position(value) * _WIDTH:.1f}"


def _y(axis: Axis, value: float) -> str:
    return f"{(1 - axis.position(value)) * _HEIGHT:.1f}"
