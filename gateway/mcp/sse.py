"""Server-sent events as bytes (WHATWG HTML, "Server-sent events").

Pure module. Data is JSON made by our own encoder, which never has a line break
in it; ids are made here and by `gateway.ids` and are plain ASCII.
"""

from __future__ import annotations

from typing import Final

CONTENT_TYPE: Final = b"text/event-stream"
#: Told to every proxy on the way: neither keep, transform nor buffer this.
HEADERS: Final = ((b"Cache-Control", b"no-cache, no-transform"), (b"X-Accel-Buffering", b"no"))
#: A line that every reader skips: it shows the peer, and what is between, that we live.
COMMENT: Final = b": waiting\n\n"


def message(data: bytes, event_id: str = "") -> bytes:
    """Return one event that carries a JSON-RPC message."""
    if event_id:
        return b"id: %b\nevent: message\ndata: %b\n\n" % (event_id.encode(), data)
    return b"event: message\ndata: %b\n\n" % data


def around(event_id: str = "") -> tuple[bytes, bytes]:
    """Return what stands before and behind the data of such an event.

    For data that is large, of which a copy more takes time.
    """
    before, behind = message(b"?", event_id).split(b"?")
    return before, behind


def priming(event_id: str, retry_milliseconds: int) -> bytes:
    """Return the event that lets a caller resume before it has received anything.

    Its data is empty, so nothing is dispatched, but the id is remembered
    (MCP 2025-11-25, "Sending Messages to the Server", 6).
    """
    return b"id: %b\nretry: %d\ndata: \n\n" % (event_id.encode(), retry_milliseconds)


def event_id(stream_id: str, number: int) -> str:
    """Return the id of a stream's event."""
    return f"{stream_id}-{number}"


def stream_of(last_event_id: str) -> str:
    """Return the stream that an event id of ours belongs to."""
    return last_event_id.rpartition("-")[0]
