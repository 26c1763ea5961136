"""Three gateways behind HAProxy, while something goes wrong or away: nothing is lost.

RESTARTS=20 in the environment replaces all of them so many times under one load, and KILLS=20
ends so many of them without warning, whichever it hits.
"""

from __future__ import annotations

import contextlib
import json
import os
import random  # noqa: TID251 - whom it hits, no secret
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from haproxy.balancer import Balancer
from haproxy.local_cluster import LocalCluster
from haproxy.redis_node import free_port
from haproxy.rolling_restart import replace_all
from tests.cluster.history import final_store
from tests.cluster.instances import until
from tests.cluster.load import under_load
from tests.interop.person import person_at
from tests.live.caller import caller_at, open_session, text_of
from tests.live.peer import SOCKETS, Peer, websockets
from tests.live.subscribing import CONNECTED, listening, said, told_that

pytestmark = [
    pytest.mark.slow,
    # trio-websocket leaves the socket of a failed handshake to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PATIENCE = 120
RESTARTS = int(os.environ.get("RESTARTS", "1"))
KILLS = int(os.environ.get("KILLS", "2"))
PONG = 0x8A
# Below what each may have (FR_MAXCONN): two files for each, within what machines allow by default.
OF_ONE_HAPROXY = 3_900
BARE = Path(__file__).with_name("bare-haproxy.cfg")


class Front:
    """HAProxy as clients see it: one place, that is never killed."""

    was_killed = False

    def __init__(self, balancer: Balancer) -> None:
        self.ws_port, self.mcp_port = balancer.ws_port, balancer.mcp_port


async def served_by(port: int, count: int) -> list[str]:
    """Return which instances answer so many requests, each on a connection of its own."""
    found = []
    for _ in range(count):
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            report = (await client.get(f"http://127.0.0.1:{port}/health")).json()
        found.append(report["system_info"]["instance"])
    return found


@asynccontextmanager
async def sitting(port: int, name: str) -> AsyncIterator[WebSocketConnection]:
    """Hold a frontend's WebSocket, known to its gateway."""
    async with open_websocket_url(f"ws://127.0.0.1:{port}/ws") as socket:
        await socket.send_message(json.dumps({"type": "connect", "frontend_id": name}))
        while json.loads(await socket.get_message())["type"] != "connect_ack":
            pass
        yield socket


async def answer_one(socket: WebSocketConnection, text: str) -> None:
    """Answer the question whose text it is."""
    while True:
        frame = json.loads(await socket.get_message())
        if frame["type"] == "ask_user" and frame["question"] == text:
            reply = {"type": "user_response", "request_id": frame["request_id"], "answer": "yes"}
            await socket.send_message(json.dumps(reply))
            return


async def asked(port: int, text: str, name: str) -> dict[str, Any]:
    async with caller_at(port) as caller:
        audience = {"kind": "frontend", "name": name}
        return await caller.call("ask_user", question=text, audience=audience, timeout_seconds=30)


def _stored(deployment: LocalCluster) -> Any:
    redis = deployment.redis
    assert redis is not None
    return final_store(redis.primaries)


async def test_every_connection_lands_elsewhere_and_all_serve_as_one(
    deployment: LocalCluster,
) -> None:
    balancer = deployment.balancer
    with trio.fail_after(PATIENCE):
        agents = await served_by(balancer.mcp_port, 6)
        assert len(set(agents[:3])) == 3
        assert agents[:3] == agents[3:]
        async with trio.open_nursery() as nursery:
            sockets = [
                await _sit(nursery, balancer.ws_port, f"elsewhere{index}") for index in range(6)
            ]
            reports = [gateway.report() for gateway in deployment.gateways]
            assert [report and report.frontends for report in reports] == [2, 2, 2]
            # Each of six people is asked through each of three gateways.
            for index, socket in enumerate(sockets):
                for turn in range(3):
                    text = f"elsewhere {index} {turn}"
                    nursery.start_soon(answer_one, socket, text)
                    reply = await asked(balancer.mcp_port, text, f"elsewhere{index}")
                    assert text_of(reply) == "yes"
            nursery.cancel_scope.cancel()


async def _sit(nursery: trio.Nursery, port: int, name: str) -> WebSocketConnection:
    async def sit(*, task_status: trio.TaskStatus[WebSocketConnection]) -> None:
        async with sitting(port, name) as socket:
            task_status.started(socket)
            await trio.sleep_forever()

    socket: WebSocketConnection = await nursery.start(sit)
    return socket


async def test_a_session_goes_on_wherever_its_requests_land(deployment: LocalCluster) -> None:
    port = deployment.balancer.mcp_port
    with trio.fail_after(PATIENCE):
        session = await open_session(port)
        for _ in range(6):
            async with caller_at(port, session=session) as caller:
                result = await caller.call("list_frontends")
                assert "isError" not in result or not result["isError"]


async def test_a_session_hears_of_changes_wherever_its_requests_land(
    deployment: LocalCluster,
) -> None:
    """Its subscription and its stream are at gateways that nobody chose, and mostly at two."""
    balancer = deployment.balancer
    port = balancer.mcp_port
    with trio.fail_after(PATIENCE):
        async with AsyncExitStack() as stack:
            streams = []
            for _ in range(6):
                session = await open_session(port)
                streams.append(await stack.enter_async_context(listening(port, session)))
                await said(port, session, "resources/subscribe", uri=CONNECTED)
            async with person_at(balancer.ws_port, frontend_id="heard-of"):
                for stream in streams:
                    await told_that(stream, port, lambda shown: "heard-of" in shown)
            for stream in streams:
                await told_that(stream, port, lambda shown: "heard-of" not in shown)


async def test_a_stream_is_not_held_back(deployment: LocalCluster) -> None:
    """A sign of life every 0.4 seconds arrives when it is sent, and not when there are many."""
    port = deployment.balancer.mcp_port
    body = {"name": "ask_user", "arguments": {"question": "held back?", "timeout_seconds": 30}}
    with trio.fail_after(PATIENCE):
        async with caller_at(port) as caller:
            await caller.send("tools/call", body)
            response = await caller.response()
            assert response.headers["content-type"] == "text/event-stream"
            assert "content-encoding" not in response.headers
            began = trio.current_time()
            for _ in range(3):
                assert await response._chunk()
            # Held back, they would come when the question is over.
            assert trio.current_time() - began < 20


async def test_a_caller_that_leaves_is_noticed_behind_the_proxy(deployment: LocalCluster) -> None:
    async def open_questions() -> int:
        reports = [gateway.report() for gateway in deployment.gateways]
        return max(report.questions for report in reports if report)

    body = {"name": "ask_user", "arguments": {"question": "left alone", "timeout_seconds": 300}}

    async def nobody_asks() -> bool:
        return await open_questions() == 0

    async def somebody_asks() -> bool:
        return await open_questions() > 0

    with trio.fail_after(PATIENCE):
        await until(nobody_asks, "questions of earlier tests are gone")
        async with caller_at(deployment.balancer.mcp_port) as caller:
            await caller.send("tools/call", body)
            await until(somebody_asks, "the question is there")
        await until(nobody_asks, "the question is taken back")


async def test_a_rolling_restart_under_load_loses_nothing(deployment: LocalCluster) -> None:
    front = Front(deployment.balancer)
    replace = partial(replace_all, deployment.balancer, deployment.gateways, deployment.command)
    with trio.fail_after(PATIENCE * RESTARTS):
        async with under_load([front]) as load:
            for _ in range(RESTARTS):
                await trio.to_thread.run_sync(replace)
                await load.works_everywhere()
    print(f"{RESTARTS} rolling restarts, {len(load.history.asks)} asks, refused {load.refusals}")
    assert load.history.wrongs(_stored(deployment)) == []


async def test_a_gateway_that_leaves_by_itself_refuses_nobody(deployment: LocalCluster) -> None:
    """Its /ready fails first: HAProxy has left it before it stops to listen."""
    front = Front(deployment.balancer)
    leaving = deployment.gateways[1]
    statuses: list[int] = []

    async def has_grown(before: int) -> bool:
        return len(statuses) > before + 4 * len(deployment.gateways)

    async def knock() -> None:
        while True:
            async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
                for port in (front.ws_port, front.mcp_port):
                    answer = await client.get(f"http://127.0.0.1:{port}/live")
                    statuses.append(answer.status_code)

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(knock)
            leaving.drain()
            await trio.to_thread.run_sync(leaving.wait)
            # Each would have had its turn more than once.
            gone_at = len(statuses)
            await until(lambda: has_grown(gone_at), "they go on knocking")
            nursery.cancel_scope.cancel()
    assert set(statuses) == {200}


async def test_gateways_that_are_killed_under_load_take_nothing_along(
    deployment: LocalCluster,
) -> None:
    killed = []
    with trio.fail_after(PATIENCE * KILLS):
        async with under_load([Front(deployment.balancer)]) as load:
            for _ in range(KILLS):
                gateway = random.choice(deployment.gateways)
                killed.append(gateway.name)
                gateway.signal(signal.SIGKILL)
                await load.works_everywhere()
                await trio.to_thread.run_sync(deployment.up)
    print(f"killed {killed}, {len(load.history.asks)} asks, refused {load.refusals}")
    assert load.history.wrongs(_stored(deployment)) == []


async def test_what_was_sent_to_a_gateway_is_sent_to_no_other(deployment: LocalCluster) -> None:
    """It may have been done: whoever sent it decides whether to send it again, with its key."""
    balancer = deployment.balancer
    asked_once = {"question": "sent once?", "audience": {"kind": "user", "name": "once"}}

    def requests() -> dict[str, int]:
        return {each.name: each.total for each in balancer.servers() if each.backend == "mcp"}

    with trio.fail_after(PATIENCE):
        async with (
            person_at(balancer.ws_port, user="once") as person,
            caller_at(balancer.mcp_port) as caller,
        ):
            before = requests()
            await caller.send("tools/call", {"name": "ask_user", "arguments": asked_once})
            await person.question()
            sent = requests()
            (reached,) = (name for name in sent if sent[name] > before[name])
            (gateway,) = (each for each in deployment.gateways if each.name == reached)
            # Most likely before it has said anything that could not be taken back.
            gateway.signal(signal.SIGKILL)
            with contextlib.suppress(EOFError):
                response = await caller.response()
                assert response.status == 502 or await response.result() is None
        await trio.to_thread.run_sync(balancer.wait_for, reached, "DOWN")
        assert requests() == sent


@pytest.fixture
def balancers(deployment: LocalCluster, tmp_path: Path) -> Iterator[list[Balancer]]:
    """HAProxies in front of the same gateways: as many as SOCKETS connections take files."""
    with ExitStack() as stack:
        found = []
        for number in range(-(-SOCKETS // OF_ONE_HAPROXY)):
            where = tmp_path / f"h{number}"
            balancer = Balancer(where, tmp_path / f"{number}.log", [free_port() for _ in range(3)])
            variables = balancer.variables(deployment.gateways)
            many = {"FR_WS_PER_ADDRESS": str(OF_ONE_HAPROXY + 100)}
            balancer.up({**variables, **deployment.variables, **many})
            stack.callback(balancer.down)
            found.append(balancer)
        yield found


async def test_haproxy_is_reloaded_and_open_sockets_stay(balancers: list[Balancer]) -> None:
    """SOCKETS=10000 in the environment has so many of them, over several HAProxies."""
    first = balancers[0]
    with ExitStack() as stack, trio.fail_after(PATIENCE + SOCKETS / 50):
        many: list[Peer] = []
        for balancer in balancers:
            count = min(OF_ONE_HAPROXY, SOCKETS - len(many))
            many += stack.enter_context(websockets(balancer.ws_port, count))
        async with sitting(first.ws_port, "stays") as socket:
            for balancer in balancers:
                await trio.to_thread.run_sync(balancer.reload)
            for each in many:
                # A ping, which is answered.
                each.send(b"\x89\x80\x00\x00\x00\x00")
                assert each.frame_but_pings().first == PONG
            print(f"{len(many)} WebSockets outlived the reload of {len(balancers)} HAProxies")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer_one, socket, "after the reload")
                reply = await asked(first.mcp_port, "after the reload", "stays")
            assert text_of(reply) == "yes"
            async with sitting(first.ws_port, "newcomer"):
                pass


@pytest.fixture
def bare(deployment: LocalCluster, tmp_path: Path) -> Iterator[Front]:
    """The bare file of the Go deployment, with the addresses of this one."""
    text = BARE.read_text(encoding="utf-8")
    ports = {"8080": free_port(), "8081": free_port()}
    for number, port in ports.items():
        text = text.replace(f"bind *:{number}", f"bind 127.0.0.1:{port}")
    for last, gateway in enumerate(deployment.gateways, 10):
        host = f"10.0.1.{last}"
        text = text.replace(f"{host}:8080", f"127.0.0.1:{gateway.ws_port}")
        text = text.replace(f"{host}:8081", f"127.0.0.1:{gateway.mcp_port}")
    assert not re.search(r"10\.0\.1\.|\*:80", text)
    configuration = tmp_path / "bare.cfg"
    # For us to ask how it is, and for machines that allow fewer files than it may want.
    more = f"stats socket {tmp_path / 'h' / 'admin.sock'} mode 600 level admin\nno strict-limits"
    configuration.write_text(text.replace("global\n", f"global\n{more}\n"), encoding="utf-8")
    balancer = Balancer(tmp_path / "h", tmp_path / "log", [ports["8080"], ports["8081"], 1])
    balancer.up({}, configuration)
    yield Front(balancer)
    balancer.down()


async def test_the_bare_file_of_a_go_deployment_works_as_it_stands(bare: Front) -> None:
    with trio.fail_after(PATIENCE):
        for port in (bare.ws_port, bare.mcp_port):
            async with httpx.AsyncClient(trust_env=False) as client:
                # As it is written for Go, it names no gateway: they know localhost.
                answer = await client.get(
                    f"http://127.0.0.1:{port}/health", headers={"Host": "localhost"}
                )
            assert answer.status_code == 200
        async with open_websocket_url(
            f"ws://127.0.0.1:{bare.ws_port}/ws", extra_headers=[]
        ) as socket:
            await socket.send_message(json.dumps({"type": "connect", "frontend_id": "bare"}))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer_one, socket, "through the bare file")
                reply = await asked(bare.mcp_port, "through the bare file", "bare")
            assert text_of(reply) == "yes"
