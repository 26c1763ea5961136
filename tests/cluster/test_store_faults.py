"""One Redis behind a bad network, or gone, or full, with gateways that have to live with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

from gateway.errors import STORE_AWAY
from haproxy.redis_cluster import RedisNode, running_node
from session.redis.scripts import ADMIT, RELEASE, SETTLE
from tests.cluster.asking import AGAIN, asked, put_off
from tests.cluster.history import final_store
from tests.cluster.instances import Instance, running_instances, until
from tests.cluster.load import under_load
from tests.interop.person import person_at
from tests.live.caller import HANDSHAKE, caller_at, open_session, text_of
from tests.passing import passing
from tests.proxy import Proxy, once

pytestmark = [
    pytest.mark.slow,
    # trio-websocket leaves the socket of a failed handshake to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PATIENCE = 60
ME = {"name": "test", "version": "1"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisNode]:
    """A server of these tests' own."""
    with running_node(tmp_path_factory.mktemp("behind-a-proxy")) as server:
        yield server


@pytest.fixture(scope="module")
def line(node: RedisNode) -> Iterator[Proxy]:
    with Proxy(node.address) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def gateways(line: Proxy) -> Iterator[list[Instance]]:
    """Two gateways that reach their store through one line."""
    flags = ("--redis-patience-seconds", "0.1", "--redis-probe-seconds", "0.5")
    with running_instances(f"redis://127.0.0.1:{line.port}", 2, *flags) as two:
        yield two


@pytest.fixture(autouse=True)
def calm(line: Proxy, node: RedisNode, gateways: list[Instance]) -> Iterator[None]:
    """After each test the network is well, and the gateways find that out unaided."""
    yield
    line.calm()
    node.command("CONFIG", "SET", "maxmemory", "0")
    trio.run(until, lambda: are_ready(gateways), "they are ready again")


async def are_ready(gateways: list[Instance]) -> bool:
    return [await each.statuses() for each in gateways] == [(200, 200)] * len(gateways)


def delayed(line: Proxy) -> None:
    line.delay(0.05)


def sliced(line: Proxy) -> None:
    line.slice(64)


def cut_off(line: Proxy) -> None:
    line.cut()


def without_answers_to_asks(line: Proxy) -> None:
    line.lose_replies(3, lambda data: ADMIT.sha1 in data)


def without_answers_to_answers(line: Proxy) -> None:
    line.lose_replies(3, lambda data: SETTLE.sha1 in data)


def silent_for_a_moment(line: Proxy) -> None:
    line.blackhole()


@pytest.mark.parametrize(
    "fault",
    [
        delayed,
        sliced,
        cut_off,
        without_answers_to_asks,
        without_answers_to_answers,
        silent_for_a_moment,
    ],
)
async def test_a_bad_line_loses_nothing(
    node: RedisNode, line: Proxy, gateways: list[Instance], fault: Callable[[Proxy], None]
) -> None:
    with trio.fail_after(PATIENCE):
        async with under_load(gateways) as load:
            await trio.to_thread.run_sync(fault, line)
            if fault is silent_for_a_moment:
                seen = line.connections
                # A reply that does not come is given up, and its connection is opened anew.
                await until(lambda: grew(line, seen), "it is given up")
                await trio.to_thread.run_sync(line.calm)
            await load.works_everywhere()
    assert load.history.wrongs(final_store([node])) == []


async def grew(line: Proxy, seen: int) -> bool:
    return line.connections > seen


async def test_answers_arrive_in_two_seconds_though_no_event_does(
    line: Proxy, gateways: list[Instance], node: RedisNode
) -> None:
    """D6: the subscriptions' connections stay open and carry nothing: the sweep finds it all.

    What each publishes to itself shows that nothing is heard; so it does of those that are
    opened instead, until they carry something.
    """
    a, b = gateways
    before = [await store_of(each) for each in gateways]
    with trio.fail_after(PATIENCE):
        async with person_at(b.ws_port, user="deaf") as person:
            async with asked(a, "deaf") as response:
                question = await person.question()
                await trio.to_thread.run_sync(line.silence, lambda data: b"smessage" in data)
                assert await person.answer(question, "heard") == "accepted"
                async with passing() as seconds:
                    assert text_of((await response.result())["result"]) == "heard"
                    assert seconds() < 2
            # And a question is found as well as an answer.
            async with asked(a, "deaf") as response:
                async with passing() as seconds:
                    question = await person.question()
                    assert seconds() < 2
                assert await person.answer(question, "again") == "accepted"
                async with passing() as seconds:
                    assert text_of((await response.result())["result"]) == "again"
                    assert seconds() < 2
        after = [await store_of(each) for each in gateways]
        for was, now in zip(before, after, strict=True):
            assert now["found_by_sweep"] > was["found_by_sweep"]

        async def notice() -> bool:
            return all(
                [
                    (await store_of(each))["probes_lost"] > was["probes_lost"]
                    for each, was in zip(gateways, before, strict=True)
                ]
            )

        await until(notice, "both have noticed")
        await trio.to_thread.run_sync(line.calm)

        async def hear() -> bool:
            return [(await store_of(each))["subscribed"] for each in gateways] == [16, 16]

        await until(hear, "both hear everything again")


async def store_of(gateway: Instance) -> dict[str, Any]:
    """Return what a gateway knows of its store."""
    health = (await gateway.get("/health")).json()
    known: dict[str, Any] = health["components"]["store"]["metadata"]
    return known


@pytest.fixture
def unleased(line: Proxy) -> Iterator[Instance]:
    """A gateway where nobody has used anything of a quota yet: each has to be asked about."""
    quotas = ("--quotas-asks-per-second", "100", "--quotas-bytes-per-minute", "1000000")
    flags = ("--redis-patience-seconds", "0.1", *quotas)
    with running_instances(f"redis://127.0.0.1:{line.port}", 1, *flags) as (one,):
        yield one


async def test_without_its_store_for_ten_seconds_nobody_is_lost(
    line: Proxy, gateways: list[Instance], unleased: Instance
) -> None:
    """Sockets stay; new questions are refused and say when to ask again; an answer is accepted."""
    a, b = gateways
    with trio.fail_after(PATIENCE):
        async with (
            person_at(b.ws_port, user="outage") as person,
            asked(a, "outage") as response,
            trio.open_nursery() as nursery,
        ):
            question = await person.question()
            gone_since = trio.current_time()

            def fail() -> None:
                line.refuse()
                line.cut()

            await trio.to_thread.run_sync(fail)
            acks: list[str] = []

            async def answer() -> None:
                acks.append(await person.answer(question, "through it all"))

            nursery.start_soon(answer)

            async def says_so() -> bool:
                return [await each.statuses() for each in gateways] == [(503, 200)] * 2

            await until(says_so, "they are not ready, and live")
            # Whether a tenant's quotas were asked about before makes no difference.
            for gateway in (a, unleased):
                assert await put_off(gateway, "nobody") == STORE_AWAY
            # No session can be opened either: that is said in HTTP, with a time to come back.
            async with caller_at(b.mcp_port) as caller:
                introduction = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": ME}
                await caller.send("initialize", introduction)
                refused = await caller.response()
                assert refused.status == 503
                assert int(refused.headers["retry-after"]) >= 1
                reply = await refused.result()
                assert (reply["id"], reply["error"]["data"]) == (1, AGAIN)
            assert acks == []
            await until(lambda: is_over(gone_since + 10), "ten seconds have passed", every=0.25)
            await trio.to_thread.run_sync(line.accept)
            back_since = trio.current_time()
            assert text_of((await response.result())["result"]) == "through it all"
            while not acks:
                await trio.lowlevel.checkpoint()
            print(f"the answer is there {trio.current_time() - back_since:.1f} s after the outage")
            assert acks == ["accepted"]

            await until(lambda: are_ready(gateways), "they are ready again")
            # The same sockets, and a question in the other direction.
            async with asked(b, "outage") as well:
                assert await person.answer(await person.question(), "well") == "accepted"
                assert text_of((await well.result())["result"]) == "well"


async def is_over(moment: float) -> bool:
    return trio.current_time() >= moment


async def test_what_nobody_waits_for_is_taken_back_once_the_store_is_there(
    hasty: tuple[Instance, Instance, Proxy],
) -> None:
    """Its caller leaves during an outage; a person types meanwhile. Neither is a defect."""
    _, gateway, own_line = hasty
    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port, user="left") as person:
            async with asked(gateway, "left", timeout_seconds=3600):
                question = await person.question()

                def fail() -> None:
                    own_line.refuse()
                    own_line.cut()

                await trio.to_thread.run_sync(fail)
            await person.say(type="draft", request_id=question["request_id"], text="blu")
            waiting = "frontend_router_withdrawals_waiting"
            drafts = 'frontend_router_refused_total{reason="drafts"}'
            await until(lambda: counts(gateway, waiting), "it is remembered")
            await until(lambda: counts(gateway, drafts), "the draft is given up")
            await trio.to_thread.run_sync(own_line.accept)
            closed = await person.frame("question_closed")
            assert (closed["request_id"], closed["reason"]) == (question["request_id"], "cancelled")
            assert await gateway.metric(waiting) == 0
    logged = [event for event in list(gateway.events) if event.get("event") == "job_failed"]
    assert logged == []


async def counts(gateway: Instance, name: str) -> bool:
    return await gateway.metric(name) > 0


async def test_a_full_store_refuses_questions_and_takes_answers(
    node: RedisNode, gateways: list[Instance]
) -> None:
    a, b = gateways
    with trio.fail_after(PATIENCE):
        async with person_at(b.ws_port, user="full") as person, asked(a, "full") as response:
            question = await person.question()
            node.command("CONFIG", "SET", "maxmemory", "1mb")
            assert "memory is full" in await put_off(b, "full")
            assert await person.answer(question, "in time") == "accepted"
            assert text_of((await response.result())["result"]) == "in time"
            node.command("CONFIG", "SET", "maxmemory", "0")
            async with asked(b, "full") as response_after:
                assert await person.answer(await person.question(), "room") == "accepted"
                assert text_of((await response_after.result())["result"]) == "room"


async def test_scripts_that_redis_forgot_are_sent_again(
    node: RedisNode, gateways: list[Instance]
) -> None:
    a, b = gateways
    with trio.fail_after(PATIENCE):
        async with person_at(b.ws_port, user="scripts") as person:
            node.command("SCRIPT", "FLUSH")
            async with asked(a, "scripts") as response:
                question = await person.question()
                node.command("SCRIPT", "FLUSH")
                assert await person.answer(question, "loaded") == "accepted"
                assert text_of((await response.result())["result"]) == "loaded"


@pytest.fixture
def hasty(node: RedisNode) -> Iterator[tuple[Instance, Instance, Proxy]]:
    """A gateway, and one that soon gives up what its own line to the store swallows."""
    with Proxy(node.address) as own_line:
        flags = ("--redis-command-seconds", "2", "--redis-reply-seconds", "2")
        with (
            running_instances(f"redis://127.0.0.1:{own_line.port}", 1, *flags) as (hasty_one,),
            running_instances(node.url, 1) as (steady,),
        ):
            yield steady, hasty_one, own_line


async def test_a_question_that_was_heard_of_and_could_not_be_read_is_shown_later(
    hasty: tuple[Instance, Instance, Proxy],
) -> None:
    """No event is missed here and the store is soon back: only this reading has failed."""
    steady, hasty_one, own_line = hasty
    with trio.fail_after(PATIENCE):
        async with person_at(hasty_one.ws_port, user="unread") as person:
            await trio.to_thread.run_sync(own_line.silence, once(b"HMGET"))
            async with asked(steady, "unread") as response:
                question = await person.question()
                assert await person.answer(question, "late") == "accepted"
                assert text_of((await response.result())["result"]) == "late"


async def test_a_question_that_could_not_be_let_go_of_is_let_go_of_later(
    hasty: tuple[Instance, Instance, Proxy],
) -> None:
    """Delivery one: its frontend leaves, and the store does not hear of it at once."""
    steady, hasty_one, own_line = hasty
    with trio.fail_after(PATIENCE):
        async with (
            person_at(hasty_one.ws_port, user="held on") as first,
            asked(steady, "held on", delivery="one") as response,
        ):
            question = await first.question()
            await first.say(type="seen", request_id=question["request_id"])
            async with person_at(steady.ws_port, user="held on") as second:
                await trio.to_thread.run_sync(own_line.silence, once(RELEASE.sha1))
                await first.leave()
                question = await second.question()
                assert await second.answer(question, "mine now") == "accepted"
                assert text_of((await response.result())["result"]) == "mine now"


async def test_a_stream_that_broke_before_its_question_was_stored_is_resumed_elsewhere(
    hasty: tuple[Instance, Instance, Proxy],
) -> None:
    """Its first event leaves after 0.1 s; what it waits for is stored some time after that."""
    steady, slow_one, own_line = hasty
    with trio.fail_after(PATIENCE):
        session = await open_session(steady.mcp_port)
        async with person_at(steady.ws_port, user="fast") as person:
            await trio.to_thread.run_sync(own_line.delay, 0.06)
            async with asked(slow_one, "fast", session) as response:
                last_event, _ = await response.event()
            async with caller_at(steady.mcp_port, session=session) as caller:
                resumed = await caller.resume(last_event)
                assert resumed.status == 200
                assert await person.answer(await person.question(), "caught up") == "accepted"
                assert text_of((await resumed.result())["result"]) == "caught up"
            # Nothing is left of the call whose caller had gone.
            await until(lambda: waits_for_nobody(slow_one), "its call is over")


async def waits_for_nobody(gateway: Instance) -> bool:
    return await gateway.metric("mcp_active_requests") == 0
