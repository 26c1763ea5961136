"""What 2026-07-28 wants of a request, and adds to a result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.http.messages import Head
from gateway.mcp import results
from gateway.mcp.heads import Facts
from gateway.mcp.jsonrpc import RpcError
from gateway.mcp.mirroring import HeaderParameter
from gateway.mcp.results import Implementation
from gateway.mcp.revisions import modern
from session import gojson
from tests.gateway.mcp.recording import META, MODERN

REVISION = modern.Modern(Implementation("server", "1"), 5000)
SERVER = {"io.modelcontextprotocol/serverInfo": {"name": "server", "version": "1"}}


def _facts(**headers: str) -> Facts:
    fields = {"content-type": "application/json", "mcp-protocol-version": MODERN}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    encoded = {name.encode(): value.encode() for name, value in fields.items() if value}
    return Facts(Head("POST", "/mcp", "", encoded, keep_alive=True, body_length=0))


def _meta(**changes: Any) -> dict[str, Any]:
    meta = dict(META)
    for key, value in changes.items():
        if value is None:
            del meta[f"io.modelcontextprotocol/{key}"]
        else:
            meta[f"io.modelcontextprotocol/{key}"] = value
    return meta


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"_meta": None},
        {"_meta": []},
        {"_meta": {}},
        {"_meta": _meta(protocolVersion=None)},
        {"_meta": _meta(clientCapabilities=None)},
        {"_meta": _meta(clientCapabilities=[])},
    ],
)
def test_a_request_without_its_metadata_is_invalid(params: dict[str, Any]) -> None:
    with pytest.raises(RpcError) as caught:
        modern.check(_facts(mcp_method="tools/list"), "tools/list", params)
    assert (caught.value.code, REVISION.status(caught.value.code)) == (-32602, 400)


def test_a_caller_need_not_say_who_it_is() -> None:
    params = {"_meta": _meta(clientInfo=None)}
    modern.check(_facts(mcp_method="tools/list"), "tools/list", params)


@pytest.mark.parametrize(
    ("method", "params", "headers"),
    [
        ("tools/call", {"name": "t"}, {"mcp_name": "t"}),
        ("tools/call", {"name": "t"}, {"mcp_name": "=?base64?dA==?="}),
        ("tools/call", {"name": "wörk"}, {"mcp_name": "=?base64?d8O2cms=?="}),
        ("tools/call", {"name": 5}, {}),
        ("tools/call", {}, {}),
        ("prompts/get", {"name": "p"}, {"mcp_name": "p"}),
        ("resources/read", {"uri": "a://b"}, {"mcp_name": "a://b"}),
        ("tools/list", {"name": "t"}, {}),
    ],
)
def test_headers_that_say_what_the_body_says_pass(
    method: str, params: dict[str, Any], headers: dict[str, str]
) -> None:
    modern.check(_facts(mcp_method=method, **headers), method, {"_meta": META, **params})


@pytest.mark.parametrize(
    ("method", "params", "headers"),
    [
        ("tools/call", {"name": "t"}, {}),
        ("tools/call", {"name": "t"}, {"mcp_name": "T"}),
        ("tools/call", {"name": "t"}, {"mcp_name": "t2"}),
        ("tools/call", {"name": "t"}, {"mcp_name": "=?base64?dA?="}),
        ("tools/call", {"name": "t"}, {"mcp_name": "=?base64?%?="}),
        ("prompts/get", {"name": "p"}, {"mcp_name": "q"}),
        ("resources/read", {"uri": "a://b"}, {"mcp_name": "a://B"}),
        ("tools/list", {}, {"mcp_method": "tools/call"}),
        ("tools/list", {}, {"mcp_method": ""}),
        ("tools/list", {}, {"mcp_protocol_version": ""}),
        ("tools/list", {}, {"mcp_protocol_version": "2025-11-25"}),
    ],
)
def test_headers_that_say_other_things_are_a_mismatch(
    method: str, params: dict[str, Any], headers: dict[str, str]
) -> None:
    """Somebody on the way may have decided by them (checklist A12)."""
    facts = _facts(**{"mcp_method": method, **headers})
    with pytest.raises(RpcError) as caught:
        modern.check(facts, method, {"_meta": META, **params})
    assert (caught.value.code, REVISION.status(caught.value.code)) == (-32020, 400)


_DECLARED = (
    HeaderParameter(("region",), "Region"),
    HeaderParameter(("deep", "count"), "Count"),
    HeaderParameter(("on",), "On"),
)


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({}, {}),
        ({"region": None}, {}),
        ({"region": "us"}, {"mcp_param_region": "us"}),
        ({"region": "us"}, {"mcp_param_region": "=?base64?dXM=?="}),
        ({"region": ""}, {"mcp_param_region": "=?base64??="}),
        ({"deep": {"count": 42}}, {"mcp_param_count": "42"}),
        ({"deep": {"count": 42}}, {"mcp_param_count": "42.0"}),
        ({"deep": {"count": -7}}, {"mcp_param_count": "-7"}),
        ({"deep": "flat"}, {}),
        ({"on": True}, {"mcp_param_on": "true"}),
        ({"on": False}, {"mcp_param_on": "false"}),
        ({}, {"mcp_param_other": "x"}),
    ],
)
def test_argument_headers_that_agree_pass(
    arguments: dict[str, Any], headers: dict[str, str]
) -> None:
    modern.check_parameters(_facts(**headers), _DECLARED, arguments)


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({"region": "us"}, {}),
        ({}, {"mcp_param_region": "us"}),
        ({"region": None}, {"mcp_param_region": "us"}),
        ({"region": "us"}, {"mcp_param_region": "eu"}),
        ({"region": "us"}, {"mcp_param_region": "US"}),
        ({"region": "us"}, {"mcp_param_region": "=?base64?dXM?="}),
        ({"deep": {"count": 42}}, {"mcp_param_count": "43"}),
        ({"deep": {"count": 42}}, {"mcp_param_count": "4.2e1"}),
        ({"deep": {"count": 42}}, {"mcp_param_count": "42.5"}),
        ({"on": True}, {"mcp_param_on": "True"}),
        ({"on": True}, {"mcp_param_on": "1"}),
        ({"region": ["us"]}, {"mcp_param_region": "us"}),
    ],
)
def test_argument_headers_that_differ_are_a_mismatch(
    arguments: dict[str, Any], headers: dict[str, str]
) -> None:
    with pytest.raises(RpcError) as caught:
        modern.check_parameters(_facts(**headers), _DECLARED, arguments)
    assert caught.value.code == -32020


class _Cacheable(results.Result):
    cacheable = True

    value: int


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (results.Empty(), {"_meta": SERVER}),
        (results.Encoded(b"{}"), {"_meta": SERVER}),
        (results.Encoded(b'{"a":1}'), {"a": 1, "_meta": SERVER}),
        (
            results.Encoded(b'{"a":1}', cacheable=True),
            {"a": 1, "_meta": SERVER, "ttlMs": 5000, "cacheScope": "public"},
        ),
        (results.text("t"), {"content": [{"type": "text", "text": "t"}], "_meta": SERVER}),
        (
            results.ToolResult((), is_error=True, meta={"x/y": 1}),
            {"content": [], "isError": True, "_meta": {"x/y": 1, **SERVER}},
        ),
        (
            results.ReadResult((), meta={"x/y": 1}),
            {
                "contents": [],
                "ttlMs": 5000,
                "cacheScope": "public",
                "_meta": {"x/y": 1, **SERVER},
            },
        ),
    ],
)
def test_every_result_is_complete_and_says_who_made_it(
    result: Any, expected: dict[str, Any]
) -> None:
    reply = json.loads(REVISION.reply(b'"id"', result))
    assert reply == {
        "jsonrpc": "2.0",
        "id": "id",
        "result": {"resultType": "complete", **expected},
    }


def test_no_member_of_a_result_comes_twice() -> None:
    for result in (results.Empty(), results.ReadResult((), meta={"a": 1}), results.text("x")):
        gojson.decode(REVISION.reply(b"1", result))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (-32700, 400),
        (-32600, 400),
        (-32601, 404),
        (-32602, 400),
        (-32603, 200),
        (-32020, 400),
        (-32021, 400),
        (-32022, 400),
        (-31000, 503),
        (5, 200),
    ],
)
def test_the_status_tells_proxies_what_the_error_tells_the_caller(code: int, status: int) -> None:
    assert REVISION.status(code) == status
