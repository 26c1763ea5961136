"""What is sent is what the protocols want, whatever the token."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.frames import Frame
from websockets.streams import StreamReader

from loadtest import requests
from loadtest.places import mcp_place

PLACE = mcp_place(8081)


def _read(request: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /mcp HTTP/1.1"
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    assert int(headers["content-length"]) == len(body)
    return headers, json.loads(body)


def test_a_modern_question_says_in_its_headers_what_it_says_in_its_body() -> None:
    template = requests.ask_template(PLACE, requests.MODERN, arguments={"delivery": "all"})
    headers, message = _read(template.fill(b"1234567890123"))
    assert message["id"] == 1234567890123
    arguments = message["params"]["arguments"]
    assert arguments == {"question": "1234567890123", "timeout_seconds": 60, "delivery": "all"}
    assert headers["mcp-protocol-version"] == "2026-07-28"
    assert (headers["mcp-method"], headers["mcp-name"]) == ("tools/call", "ask_user")
    assert message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"


def test_a_question_of_the_handshake_era_names_its_session() -> None:
    template = requests.ask_template(PLACE, requests.HANDSHAKE, b"abc")
    headers, message = _read(template.fill(b"1234567890123"))
    assert headers["mcp-session-id"] == "abc"
    assert headers["host"] == "127.0.0.1:8081"
    assert "_meta" not in message["params"]


def test_who_never_initialized_names_no_session() -> None:
    headers, _ = _read(requests.ask_template(PLACE, requests.HANDSHAKE).fill(b"1234567890123"))
    assert "mcp-session-id" not in headers


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535])
def test_frames_are_read_by_websockets(size: int) -> None:
    reader = StreamReader()
    reader.feed_data(requests.frame(b"x" * size))
    parsing = Frame.parse(reader.read_exact, mask=True)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    assert done.value.value.data == b"x" * size
    assert done.value.value.fin


def test_who_has_a_credential_shows_it_on_each_way_in() -> None:
    place = PLACE._replace(token="fr_x")
    headers, _ = _read(requests.list_tools(place))
    assert headers["authorization"] == "bearer fr_x"
    assert b"\r\nAuthorization: Bearer fr_x\r\n\r\n" in requests.upgrade(place)
    assert b"Authorization" not in requests.upgrade(PLACE) + requests.list_tools(PLACE)
