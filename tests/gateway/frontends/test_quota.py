"""A frontend over its tenant's quota is told so, at the handshake or later, and when to return."""

from __future__ import annotations

from typing import Any

from gateway.frontends import quota
from gateway.frontends.socket import FrontendSocket
from gateway.http.access import Allowlist
from gateway.http.access import Settings as AccessSettings
from gateway.http.connection import HttpConnection
from gateway.http.head import Heads, Limits
from gateway.http.response import Site
from gateway.quotas.settings import Quota
from pool.leases import Taken
from pool.portions import Slots, Tokens
from pool.promises import Promise
from pool.workers import Settings as WorkerSettings
from pool.workers import to_worker
from session.errors import StoreUnavailableError
from session.model import NOBODY, Principal
from tests.gateway.frontends.test_endpoint import UPGRADE, status_of
from tests.gateway.frontends.world import AGENT, Tab, World, now
from tests.wire import Wire


class Slow:
    """A store of quotas whose answer the test gives."""

    shared = True

    def __init__(self) -> None:
        self.answers: list[Promise[Any]] = []

    def holders(self) -> int:
        return 1

    async def take(self, tokens: Tokens, needed: float, extra: float) -> Taken:
        taken: Taken = await self._later()
        return taken

    async def lease(self, slots: Slots, used: int, needed: int, reserve: int) -> int:
        granted: int = await self._later()
        return granted

    async def open_session(self, accounts: Any, session_id: str) -> int:
        raise AssertionError("frontends have no sessions")

    async def end_session(self, accounts: Any, session_id: str) -> None:
        raise AssertionError("frontends have no sessions")

    async def _later(self) -> Any:
        promise: Promise[Any] = Promise()
        self.answers.append(promise)
        return await promise


def upgrade(world: World, principal: Principal = AGENT) -> Wire:
    limits = Limits()
    heads = Heads(limits, Allowlist(AccessSettings(), [8080]))
    site = Site(
        world.endpoint.handle,
        heads,
        limits,
        world.clock.timers,
        lambda *_what: None,
        principal=principal,
    )
    wire = Wire()
    http = wire.speak(lambda connection: HttpConnection(site, connection))
    lines = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
    http.data_received(f"GET /ws HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
    return wire


def used(world: World, kind: str = "frontends") -> int:
    assert world.quotas is not None
    return sum(own.slots[kind].used for own in world.quotas.roster.holdings())


def test_a_frontend_too_many_is_refused_at_the_handshake_until_one_leaves() -> None:
    world = World(quotas=Quota({"frontends": 2}, {}))
    first, second = upgrade(world), upgrade(world)
    assert (status_of(first), status_of(second)) == (101, 101)
    third = upgrade(world)
    assert status_of(third) == 429
    assert b"\r\nRetry-After: 1\r\n" in third.sent
    assert b'"quota":"frontends"' in third.sent
    assert world.endpoint.connected() == 2
    assert world.refused == ["frontends"]
    first.abort()
    world.clock.pass_time(0.2)
    assert status_of(upgrade(world)) == 101
    assert used(world) == 2


def test_tenants_are_apart_and_those_without_a_quota_come_as_they_like() -> None:
    world = World(quotas=Quota({}, {}))
    assert status_of(upgrade(world)) == 101
    world = World(quotas=Quota({"frontends": 1}, {}))
    assert status_of(upgrade(world)) == 101
    assert status_of(upgrade(world, Principal("other", "ann"))) == 101
    assert status_of(upgrade(world)) == 429


def test_others_are_asked_before_a_handshake_is_refused() -> None:
    store = Slow()
    world = World(quotas=Quota({"frontends": 1}, {}), store=store)
    wire = upgrade(world)
    assert wire.sent == b""
    store.answers[0].set(1)
    assert status_of(wire) == 101
    assert isinstance(wire.protocol, FrontendSocket)


def test_who_leaves_while_others_are_asked_uses_nothing() -> None:
    store = Slow()
    world = World(quotas=Quota({"frontends": 1}, {}), store=store)
    wire = upgrade(world)
    wire.abort()
    store.answers[0].set(1)
    assert used(world) == 0
    assert world.endpoint.connected() == 0


def test_while_the_store_is_away_frontends_come_up_to_the_limit() -> None:
    store = Slow()
    world = World(quotas=Quota({"frontends": 1}, {}), store=store)
    wires = [upgrade(world), upgrade(world)]
    while store.answers:
        store.answers.pop(0).fail(StoreUnavailableError("away"))
    assert sorted(map(status_of, wires)) == [101, 429]


def test_without_a_worker_a_handshake_is_refused_for_now() -> None:
    class Stuck(Slow):
        async def _later(self) -> Any:
            await to_worker()

    world = World(
        WorkerSettings(queue=1, queue_per_lane=1),
        quotas=Quota({"frontends": 1}, {}),
        store=Stuck(),
    )
    assert upgrade(world).sent == b""
    other = upgrade(world, Principal("other", "ann"))
    assert status_of(other) == 503


def test_who_says_late_whose_it_is_is_closed_and_may_come_back() -> None:
    world = World(quotas=Quota({"frontends": 1}, {}))
    upgrade(world)
    tab = LateTab(world)
    assert not tab.counts()
    (error,) = [each for each in tab.heard() if each["type"] == "error"]
    assert (error["code"], error["retryable"], error["retry_after"]) == ("over_quota", True, 1.0)
    tab = LateTab(world)
    tab.counts()
    assert tab.close_code() == 1013


def test_who_says_it_again_is_counted_once() -> None:
    world = World(quotas=Quota({"frontends": 2}, {}))
    tab = LateTab(world)
    assert tab.counts()
    assert tab.counts()
    assert used(world) == 1
    tab.wire.abort()
    assert used(world) == 0


def test_who_is_gone_by_then_uses_nothing() -> None:
    world = World(quotas=Quota({"frontends": 2}, {}))
    tab = LateTab(world)
    tab.wire.close()
    assert tab.counts()
    assert used(world) == 0


def test_a_tenant_without_a_quota_is_counted_nowhere() -> None:
    assert LateTab(World(quotas=Quota({}, {}))).counts()


def test_bytes_too_many_are_refused_with_a_time_and_the_question() -> None:
    world = World(quotas=Quota({"bytes_per_minute": 6_000}, {}))
    tab = world.tab()
    tab.heard()
    answer = {"type": "user_response", "request_id": "q", "answer": "x" * 500}
    tab.say(answer)
    assert tab.heard()[-1]["type"] == "response_ack"
    tab.say(answer)
    (error,) = tab.heard()
    assert error["code"] == "over_quota"
    assert error["request_id"] == "q"
    assert error["retryable"]
    assert world.refused == ["bytes_per_minute"]
    world.clock.pass_time(error["retry_after"] + 0.1)
    tab.say(answer)
    assert tab.heard()[-1]["type"] == "response_ack"
    assert world.failures == []


def test_while_the_store_is_away_people_are_heard() -> None:
    store = Slow()
    world = World(quotas=Quota({"bytes_per_minute": 6_000}, {}), store=store)
    tab = Tab(world)
    tab.say({"type": "connect"})
    store.answers.pop().fail(StoreUnavailableError("away"))
    assert tab.heard()[0]["type"] == "connect_ack"


def test_nobodys_messages_count_for_nobody() -> None:
    world = World(quotas=Quota({"bytes_per_minute": 6}, {}))
    tab = Tab(world)
    tab.socket.principal = NOBODY
    tab.say({"type": "connect"})
    assert tab.heard()[0]["type"] == "connect_ack"


class LateTab(Tab):
    """A frontend whose handshake did not say whose it is."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._world = world

    def counts(self) -> bool:
        assert self._world.quotas is not None
        may_stay: bool = now(quota.count(self.socket, self._world.quotas, self.socket.principal))
        return may_stay
