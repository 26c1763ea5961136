"""What is wrong with the store is logged as it begins and as it ends, and not in between."""

from __future__ import annotations

import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from gateway.outages import Outages

Found = dict[tuple[str, str], str]

ONE = ("store_away", "10.0.0.1:6379")
OTHER = ("store_away", "10.0.0.2:6379")
REFUSAL = ("store_refuses", "10.0.0.1:6379")


def test_each_trouble_is_logged_once_and_once_when_it_is_over() -> None:
    found: Found = {}
    outages = Outages(lambda: found)
    with capture_logs() as lines:
        outages.look(0.0)
        assert lines == []
        found[ONE] = "cannot be reached"
        outages.look(1.0)
        # What every other attempt comes to is the same outage.
        found[ONE] = "did not answer in time"
        outages.look(2.0)
        found[OTHER] = "wrong password"
        outages.look(3.0)
        del found[ONE]
        outages.look(3.5)
        outages.look(4.0)
        found.clear()
        outages.look(5.0)
    assert [tuple(line.values()) for line in lines] == [
        ("10.0.0.1:6379", "cannot be reached", "store_away", "error"),
        ("10.0.0.2:6379", "wrong password", "store_away", "error"),
        ("10.0.0.1:6379", 2.5, "store_back", "info"),
        ("10.0.0.2:6379", 2.0, "store_back", "info"),
    ]


def test_a_node_that_refuses_something_is_not_away() -> None:
    found: Found = {REFUSAL: "its memory is full"}
    outages = Outages(lambda: found)
    with capture_logs() as lines:
        outages.look(0.0)
        found[ONE] = "cannot be reached"
        outages.look(1.0)
        found.clear()
        outages.look(2.0)
    events = [line["event"] for line in lines]
    assert events[:2] == ["store_refuses", "store_away"]
    assert sorted(events[2:]) == ["store_back", "store_refuses_no_more"]


def test_an_outage_that_comes_again_is_another_one() -> None:
    found: Found = {}
    outages = Outages(lambda: found)
    with capture_logs() as lines:
        for second in range(4):
            found.clear()
            if second % 2:
                found[ONE] = "cannot be reached"
            outages.look(float(second))
    assert [line["event"] for line in lines] == ["store_away", "store_back", "store_away"]


async def test_it_looks_by_itself(autojump_clock: MockClock) -> None:
    found: Found = {}
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Outages(lambda: found).run)
            await trio.sleep(1)
            found[ONE] = "cannot be reached"
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
    assert [line["event"] for line in lines] == ["store_away"]
