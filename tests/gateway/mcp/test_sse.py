"""Events as bytes."""

from __future__ import annotations

import pytest

from gateway.mcp import sse


def test_an_event_carries_its_message_and_its_id() -> None:
    """In the form that every reader of event streams takes."""
    assert sse.message(b"{}") == b"event: message\ndata: {}\n\n"
    assert sse.message(b"{}", "s-1") == b"id: s-1\nevent: message\ndata: {}\n\n"


def test_the_priming_event_has_an_id_and_no_data() -> None:
    """So that a caller can resume before it has received anything."""
    assert sse.priming("s-0", 1500) == b"id: s-0\nretry: 1500\ndata: \n\n"


def test_an_event_id_tells_its_stream() -> None:
    """Also when the stream's id has a hyphen; what is no event id names no stream."""
    assert sse.stream_of(sse.event_id("a-b", 7)) == "a-b"
    assert sse.stream_of("nonsense") == ""


@pytest.mark.parametrize("event_id", ["", "s-1"])
def test_what_stands_around_large_data_makes_the_same_event(event_id: str) -> None:
    before, behind = sse.around(event_id)
    assert before + b'{"a":1}' + behind == sse.message(b'{"a":1}', event_id)
