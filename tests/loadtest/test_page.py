"""One page, complete in itself, whatever a run was like."""

from __future__ import annotations

from html.parser import HTMLParser

import msgspec
import pytest

from loadtest import page
from loadtest.result import Result, Truth, Verdict
from tests.loadtest.example import broken, empty, find_limit, result, sample

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
VOID = {"meta", "path"}


class Page(HTMLParser):
    """Its text, its tags and all that they were given; every tag has its end."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in VOID and tag != "br":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


RUNS = pytest.mark.parametrize("run", [result(), broken(), find_limit(), empty()])


@RUNS
def test_nothing_of_it_is_anywhere_else(run: Result) -> None:
    html = page.render(run)
    assert not Page(html).tags & {"script", "link", "img", "iframe", "object", "use", "image"}
    assert not Page(html).attributes & {"src", "href", "xlink:href", "onload", "onclick"}
    assert "default-src 'none'" in html
    assert "url(" not in html
    assert "@import" not in html
    assert "//" not in html.replace("</", "")


@RUNS
def test_no_figure_is_not_a_number(run: Result) -> None:
    html = page.render(run)
    assert "nan" not in html.replace("instance", "")
    assert "None" not in html
    assert "inf" not in html


def test_a_good_run_is_said_to_be_one() -> None:
    said = Page(page.render(result())).text
    assert "All is well: 120,000 asked, 120,000 answered, nothing went wrong." in said
    assert "Always zero: connections blocked." in said


def test_what_was_broken_comes_first() -> None:
    said = Page(page.render(broken())).text
    first = said.index("The client was the limit, not the server.")
    assert first < said.index("17 of 120,000 questions went wrong.")
    assert said.index("Requirements that do not hold:lost==0") < said.index("Latency over time")
    assert "All is well" not in said


def test_a_requirement_alone_keeps_a_run_from_being_well() -> None:
    verdict = Verdict(requirement="p99<1ms", found="5 ms", held=False)
    said = Page(page.render(result(verdicts=[verdict]))).text
    assert "All is well" not in said


def test_a_search_shows_its_steps_and_its_knee() -> None:
    said = Page(page.render(find_limit())).text
    assert said.index("4,000/s held") < said.index("Rates that were tried")
    assert "client CPUserver CPU" in said
    assert "025%73%held" in said
    assert "Rates that were tried" not in page.render(result())


def test_an_empty_run_is_a_page() -> None:
    said = Page(page.render(empty())).text
    assert "Nothing was asked." in said
    assert "All is well" not in said


def test_every_string_of_a_result_is_only_text() -> None:
    run = msgspec.structs.replace(
        find_limit(),
        scenario=EVIL,
        began=EVIL,
        conditions={EVIL: EVIL},
        truth=Truth(asked=1, refused={EVIL: 1}),
        client=msgspec.structs.replace(result().client, bottleneck=EVIL),
        server=[
            msgspec.structs.replace(sample(at, EVIL), queues={EVIL: 1.0, EVIL + EVIL: 0.0})
            for at in range(3)
        ],
        verdicts=[Verdict(requirement=EVIL, found=EVIL, held=False)],
    )
    read = Page(page.render(run))
    assert not read.tags & {"script", "img"}
    assert read.text.count(EVIL) >= 9


@pytest.mark.slow
def test_a_day_of_slices_is_a_page_that_can_be_mailed() -> None:
    html = page.render(result(seconds=86_400))
    assert len(html) < 500_000
    assert "24:00:00" in html
