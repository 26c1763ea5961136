"""Requests that never become calls are answered all the same."""

from __future__ import annotations

import pytest

from gateway.mcp import jsonrpc
from gateway.mcp.jsonrpc import RpcError
from gateway.mcp.refusals import guarded, refuse, unsupported
from session.errors import StoreFullError, StoreUnavailableError
from tests.gateway.mcp.recording import Recorder


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (RpcError(jsonrpc.INVALID_REQUEST, "m"), 400, None),
        (RpcError(jsonrpc.INVALID_REQUEST, "m", status=404), 404, None),
        (RpcError(jsonrpc.BUSY, "m"), 503, "1"),
        (RpcError(jsonrpc.BUSY, "m", status=429), 429, "1"),
        (RpcError(jsonrpc.INVALID_PARAMS, "m"), 200, None),
        (unsupported("1.0"), 400, None),
    ],
)
def test_a_refusal_has_its_status_and_says_when_to_try_again(
    error: RpcError, status: int, retry: str | None
) -> None:
    recorder = Recorder()
    refuse(recorder, error, b"7")
    assert recorder.status == status
    assert recorder.headers.get("retry-after") == retry
    assert recorder.json["id"] == 7
    assert recorder.json["error"]["code"] == error.code


async def test_a_step_that_fails_is_answered_and_fails_on() -> None:
    async def fail() -> None:
        raise KeyError("detail")

    recorder = Recorder()
    with pytest.raises(KeyError):
        await guarded(fail(), recorder)
    assert recorder.status == 500
    assert b"detail" not in recorder.body


async def test_a_store_that_is_away_is_said_to_be() -> None:
    async def fail() -> None:
        raise StoreUnavailableError("Redis at 10.0.0.7:6379 cannot be reached.")

    recorder = Recorder()
    await guarded(fail(), recorder, b'"mine"')
    assert (recorder.status, recorder.headers["retry-after"]) == (503, "1")
    assert recorder.json["id"] == "mine"
    assert recorder.json["error"]["data"]["retry_after"] == 1
    assert b"10.0.0.7" not in recorder.body


async def test_a_store_without_room_says_so_itself() -> None:
    async def fail() -> None:
        raise StoreFullError

    recorder = Recorder()
    await guarded(fail(), recorder)
    assert "memory is full" in recorder.json["error"]["message"]


async def test_a_step_that_answered_is_left_alone() -> None:
    recorder = Recorder()

    async def answer() -> None:
        recorder.respond(202)

    await guarded(answer(), recorder)
    assert recorder.status == 202
