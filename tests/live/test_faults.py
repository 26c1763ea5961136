"""What can go wrong between an agent and a person, on a real gateway process.

In each: no answer is lost, none is accepted twice, none reaches the wrong
caller, and what the gateway holds returns to what it held before.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from haproxy.redis_node import wait_until
from tests.interop.person import Person, person_at
from tests.live.caller import Caller, caller_at, open_session, text_of
from tests.live.peer import websocket
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

# Nobody waits this long when all is well.
PATIENCE = 120
ASK = {"name": "ask_user", "arguments": {"question": "?"}}
LOOK = httpx.Client(trust_env=False)
HELD = (
    "frontend_router_connections",
    "frontend_router_questions_open",
    "frontend_router_outbox_bytes",
    "mcp_active_requests",
    "websocket_connections_active",
    "active_user_sessions",
    "frontend_router_workers_busy",
    "frontend_router_tasks",
    "frontend_router_workers",
)


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """A gateway of this module's own: what it holds is compared before and after."""
    with running_gateway("--drain-settle-seconds", "0", "--drain-wait-seconds", "0.5") as process:
        yield process
        LOOK.close()


def held(gateway: GatewayProcess) -> dict[str, float]:
    """Return what the gateway holds, as its metrics say; workers that idle are kept for a while."""
    found = {
        family.name: family.samples[0].value
        for family in families_of(gateway)
        if family.name in HELD
    }
    found["frontend_router_tasks"] -= found.pop("frontend_router_workers")
    return found


def families_of(gateway: GatewayProcess) -> list[Metric]:
    """Return all metrics, always over one connection, as that has tasks of its own."""
    url = f"http://127.0.0.1:{gateway.monitoring_port}/metrics"
    return list(text_string_to_metric_families(LOOK.get(url).text))


def seconds_of_calls(gateway: GatewayProcess) -> float:
    """Return how long all calls of tools took so far, from the request to its reply."""
    return sum(
        sample.value
        for family in families_of(gateway)
        for sample in family.samples
        if sample.name == "mcp_request_duration_seconds_sum"
        and sample.labels["method"] == "tools/call"
    )


@pytest.fixture(autouse=True)
def back_to_baseline(gateway: GatewayProcess) -> Iterator[None]:
    """Whatever a test did, the gateway holds nothing more of it soon after."""
    before = held(gateway)
    yield

    def left() -> str:
        now = held(gateway)
        return ", ".join(f"{each}: {now[each]:g}" for each in now if now[each] > before[each])

    # The only way to hear of the last close is to look again.
    wait_until(left, f"what was {before}", PATIENCE)


async def ask(gateway: GatewayProcess, text: str, **more: Any) -> dict[str, Any]:
    async with caller_at(gateway.mcp_port) as caller:
        return await caller.call("ask_user", question=text, **more)


@asynccontextmanager
async def asking(
    gateway: GatewayProcess, text: str, **more: Any
) -> AsyncIterator[trio.MemoryReceiveChannel[dict[str, Any]]]:
    """Ask in the background; what is yielded receives the result."""
    send, receive = trio.open_memory_channel[dict[str, Any]](1)

    async def run() -> None:
        await send.send(await ask(gateway, text, **more))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield receive


async def test_a_caller_that_leaves_comes_back_to_its_answer_by_its_key(
    gateway: GatewayProcess,
) -> None:
    """A 2026-07-28 caller is cut off and asks again under another id: one question, one answer."""
    question = {"question": "Still there?", "idempotency_key": "cut-off"}
    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as person:
            async with caller_at(gateway.mcp_port) as caller:
                await caller.send("tools/call", {"name": "ask_user", "arguments": question}, 1)
                shown = await person.question()
            async with caller_at(gateway.mcp_port) as caller:
                await caller.send("tools/call", {"name": "ask_user", "arguments": question}, 2)
                # The new ask is under way once its stream has begun.
                response = await caller.response()
                assert await person.answer(shown, "yes") == "accepted"
                reply = await response.result()
            again = await ask(gateway, "Still there?", idempotency_key="cut-off")
    assert reply["id"] == 2
    assert text_of(reply["result"]) == text_of(again) == "yes"


async def test_a_handshake_caller_resumes_its_stream_after_the_answer(
    gateway: GatewayProcess,
) -> None:
    """The stream breaks, the person answers, the caller asks for what it missed."""
    with trio.fail_after(PATIENCE):
        session = await open_session(gateway.mcp_port)
        async with person_at(gateway.ws_port) as person:
            async with caller_at(gateway.mcp_port, session=session) as caller:
                await caller.send(
                    "tools/call", {"name": "ask_user", "arguments": {"question": "?"}}, 7
                )
                event_id, _ = await (await caller.response()).event()
            shown = await person.question()
            assert await person.answer(shown, "kept") == "accepted"
        async with caller_at(gateway.mcp_port, session=session) as caller:
            reply = await (await caller.resume(event_id)).result()
    assert reply["id"] == 7
    assert text_of(reply["result"]) == "kept"


async def test_a_caller_that_leaves_for_good_takes_its_question_along(
    gateway: GatewayProcess,
) -> None:
    """2026-07-28: a disconnect cancels, and people are not asked for nobody."""
    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as person:
            async with caller_at(gateway.mcp_port) as caller:
                await caller.send(
                    "tools/call", {"name": "ask_user", "arguments": {"question": "?"}}
                )
                shown = await person.question()
            closed = await person.frame("question_closed")
            assert closed["request_id"] == shown["request_id"]
            assert closed["reason"] == "cancelled"
            assert await person.answer(shown, "too late") == "too_late"


async def test_a_frontend_that_vanishes_with_delivery_one_hands_it_over(
    gateway: GatewayProcess,
) -> None:
    """The one who was asked goes before it answers; the other is asked then."""
    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as first, person_at(gateway.ws_port) as second:
            people = {"first": first, "second": second}
            send, receive = trio.open_memory_channel[tuple[str, dict[str, Any]]](2)

            async def look(name: str) -> None:
                await send.send((name, await people[name].question()))

            async with trio.open_nursery() as nursery:
                for name in people:
                    nursery.start_soon(look, name)
                async with asking(gateway, "Who?", delivery="one") as result:
                    asked, shown = await receive.receive()
                    await people[asked].leave()
                    other, again = await receive.receive()
                    assert other != asked
                    assert again["request_id"] == shown["request_id"]
                    assert await people[other].answer(again, "then me") == "accepted"
                    assert text_of(await result.receive()) == "then me"


async def test_of_two_answers_at_once_one_is_accepted(gateway: GatewayProcess) -> None:
    """Twenty people answer the same question in the same moment, fifty times."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            people: list[Person] = []
            leave = trio.Event()
            ready = trio.Event()

            async def be_there() -> None:
                async with person_at(gateway.ws_port) as person:
                    people.append(person)
                    if len(people) == 20:
                        ready.set()
                    await leave.wait()

            for _ in range(20):
                nursery.start_soon(be_there)
            await ready.wait()
            for _ in range(50):
                statuses: list[tuple[str, str]] = []

                async def answer(person: Person, name: str) -> None:
                    shown = await person.question()
                    statuses.append((await person.answer(shown, name), name))  # noqa: B023

                async with asking(gateway, "First?") as result:
                    async with trio.open_nursery() as racing:
                        for number, person in enumerate(people):
                            racing.start_soon(answer, person, str(number))
                    answered = text_of(await result.receive())
                winners = [name for status, name in statuses if status == "accepted"]
                assert winners == [answered]
                assert {status for status, _ in statuses} == {"accepted", "duplicate"}
            leave.set()


async def test_an_answer_after_the_deadline_is_told_so(gateway: GatewayProcess) -> None:
    """It ends by its deadline and a second, from the ask to its reply, by the gateway's clock.

    Or later, by as long as the gateway was kept from running meanwhile.
    """
    before = seconds_of_calls(gateway)
    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as person:
            async with asking(gateway, "Quick?", timeout_seconds=3) as result:
                shown = await person.question()
                outcome = await result.receive()
            assert outcome["isError"]
            assert outcome["structuredContent"]["state"] == "timed_out"
            assert await person.answer(shown, "late") == "too_late"
    stall = sum(
        family.samples[0].value
        for family in families_of(gateway)
        if family.name == "frontend_router_loop_stall_seconds"
    )
    assert 3 <= seconds_of_calls(gateway) - before <= 4 + stall


async def test_a_thousand_callers_who_all_use_id_1_get_their_own_answers(
    gateway: GatewayProcess,
) -> None:
    answers: dict[str, str] = {}

    async def call(marker: str) -> None:
        answers[marker] = text_of(await ask(gateway, marker))

    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as person, trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(call, f"marker-{number}")
            shown = [await person.question() for _ in range(1000)]
            for question in reversed(shown):
                await person.say(
                    type="user_response",
                    request_id=question["request_id"],
                    answer=f"to {question['question']}",
                )
    assert answers == {f"marker-{number}": f"to marker-{number}" for number in range(1000)}


async def test_a_frontend_that_stops_reading_delays_nobody_and_loses_nothing(
    gateway: GatewayProcess,
) -> None:
    """It takes nothing of 40 MB of questions; the others are shown all of them."""
    large = "x" * 200_000
    with trio.fail_after(PATIENCE):
        deaf = websocket(gateway.ws_port)
        deaf.sock.setsockopt(6, 1, 1)
        async with caller_at(gateway.mcp_port) as caller:
            ids = []
            for number in range(200):
                result = await caller.call("ask_user", question=f"{number} {large}", wait="return")
                ids.append(result["structuredContent"]["question_id"])
        async with person_at(gateway.ws_port, frontend_id="attentive") as person:
            shown = [await person.question() for _ in ids]
            assert [question["request_id"] for question in shown] == ids
            # Each that waited for the deaf one to be given up would wait for many seconds.
            for question in shown:
                assert await person.answer(question, "read") == "accepted"
        deaf.sock.close()
        async with caller_at(gateway.mcp_port) as caller:
            for question_id in ids:
                assert (
                    text_of(await caller.call("collect_answer", question_id=question_id)) == "read"
                )


async def test_ten_thousand_questions_wait_and_are_all_answered(gateway: GatewayProcess) -> None:
    count = 10_000
    markers: dict[str, str] = {}

    async def ask_many(start: int) -> None:
        async with caller_at(gateway.mcp_port) as caller:
            for number in range(start, count, 20):
                result = await caller.call("ask_user", question=str(number), wait="return")
                markers[result["structuredContent"]["question_id"]] = str(number)

    async def collect_many(start: int) -> None:
        async with caller_at(gateway.mcp_port) as caller:
            for question_id in list(markers)[start::20]:
                result = await caller.call("collect_answer", question_id=question_id)
                assert text_of(result) == f"to {markers[question_id]}"

    with trio.fail_after(2 * PATIENCE):
        async with trio.open_nursery() as nursery:
            for start in range(20):
                nursery.start_soon(ask_many, start)
        assert held(gateway)["frontend_router_questions_open"] == count
        async with person_at(gateway.ws_port) as person, trio.open_nursery() as nursery:
            seen: set[str] = set()

            async def read_acks() -> None:
                for _ in range(count):
                    assert (await person.frame("response_ack"))["status"] == "accepted"

            for _ in range(count):
                question = await person.question()
                seen.add(question["request_id"])
            assert seen == set(markers)
            nursery.start_soon(read_acks)
            for question_id, marker in markers.items():
                await person.say(
                    type="user_response", request_id=question_id, answer=f"to {marker}"
                )
        async with trio.open_nursery() as nursery:
            for start in range(20):
                nursery.start_soon(collect_many, start)


CLIENT = """
import socket, sys, time
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sock.sendall(sys.stdin.buffer.read())
print("sent", flush=True)
time.sleep(600)
"""


async def test_a_killed_client_leaves_nothing_behind(gateway: GatewayProcess) -> None:
    """SIGKILL a caller in the middle of its wait: the question goes with it."""
    body = (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ask_user","arguments":'
        b'{"question":"?"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
        b'"io.modelcontextprotocol/clientCapabilities":{}}}}'
    )
    request = (
        b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
        b"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
        b"Mcp-Method: tools/call\r\nMcp-Name: ask_user\r\nContent-Length: %d\r\n\r\n%b"
    ) % (gateway.mcp_port, len(body), body)
    command = [sys.executable, "-c", CLIENT, str(gateway.mcp_port)]
    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as person:
            process = subprocess.Popen(  # noqa: ASYNC220 - it is started, not waited for
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(request)
            process.stdin.close()
            shown = await person.question()
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
            closed = await person.frame("question_closed")
            assert closed["request_id"] == shown["request_id"]


async def test_sigterm_under_load_tells_everybody() -> None:
    """Who waits gets an answer or is told to ask again; frontends are told to come back."""
    with (
        running_gateway("--drain-settle-seconds", "2", "--drain-wait-seconds", "4") as gateway,
        trio.fail_after(PATIENCE),
    ):
        outcomes: list[dict[str, Any]] = []
        refused: list[OSError] = []

        async def call(number: int) -> None:
            try:
                async with caller_at(gateway.mcp_port) as caller:
                    outcomes.append(await caller.call("ask_user", question=str(number)))
            except OSError as error:
                refused.append(error)

        async with trio.open_nursery() as nursery, person_at(gateway.ws_port) as person:
            for number in range(200):
                nursery.start_soon(call, number)
            shown = [await person.question() for _ in range(200)]
            gateway.process.send_signal(signal.SIGTERM)
            for question in shown[:100]:
                assert await person.answer(question, question["question"]) == "accepted"
        answered = [text_of(result) for result in outcomes if not result.get("isError")]
        told = [result for result in outcomes if result.get("isError")]
        assert sorted(answered) == sorted(question["question"] for question in shown[:100])
        assert len(told) == 100
        assert all("ask again" in text_of(result).lower() for result in told)
        assert refused == []


async def test_a_second_sigterm_ends_at_once() -> None:
    # Far longer than anybody waits here.
    with running_gateway("--drain-settle-seconds", "600") as gateway, trio.fail_after(PATIENCE):
        gateway.process.send_signal(signal.SIGTERM)
        await trio.to_thread.run_sync(gateway.wait_for_event, "gateway_draining")
        gateway.process.send_signal(signal.SIGTERM)
        await trio.to_thread.run_sync(gateway.process.wait)


async def test_readiness_fails_before_anybody_is_refused() -> None:
    # For longer than this takes; at its end the gateway is told once more, and goes at once.
    with running_gateway("--drain-settle-seconds", "600") as gateway, trio.fail_after(PATIENCE):
        base = f"http://127.0.0.1:{gateway.monitoring_port}"
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{base}/ready")).status_code == 200
            gateway.process.send_signal(signal.SIGTERM)
            await trio.to_thread.run_sync(gateway.wait_for_event, "gateway_draining")
            assert (await client.get(f"{base}/ready")).status_code == 503
            assert (await client.get(f"{base}/live")).status_code == 200
            async with person_at(gateway.ws_port) as person:
                assert isinstance(person, Person)
            async with caller_at(gateway.mcp_port) as caller:
                assert isinstance(caller, Caller)


async def test_memory_does_not_grow_with_what_has_passed() -> None:
    """Rounds of questions over fresh connections: after the first few, memory stays where it is."""

    async def ask_one(gateway: GatewayProcess, number: int) -> None:
        result = await ask(gateway, f"{number} " + "x" * 2000)
        assert text_of(result) == "noted"

    async def round_of(gateway: GatewayProcess) -> int:
        async with person_at(gateway.ws_port) as person, trio.open_nursery() as nursery:
            for number in range(400):
                nursery.start_soon(ask_one, gateway, number)
            shown = [await person.question() for _ in range(400)]
            for question in shown:
                assert await person.answer(question, "noted") == "accepted"
        return gateway.resident_bytes()

    with (
        running_gateway("--drain-settle-seconds", "0", "--memory-answers", "100") as gateway,
        trio.fail_after(PATIENCE),
    ):
        first = max([await round_of(gateway) for _ in range(3)])
        sizes = [await round_of(gateway) for _ in range(5)]
    # 400 questions of 2 KB kept in each round would be 4 MB more after five of them.
    assert max(sizes) - first < 2 * 1024 * 1024, (first, sizes)
