"""Envelopes: what is a message, and what a reply looks like."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.mcp import jsonrpc
from gateway.mcp.jsonrpc import Kind, MalformedError

_BIG = 2**53


def _request(**more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "ping", **more}


@pytest.mark.parametrize(
    ("value", "kind", "request_id"),
    [
        (_request(), Kind.REQUEST, 1),
        (_request(id="a"), Kind.REQUEST, "a"),
        (_request(id=""), Kind.REQUEST, ""),
        (_request(id=0), Kind.REQUEST, 0),
        (_request(id=-_BIG + 1), Kind.REQUEST, -_BIG + 1),
        (_request(extra=1), Kind.REQUEST, 1),
        ({"jsonrpc": "2.0", "method": "notifications/initialized"}, Kind.NOTIFICATION, None),
        ({"jsonrpc": "2.0", "id": 5, "result": {}}, Kind.RESPONSE, 5),
        ({"jsonrpc": "2.0", "id": "x", "error": {"code": 1}}, Kind.RESPONSE, "x"),
        ({"jsonrpc": "2.0", "error": {"code": 1}}, Kind.RESPONSE, None),
    ],
)
def test_a_message_is_known_by_its_members(
    value: dict[str, Any], kind: Kind, request_id: object
) -> None:
    """A method with an id asks, one without tells, and a result answers."""
    message = jsonrpc.check(value)
    assert (message.kind, message.id) == (kind, request_id)


@pytest.mark.parametrize(
    ("value", "request_id"),
    [
        ("text", None),
        (None, None),
        (7, None),
        ({}, None),
        (_request(jsonrpc="1.0"), 1),
        ({"id": 1, "method": "ping"}, 1),
        (_request(id=None), None),
        (_request(id=True), None),
        (_request(id=1.0), None),
        (_request(id=1.5), None),
        (_request(id=[1]), None),
        (_request(id=_BIG), None),
        (_request(id=-_BIG), None),
        (_request(id="x" * 257), None),
        (_request(method=5), None),
        (_request(method=None), None),
        (_request(params=[]), 1),
        (_request(params=None), 1),
        (_request(params="x"), 1),
        (_request(result={}), 1),
        (_request(error={}), 1),
        (_request(Method="tools/call"), 1),
        (_request(ID=2), 1),
        (_request(PARAMS={}), 1),
        ({"jsonrpc": "2.0", "id": 1}, None),
        ({"jsonrpc": "2.0", "id": 1, "result": {}, "error": {}}, None),
        ({"jsonrpc": "2.0", "id": True, "result": {}}, None),
        ({"jsonrpc": "2.0", "result": {}}, None),
    ],
)
def test_what_is_no_message_is_refused_with_its_id(value: object, request_id: object) -> None:
    """The id comes back as far as it can be read, so that its sender knows what failed."""
    with pytest.raises(MalformedError) as caught:
        jsonrpc.check(value)
    assert caught.value.code == jsonrpc.INVALID_REQUEST
    assert caught.value.request_id == request_id


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"{} {}",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 70 + b"1" + b"}" * 70,
    ],
)
def test_what_readers_would_read_differently_is_a_parse_error(body: bytes) -> None:
    """Nothing of it is used."""
    with pytest.raises(MalformedError) as caught:
        jsonrpc.decode(body)
    assert caught.value.code == jsonrpc.PARSE_ERROR


@pytest.mark.parametrize("request_id", [1, -5, 0, "a", 'ä\n"', ""])
def test_an_id_comes_back_as_it_was(request_id: str | int) -> None:
    """Of the same type and value."""
    reply = jsonrpc.result_bytes(jsonrpc.id_bytes(request_id), b'{"x":1}')
    assert json.loads(reply) == {"jsonrpc": "2.0", "id": request_id, "result": {"x": 1}}


def test_an_error_without_an_id_has_no_such_member_unless_it_must_be_null() -> None:
    """MCP's schema knows no null id; a batch of JSON-RPC 2.0 does."""
    assert "id" not in json.loads(jsonrpc.error_bytes(None, -1, "m"))
    assert json.loads(jsonrpc.error_bytes(None, -1, "m", null_id=True))["id"] is None
    assert json.loads(jsonrpc.error_bytes(b"4", -1, "m", {"d": 1})) == {
        "jsonrpc": "2.0",
        "id": 4,
        "error": {"code": -1, "message": "m", "data": {"d": 1}},
    }


def test_a_notification_carries_its_parameters() -> None:
    """And no id."""
    assert json.loads(jsonrpc.notification_bytes("m", {"a": 1})) == {
        "jsonrpc": "2.0",
        "method": "m",
        "params": {"a": 1},
    }


@pytest.mark.parametrize("value", ["", "x" * 256, 0, 2**53 - 1, -(2**53) + 1])
def test_what_a_request_can_be_called(value: object) -> None:
    assert jsonrpc.is_id(value)


@pytest.mark.parametrize("value", ["x" * 257, 2**53, -(2**53), 1.0, True, None, [1], {}])
def test_what_no_request_can_be_called(value: object) -> None:
    assert not jsonrpc.is_id(value)


def test_a_batch_is_sorted_into_messages_and_errors() -> None:
    """One bad message does not spoil the others; `initialize` never comes in a batch."""
    messages, errors = jsonrpc.check_batch(
        [_request(), 5, _request(id=2, method="initialize"), {"jsonrpc": "2.0", "method": "n"}]
    )
    assert [message.id for message in messages] == [1, None]
    assert [json.loads(error)["id"] for error in errors] == [None, 2]
