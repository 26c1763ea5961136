"""What a chart shows, and that it shows nothing else."""

from __future__ import annotations

import re

from loadtest import axes, figures
from loadtest.charts import Chart, Line
from loadtest.thinning import Point

EVIL = '<script>alert("1")</script>&\'"'


def chart(*lines: Line, title: str = "t", mark: tuple[float, str] | None = None) -> Chart:
    return Chart(
        title=title,
        lines=lines,
        across=axes.times(0.0, 10.0, figures.clock),
        up=axes.linear([10.0], figures.count, axes.whole),
        say_across=figures.clock,
        say_up=figures.count,
        note=title,
        mark=mark,
    )


def drawn(html: str) -> list[str]:
    return re.findall(r'<path class="line [^"]*" d="([^"]*)"', html)


def test_a_line_goes_through_its_points() -> None:
    assert chart().up.end == 12
    html = chart(Line("l", "a", [(0.0, 0.0), (5.0, 6.0), (10.0, 12.0)])).html()
    assert drawn(html) == ["M0.0 200.0h0L500.0 100.0L1000.0 0.0"]


def test_what_is_not_known_is_a_gap_and_a_point_alone_a_dot() -> None:
    points: list[Point] = [(0.0, 0.0), (1.0, None), (2.0, 6.0), (3.0, None), (4.0, 6.0)]
    assert drawn(chart(Line("l", "a", points)).html()) == [
        "M0.0 200.0h0M200.0 100.0h0M400.0 100.0h0"
    ]


def test_points_of_few_are_marked() -> None:
    html = chart(Line("l", "a", [(0.0, 0.0), (1.0, None), (10.0, 12.0)], marked=True)).html()
    assert '<path class="dots a" d="M0.0 200.0h0M1000.0 0.0h0"/>' in html


def test_a_strip_tells_the_highest_of_its_moment() -> None:
    html = chart(Line("l", "a", [(5.0, 3.0), (5.01, 9.0), (5.02, None)])).html()
    (told,) = re.findall(r"<p><b>0:05</b>.*?</p>", html)
    assert told == '<p><b>0:05</b><br><i class="a"></i>l 9</p>'


def test_it_is_told_aloud_as_well() -> None:
    assert 'aria-label="t: l at most 9"' in chart(Line("l", "a", [(5.0, 9.0)])).html()
    assert 'aria-label="t: nothing was measured"' in chart(Line("l", "a", [])).html()


def test_where_nothing_is_known_nothing_is_named() -> None:
    html = chart(Line("l", "a", [(1.0, None)])).html()
    assert "nothing was measured</p>" in html
    assert 'class="y"' not in html


def test_a_mark_has_its_name_on_the_side_where_there_is_room() -> None:
    line = Line("l", "a", [(0.0, 1.0)])
    assert (
        '<div class="mark" style="left:20.00%"><b>here</b>'
        in chart(line, mark=(2.0, "here")).html()
    )
    assert '<div class="mark left"' in chart(line, mark=(9.0, "here")).html()


def test_every_string_is_escaped() -> None:
    html = chart(Line(EVIL, "a", [(0.0, 1.0)]), title=EVIL, mark=(1.0, EVIL)).html()
    assert "<script" not in html
    assert 'alert("1")' not in html


def test_a_day_is_drawn_with_few_points_among_them_the_highest() -> None:
    points: list[Point] = [(at / 8_640, 1.0 + at % 2) for at in range(86_400)]
    points[40_000] = (points[40_000][0], 12.0)
    html = chart(Line("l", "a", points)).html()
    (path,) = drawn(html)
    assert path.count("L") < 600
    assert " 0.0L" in path
