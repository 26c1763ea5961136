"""Frontends that stop reading, and peers that are no longer there, cost the others nothing."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import pytest
import trio

from tests.interop.person import Person, person_at
from tests.live.caller import Caller, caller_at, text_of
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.metrics import counted
from tests.live.peer import Peer, frame, upgrade_request
from tests.live.process import GatewayProcess, running_gateway
from tests.proxy import Proxy

pytestmark = pytest.mark.slow

_PATIENCE = 60
_DEAF = 100
_LARGE = "x" * 20_000
# A loaded machine is slow, and may stand still for a moment; whoever waits for the deaf waits
# until they are given up.
_WAITED_SECONDS = 1.0
_GIVEN_UP_SECONDS = 10.0
_MEBIBYTE = 1024 * 1024


def deaf_frontend(gateway: GatewayProcess, name: str) -> Peer:
    """Return a frontend that takes next to nothing from now on."""
    peer = Peer(gateway.ws_port, window=4096)
    peer.send(upgrade_request(gateway.ws_port))
    peer.send(frame(1, json.dumps({"type": "connect", "frontend_id": name}).encode()))
    while b"connect_ack" not in peer.received:
        assert peer._more()
    return peer


async def round_trips(caller: Caller, person: Person, count: int) -> float:
    """Ask and answer large questions one by one; return the median in seconds.

    Nobody waits as long as the deaf are waited for: ten seconds, and more.
    """
    seconds = []
    for number in range(count):
        began = time.monotonic()
        arguments = {"question": f"{number} {_LARGE}"}
        await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
        assert await person.answer(await person.question(), "read") == "accepted"
        assert text_of((await (await caller.response()).result())["result"]) == "read"
        seconds.append(time.monotonic() - began)
    assert max(seconds) < _GIVEN_UP_SECONDS
    return statistics.median(seconds)


async def left_open(caller: Caller, count: int) -> list[str]:
    results = [
        await caller.call("ask_user", question=f"left {number}", wait="return")
        for number in range(count)
    ]
    return [result["structuredContent"]["question_id"] for result in results]


async def test_a_hundred_frontends_that_stop_reading_delay_nobody_and_lose_nothing() -> None:
    with running_gateway(*LEAVE_AT_ONCE) as gateway, trio.fail_after(_PATIENCE):
        async with (
            person_at(gateway.ws_port, frontend_id="attentive") as person,
            caller_at(gateway.mcp_port) as caller,
        ):
            before = await round_trips(caller, person, 100)
            crowd = [deaf_frontend(gateway, f"deaf-{number}") for number in range(_DEAF)]
            # The kernel's buffers fill first.
            while counted(gateway, "frontend_router_connections_blocked") < _DEAF:
                await round_trips(caller, person, 10)
            size = gateway.resident_bytes()
            during = await round_trips(caller, person, 100)
            grown = gateway.resident_bytes() - size
            told = (
                f"median {before:.4f} s, with the deaf {during:.4f} s, {grown / _MEBIBYTE:.1f} MiB"
            )
            print(told)
            # What each has to be sent is the same for all, and is kept once.
            assert during <= max(2 * before, _WAITED_SECONDS), told
            assert grown < 32 * _MEBIBYTE, told
            ids = await left_open(caller, 20)
            for peer in crowd:
                peer.sock.close()
            async with person_at(gateway.ws_port, frontend_id="deaf-7") as again:
                assert [(await again.question())["request_id"] for _ in ids] == ids
        assert counted(gateway, "frontend_router_outbox_bytes") == 0


def test_a_flood_of_pings_that_reads_no_pong_is_ended() -> None:
    """Far more than the count of control frames allows: the bytes are bounded as well."""
    flags = ("--frontends-control-frames", "100000000", "--connections-outbox-bytes", "65536")
    with running_gateway(*LEAVE_AT_ONCE, *flags) as gateway:
        flood = frame(9, b"x" * 125) * 500
        with Peer(gateway.ws_port, window=4096) as peer:
            peer.send(upgrade_request(gateway.ws_port))
            for _ in range(400):
                try:
                    peer.sock.sendall(flood)
                except (BrokenPipeError, ConnectionResetError):
                    break
            else:
                pytest.fail("25 MB of pings were taken, and their pongs kept")
        assert counted(gateway, "frontend_router_slow_consumers_total") == 1


@pytest.mark.parametrize("when", ["while it is quiet", "while it is being written to"])
async def test_a_peer_that_vanished_without_a_word_is_gone_in_two_heartbeats(
    impatient_gateway: GatewayProcess, when: str
) -> None:
    """Nothing comes back from it, not even that it has gone; the others get its question."""
    gateway = impatient_gateway

    async def ask(caller: Caller, sink: list[dict[str, Any]]) -> None:
        sink.append(await caller.call("ask_user", question="Anybody?", delivery="one"))

    with trio.fail_after(_PATIENCE), Proxy(("127.0.0.1", gateway.ws_port)) as line:
        vanished = Peer(line.port)
        vanished.send(upgrade_request(gateway.ws_port))
        vanished.send(frame(1, b'{"type":"connect"}'))
        while b"connect_ack" not in vanished.received:
            assert vanished._more()
        connected = counted(gateway, "websocket_connections_active")
        line.blackhole()
        began = trio.current_time()
        async with caller_at(gateway.mcp_port) as caller, trio.open_nursery() as nursery:
            results: list[dict[str, Any]] = []
            if when == "while it is being written to":
                nursery.start_soon(ask, caller, results)
            while counted(gateway, "websocket_connections_active") >= connected:  # noqa: ASYNC110
                await trio.sleep(0.05)
            # After two heartbeats of 0.8 s, and 0.3 s for a goodbye; TCP alone takes minutes.
            assert trio.current_time() - began < 30
            if when == "while it is being written to":
                async with person_at(gateway.ws_port) as person:
                    assert await person.answer(await person.question(), "me") == "accepted"
        assert [text_of(result) for result in results] in ([], ["me"])
        vanished.sock.close()
