"""Two gateways on one Redis: what a tenant uses at both together stays within its quota."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from tests.live.caller import caller_at
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.peer import Peer, upgrade_request
from tests.live.process import GatewayProcess, running_gateway
from tests.passing import passing

pytestmark = pytest.mark.slow

RATE, PENDING, FRONTENDS = 40, 50, 20
SECONDS = 5.0
#: What instances may have in reserve, all together.
OVER = 1.1

Pair = tuple[GatewayProcess, GatewayProcess]


@pytest.fixture
def quotas_file(tmp_path: Path) -> Path:
    return tmp_path / "quotas.toml"


@pytest.fixture
def pair(redis_url: str, quotas_file: Path) -> Iterator[Pair]:
    quotas_file.write_text(
        f"[default]\nasks_per_second = {RATE}\npending = {PENDING}\nfrontends = {FRONTENDS}\n"
    )
    flags = ("--store", redis_url, "--quotas-file", str(quotas_file), *LEAVE_AT_ONCE)
    with running_gateway(*flags) as first, running_gateway(*flags) as second:
        yield first, second


def status_of_upgrade(peer: Peer, port: int) -> int:
    """Ask for a WebSocket; return the status. The peer's socket stays open."""
    peer.send(upgrade_request(port))
    while b"\r\n\r\n" not in peer.received:
        assert peer._more()
    return int(peer.received.split(b" ")[1])


async def test_asks_of_all_gateways_together_keep_to_the_rate(pair: Pair) -> None:
    """A bucket has a second's worth, and what comes in while they ask."""
    done: list[int] = []
    refused: list[float] = []
    began = time.monotonic()

    async def ask(port: int) -> None:
        async with caller_at(port) as caller:
            while seconds() < SECONDS:
                # Questions end at once, so that those that are open are not too many.
                asked = await caller.call("ask_user", question="?", timeout_seconds=0.01)
                if "code" in asked:
                    assert asked["code"] == -31002
                    assert asked["data"]["limit"] == RATE
                    refused.append(asked["data"]["retry_after"])
                else:
                    done.append(1)

    with trio.fail_after(60):
        async with passing() as seconds, trio.open_nursery() as nursery:
            for gateway in pair:
                for _ in range(10):
                    nursery.start_soon(ask, gateway.mcp_port)
    took = time.monotonic() - began
    assert refused
    assert RATE * SECONDS * 0.9 <= len(done) <= RATE * (took + 1) * OVER


async def test_open_questions_of_all_gateways_together_are_limited(pair: Pair) -> None:
    open_ones: list[tuple[int, str]] = []

    async def ask(port: int) -> None:
        async with caller_at(port) as caller:
            for _ in range(6):
                while True:
                    asked = await caller.call(
                        "ask_user", question="?", wait="return", timeout_seconds=300
                    )
                    if "code" not in asked or asked["data"]["quota"] == "pending":
                        break
                if "code" not in asked:
                    open_ones.append((port, asked["structuredContent"]["question_id"]))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for gateway in pair:
                for _ in range(8):
                    nursery.start_soon(ask, gateway.mcp_port)
        assert PENDING <= len(open_ones) <= PENDING * OVER
        # What is cancelled at one gateway is free at both, wherever it was asked.
        async with caller_at(pair[1].mcp_port) as caller:
            for _, question in open_ones:
                await caller.call("cancel_question", question_id=question)
            while True:
                asked = await caller.call("ask_user", question="?", wait="return")
                if "code" not in asked:
                    break


def test_frontends_of_all_gateways_together_are_limited(pair: Pair) -> None:
    with ExitStack() as stack:
        statuses = []
        for number in range(3 * FRONTENDS):
            port = pair[number % 2].ws_port
            peer = stack.enter_context(Peer(port))
            statuses.append(status_of_upgrade(peer, port))
            if statuses[-1] == 429:
                assert b"\r\nRetry-After: " in peer.received
        assert set(statuses) == {101, 429}
        assert FRONTENDS <= statuses.count(101) <= FRONTENDS * OVER


def test_another_file_counts_without_a_restart_and_a_wrong_one_never(
    pair: Pair, quotas_file: Path
) -> None:
    with ExitStack() as stack:
        port = pair[0].ws_port
        quotas_file.write_text("[default]\nfrontends = none\n")
        pair[0].wait_for_event("quotas_refused")
        quotas_file.write_text("[default]\nfrontends = 1\n")
        pair[0].wait_for_event("quotas_readable")
        statuses = [status_of_upgrade(stack.enter_context(Peer(port)), port) for _ in range(4)]
        assert statuses == [101, 429, 429, 429]
