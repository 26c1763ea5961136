"""What a head alone says."""

from __future__ import annotations

import base64
import json

import pytest

from gateway.http.messages import Head
from gateway.mcp.heads import Action, Era, Facts, decode_value

BOTH = b"application/json, text/event-stream"


def _facts(method: str = "POST", **headers: bytes) -> Facts:
    fields = {b"content-type": b"application/json", b"accept": BOTH}
    fields |= {name.replace("_", "-").encode(): value for name, value in headers.items()}
    given = {name: value for name, value in fields.items() if value != b"-"}
    return Facts(Head(method, "/mcp", "", given, keep_alive=True, body_length=0))


def _status(facts: Facts) -> int | None:
    return None if facts.refusal is None else facts.refusal.status


@pytest.mark.parametrize(
    ("accept", "json_too", "sse_too"),
    [
        (b"-", True, False),
        (b"*/*", True, False),
        (b"application/json", True, False),
        (b"text/event-stream", False, True),
        (b"text/*", False, True),
        (BOTH, True, True),
        (b"Application/JSON;q=0.5 , TEXT/event-stream;v=1", True, True),
        (b"application/json, text/event-stream;q=0", True, False),
        (b"application/json;q=0.0, text/event-stream", False, True),
        (b"*/*;q=0.001", True, False),
    ],
)
def test_accept_says_what_may_be_sent(accept: bytes, json_too: bool, sse_too: bool) -> None:
    """A stream is only for those who name it."""
    facts = _facts(accept=accept)
    assert (facts.accepts_json, facts.accepts_sse) == (json_too, sse_too)
    assert facts.refusal is None


@pytest.mark.parametrize("accept", [b"text/html", b"", b"application/json;q=0"])
def test_who_accepts_neither_form_gets_406(accept: bytes) -> None:
    """With the words that help."""
    facts = _facts(accept=accept)
    assert _status(facts) == 406
    assert facts.refusal is not None
    assert b"text/event-stream" in facts.refusal.body


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (b"application/json", None),
        (b"application/json; charset=utf-8", None),
        (b'Application/JSON;charset="UTF-8"', None),
        (b"application/json; charset=latin-1", 415),
        (b"text/plain", 415),
        (b"application/x-www-form-urlencoded", 415),
        (b"multipart/form-data", 415),
        (b"application/jsonp", 415),
        (b"", 415),
        (b"-", 415),
    ],
)
def test_only_json_is_a_body(content_type: bytes, status: int | None) -> None:
    """What a page can post without asking (text/plain, forms) never counts (checklist A2)."""
    assert _status(_facts(content_type=content_type)) == status


def test_a_body_is_compressed_once_at_most_and_by_what_is_known() -> None:
    assert _facts(content_encoding=b"GZIP").coding == b"gzip"
    assert _facts(content_encoding=b"zstd").coding == b"zstd"
    assert _facts(content_encoding=b"identity").coding == b""
    for coding in (b"br", b"gzip, gzip", b"zstd, gzip", b"deflate"):
        refusal = _facts(content_encoding=coding).refusal
        assert refusal is not None
        assert refusal.status == 415
        assert (b"Accept-Encoding", b"zstd, gzip") in refusal.headers


@pytest.mark.parametrize(
    ("version", "session", "era"),
    [
        (b"2026-07-28", b"-", Era.MODERN),
        (b"2026-07-28", b"s", Era.MODERN),
        (b"2025-11-25", b"-", Era.HANDSHAKE),
        (b"2025-06-18", b"s", Era.HANDSHAKE),
        (b"2025-03-26", b"s", Era.HANDSHAKE),
        (b"-", b"s", Era.HANDSHAKE),
        (b"-", b"-", Era.UNKNOWN),
        (b"2024-11-05", b"s", Era.UNKNOWN),
        (b"1900-01-01", b"-", Era.UNKNOWN),
        (b"2026-07-28 ", b"-", Era.UNKNOWN),
        (b"\xff", b"-", Era.UNKNOWN),
    ],
)
def test_the_version_header_decides_the_era(version: bytes, session: bytes, era: Era) -> None:
    """And where there is none, a session does."""
    assert _facts(mcp_protocol_version=version, mcp_session_id=session).era is era


@pytest.mark.parametrize(
    ("method", "headers", "status", "action"),
    [
        ("GET", {"mcp_session_id": b"s"}, None, Action.LISTEN),
        ("DELETE", {"mcp_session_id": b"s"}, None, Action.END),
        ("GET", {}, 400, None),
        ("DELETE", {}, 400, None),
        ("GET", {"mcp_session_id": b"s", "accept": b"application/json"}, 406, None),
        ("GET", {"mcp_session_id": b"s", "mcp_protocol_version": b"1999-01-01"}, 400, None),
        ("GET", {"mcp_protocol_version": b"2026-07-28", "mcp_session_id": b"s"}, 405, None),
        ("DELETE", {"mcp_protocol_version": b"2026-07-28", "mcp_session_id": b"s"}, 405, None),
        ("PUT", {}, 405, None),
        ("HEAD", {}, 405, None),
        ("PATCH", {"mcp_protocol_version": b"2026-07-28"}, 405, None),
        ("OPTIONS", {}, 204, None),
    ],
)
def test_methods_mean_what_the_era_says(
    method: str, headers: dict[str, bytes], status: int | None, action: Action | None
) -> None:
    """The modern era knows POST only; sessions are listened to and ended."""
    facts = _facts(method, **headers)
    assert _status(facts) == status
    if action is not None:
        assert facts.action is action
    if status == 405:
        assert facts.refusal is not None
        assert facts.refusal.headers[0][0] == b"Allow"


def test_a_refusal_is_a_json_rpc_error_without_an_id() -> None:
    """Nothing of a body was read."""
    refusal = _facts(content_type=b"text/plain").refusal
    assert refusal is not None
    answer = json.loads(refusal.body)
    assert answer["error"]["code"] == -32600
    assert "id" not in answer


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, None),
        (b"ask_user", "ask_user"),
        (b"with blank", "with blank"),
        (b"=?base64?SGVsbG8sIOS4lueVjA==?=", "Hello, 世界"),
        (b"=?base64?" + base64.b64encode(b"=?base64?literal?=") + b"?=", "=?base64?literal?="),
        (b"=?base64??=", ""),
        (b"=?BASE64?SGk=?=", "=?BASE64?SGk=?="),
        (b"=?base64?SGk?=", None),
        (b"=?base64?SGl=?=", None),
        (b"=?base64?%%%?=", None),
        (b"=?base64?/w==?=", None),
        (b"caf\xc3\xa9", None),
        (b"a\x00b", None),
    ],
)
def test_header_values_are_decoded_in_one_way_only(value: bytes | None, said: str | None) -> None:
    """Base64 counts when it is canonical and UTF-8; anything else equals nothing."""
    assert decode_value(value) == said


def test_argument_headers_are_kept_by_lower_case_name() -> None:
    """Names of headers have no case."""
    assert _facts(mcp_param_region=b"eu").params == {"region": b"eu"}
