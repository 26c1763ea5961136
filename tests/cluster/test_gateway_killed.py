"""A gateway is killed at each step of a question's life, as its traffic with Redis shows it.

One Redis; the gateway that is killed talks to it through a proxy, the other one directly.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Literal

import pytest
import trio

from haproxy.redis_cluster import RedisNode
from session.redis.scripts import ADMIT, HOLD, SETTLE
from tests.cluster.history import final_store
from tests.cluster.instances import Instance, running_instances, until
from tests.cluster.load import under_load
from tests.interop.person import person_at
from tests.live.caller import caller_at, text_of
from tests.proxy import Proxy
from tests.proxy_traffic import Direction

pytestmark = [
    pytest.mark.slow,
    # trio-websocket leaves the socket of a failed handshake to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PATIENCE = 60
#: How a gateway that heard of an outcome gets it, for the caller that waits.
READ = b"HMGET"
#: What only an event has that gives a question: behind its listing comes the whole of it.
GIVEN = b'"]\n{"'
Moment = Literal["before", "after"]


class Assassin:
    """Kills a gateway before Redis gets a command, or before the gateway gets its reply."""

    def __init__(self, victim: Instance, proxy: Proxy, command: bytes, moment: Moment) -> None:
        self._victim = victim
        self._proxy = proxy
        self._command = command
        self._moment = moment
        self._asked = False
        self._done = threading.Event()

    def lie_in_wait(self) -> None:
        """Kill from now on."""
        self._proxy.watch(self._look)

    async def wait(self) -> None:
        """Return when it is done."""
        assert await trio.to_thread.run_sync(self._done.wait, PATIENCE, abandon_on_cancel=True)

    def _look(self, direction: Direction, data: bytes) -> None:
        if self._done.is_set():
            return
        if self._command == GIVEN:
            if direction == "request" or GIVEN not in data:
                return
            self._asked = True
        elif direction == "request" and self._command in data:
            self._asked = True
        elif self._moment == "before" or not self._asked or direction == "request":
            return
        if self._moment == "before" or direction == "reply":
            self._victim.kill()
            self._proxy.cut()
            self._done.set()


@pytest.fixture(scope="module")
def survivor(redis_node: RedisNode) -> Iterator[Instance]:
    with running_instances(redis_node.url, 1) as (one,):
        yield one


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("command", "delivery"),
    [
        (ADMIT.sha1, "all"),
        (SETTLE.sha1, "all"),
        (SETTLE.sha1, "one"),
        (READ, "all"),
    ],
    ids=["admit", "settle", "settle-one", "reply"],
)
async def test_nothing_is_lost_when_a_gateway_dies(
    redis_node: RedisNode, survivor: Instance, command: bytes, delivery: str, moment: Moment
) -> None:
    """Its agents ask again under their keys, its people send their answers again, elsewhere."""
    with (
        Proxy(redis_node.address) as proxy,
        running_instances(f"redis://127.0.0.1:{proxy.port}", 1) as (victim,),
    ):
        with trio.fail_after(PATIENCE):
            async with under_load([victim, survivor], delivery=delivery) as load:
                assassin = Assassin(victim, proxy, command, moment)
                assassin.lie_in_wait()
                await assassin.wait()
                await load.works_everywhere()
        assert load.history.wrongs(final_store([redis_node])) == []


@pytest.mark.parametrize(
    ("step", "moment"),
    [(HOLD.sha1, "before"), (HOLD.sha1, "after"), (GIVEN, "after")],
    ids=["hold-before", "hold-after", "given"],
)
async def test_nothing_is_lost_when_a_gateway_dies_that_is_to_show_a_question(
    redis_node: RedisNode, survivor: Instance, step: bytes, moment: Moment
) -> None:
    """As above, asked where no people are; what they were shown, or were to be, is free again."""
    with (
        Proxy(redis_node.address) as proxy,
        running_instances(f"redis://127.0.0.1:{proxy.port}", 1) as (victim,),
    ):
        assassin = Assassin(victim, proxy, step, moment)
        # Whoever has answered is given the next: the first one is not.
        assassin.lie_in_wait()
        with trio.fail_after(PATIENCE):
            async with under_load([victim, survivor], delivery="one", seats=[victim]) as load:
                await assassin.wait()
                await load.works_everywhere()
        assert load.history.wrongs(final_store([redis_node])) == []


async def test_a_gateway_that_leaves_is_given_nothing_more(redis_node: RedisNode) -> None:
    """It would be gone before it could show it, and nobody else may for `lease_seconds`."""
    patient = ("--drain-settle-seconds", str(PATIENCE))
    ask = {"question": "?", "audience": {"kind": "user", "name": "ann"}, "delivery": "one"}
    with running_instances(redis_node.url, 2, each=((), patient)) as (asked, leaving):
        with trio.fail_after(PATIENCE):
            async with (
                person_at(leaving.ws_port, user="ann") as person,
                caller_at(asked.mcp_port) as caller,
            ):
                await caller.send("tools/call", {"name": "ask_user", "arguments": ask})
                question = await person.question()
                leaving.terminate()
                await until(lambda: _is_leaving(leaving), "it leaves")
                assert await person.answer(question, "yes") == "accepted"
                answer = await (await caller.response()).result()
                assert text_of(answer["result"]) == "yes"
                again = ask | {"wait": "return"}
                await caller.call("ask_user", **again)
                assert await asked.metric("frontend_router_questions_given_total") == 0
        leaving.kill()


async def _is_leaving(instance: Instance) -> bool:
    return (await instance.statuses())[0] != HTTPStatus.OK
