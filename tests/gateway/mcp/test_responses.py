"""What callers answer, as it is passed on to the instance that asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.mcp import responses
from gateway.mcp.jsonrpc import Kind, Message, RpcError
from session.model import McpSession

SESSION = McpSession("session", "acme", "ann", "2025-11-25", 0.0)
ID = "0123456789abcdef" * 2


def response(request_id: Any = ID, **said: Any) -> Message:
    return Message(Kind.RESPONSE, request_id, "", {"jsonrpc": "2.0", "id": request_id, **said})


def test_a_response_is_read_as_it_was_written() -> None:
    message = response(result={"action": "accept", "content": {"ä": [1, 2.5, None, True]}})
    read = responses.unpacked(responses.packed(SESSION, message))
    assert read.said == message.params
    assert read.is_of(SESSION)


@pytest.mark.parametrize("other", [{"id": "x"}, {"tenant": "x"}, {"subject": "x"}])
def test_it_is_of_its_session_and_principal_only(other: dict[str, str]) -> None:
    read = responses.unpacked(responses.packed(SESSION, response(result={})))
    assert not read.is_of(replace(SESSION, **other))


@pytest.mark.parametrize(
    "request_id", ["", "x", ID[1:], ID + "0", ID.upper(), " " * 32, "٣" * 32, 1, None]
)
def test_ids_that_we_do_not_make_are_none_of_ours(request_id: Any) -> None:
    assert responses.asked_id(response(request_id, result={})) == ""
    assert responses.asked_id(response(result={})) == ID


@pytest.mark.parametrize(
    "result",
    [
        {"text": "x" * responses.LONGEST},
        # Longer than it looks, when it is written.
        {"text": "\n" * (responses.LONGEST - 1_000)},
        {"x" * responses.LONGEST: 1},
        {"list": [0] * responses.LONGEST},
        {"list": [[""] * 1_000 for _ in range(1_000)]},
        {str(number): {} for number in range(responses.LONGEST)},
    ],
    ids=["text", "escapes", "name", "list", "lists", "members"],
)
def test_what_is_too_long_is_refused_with_what_to_do(result: dict[str, Any]) -> None:
    with pytest.raises(RpcError, match="Send a shorter one") as refused:
        responses.packed(SESSION, response(result=result))
    assert refused.value.status == 413


def test_what_just_fits_is_passed_on() -> None:
    text = "x" * (responses.LONGEST - 200)
    data = responses.packed(SESSION, response(result={"text": text}))
    assert len(data) <= responses.LONGEST
    assert responses.unpacked(data).said["result"]["text"] == text


@pytest.mark.parametrize("data", [b"", b"[]", b'["a","b","c"]', b'["a","b","c",[]]', b"\xff"])
def test_what_another_version_wrote_is_not_read(data: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        responses.unpacked(data)


def test_what_is_too_long_is_refused_before_it_is_written() -> None:
    cannot_be_written = {"text": "x" * responses.LONGEST, "more": object()}
    with pytest.raises(RpcError, match="Send a shorter one"):
        responses.packed(SESSION, response(result=cannot_be_written))
