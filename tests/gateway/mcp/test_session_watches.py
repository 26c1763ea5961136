"""What a session has subscribed to is told where it listens; instances side by side."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.access import Access
from gateway.mcp.endpoint import Settings
from gateway.mcp.registry import Registry
from gateway.mcp.results import ReadResult
from gateway.mcp.watching import WATCHED, Watching
from gateway.recheck import Recheck
from gateway.upkeep import Upkeep
from pool.promises import Promise
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers, to_worker
from session.model import SCOPES, Principal
from tests.gateway.mcp.recording import Held, Port, Recorder, Screen, ask

UPDATED = "notifications/resources/updated"
LIST = "notifications/prompts/list_changed"
NEWS = [LIST, UPDATED]
MINE = "test://mine/1"
KEEP_ALIVE = 15


class Things:
    """Resources of one instance that change."""

    def __init__(self) -> None:
        self.watched: dict[str, list[Callable[[], None]]] = {}
        #: Those that stay as they are, those that are no more, and how often any was looked at.
        self.final: set[str] = set()
        self.gone: set[str] = set()
        self.looks = 0

    def declare(self, registry: Registry) -> None:
        registry.resource("test://one", "one", self._read)
        registry.template("test://mine/{id}", "mine", self._read, watch=self._watch)
        registry.template("test://listed/{id}", "l", self._read, watch=self._watch, scope="list")

    def change(self, uri: str) -> None:
        for changed in list(self.watched.get(uri, ())):
            changed()

    @property
    def uris(self) -> list[str]:
        return sorted(uri for uri, watchers in self.watched.items() for _ in watchers)

    async def _read(self, *_what: object) -> ReadResult:
        return ReadResult(())

    async def _watch(
        self, _principal: Principal, uri: str, values: dict[str, str], changed: Callable[[], None]
    ) -> Watching | None:
        self.looks += 1
        if values["id"] == "foreign" or uri in self.gone:
            return None
        watchers = self.watched.setdefault(uri, [])
        watchers.append(changed)
        is_final = uri in self.final
        return Watching(lambda: watchers.remove(changed), is_final, is_final)


class Pair:
    """Two instances on one store. What one announces is passed on when the test says so."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.things, self.more_things = Things(), Things()
        self.here = Port(settings, declare=self.things.declare)
        self.there = Port(settings, declare=self.more_things.declare, beside=self.here, shared=True)

    def pass_on(self) -> None:
        """Let each hear what the other said."""
        for one, other in ((self.here, self.there), (self.there, self.here)):
            said, one.announced[:] = list(one.announced), []
            for session_id in said:
                other.endpoint.watches.changed(session_id)
        for port in (self.here, self.there):
            port.pass_time(0.2)


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
def port(things: Things) -> Port:
    return Port(declare=things.declare)


def subscribe(port: Port, session: str, uri: str) -> Any:
    return port.in_session(session, "resources/subscribe", {"uri": uri}).json


def unsubscribe(port: Port, session: str, uri: str) -> Any:
    return port.in_session(session, "resources/unsubscribe", {"uri": uri}).json


def told(stream: Recorder) -> list[str]:
    """Return what was said to have changed."""
    return [each["params"]["uri"] for each in stream.messages if each["method"] == UPDATED]


async def test_a_watch_of_an_ended_credential_is_no_news_of_its_own() -> None:
    """What is told on a stream ends with that: it is not found to have ended, over and over."""
    port = Port()
    admins = [Principal("acme", "root", scopes=SCOPES, credential=f"key:{n}") for n in range(2)]
    port.principal = admins[0]
    session = port.initialize()
    port.in_session(session, "tools/call", ask(wait="return"))
    (question_id,) = port.store._records
    subscribe(port, session, f"question://{question_id}")
    first = port.listen(session)
    port.principal = admins[1]
    second = port.listen(session)
    gateway: Any = SimpleNamespace(
        frontends=SimpleNamespace(sockets=lambda: ()),
        mcp=port.endpoint,
        router=port.router,
        upkeep=Upkeep(port.router, port.workers),
    )
    access: Any = SimpleNamespace(_gateway=gateway)
    auth: Any = SimpleNamespace(is_good=lambda principal: principal.credential != "key:0")
    ended: list[Principal] = []
    recheck = Recheck(auth, lambda: Access._held(access), 5, ended.append)
    for _ in range(3):
        await recheck._look_at(list(Access._held(access)))
    assert (first.complete, second.complete) == (True, False)
    assert (ended, recheck.cut_off) == ([admins[0]], 1)
    # It goes on being watched, for the other stream.
    screen = port.attach(Screen())
    assert port.answer(screen, "red") == "accepted"
    assert told(second) == [f"question://{question_id}"]


# -- one instance


def test_a_session_watches_resources_until_it_says_otherwise(port: Port, things: Things) -> None:
    session = port.initialize()
    stream = port.listen(session)
    for uri in ("test://one", "test://mine/1", "test://mine/1"):
        assert subscribe(port, session, uri)["result"] == {}
    assert things.uris == ["test://mine/1"]
    port.endpoint._subscriptions.updated("test://one")
    things.change("test://mine/1")
    assert told(stream) == ["test://one", "test://mine/1"]
    assert port.endpoint.statistics().watched == 2
    for uri in ("test://one", "test://mine/1", "test://one"):
        assert unsubscribe(port, session, uri)["result"] == {}
    port.endpoint._subscriptions.updated("test://one")
    assert len(told(stream)) == 2
    assert things.uris == []
    assert port.endpoint.statistics().watched == 0


def test_nothing_is_watched_for_who_does_not_listen(port: Port, things: Things) -> None:
    session = port.initialize()
    subscribe(port, session, "test://mine/1")
    assert things.uris == []
    streams = [port.listen(session), port.listen(session)]
    assert things.uris == ["test://mine/1"]
    things.change("test://mine/1")
    # On one of them, never on two.
    assert [told(each) for each in streams] == [[], ["test://mine/1"]]
    streams[1].disconnect()
    things.change("test://mine/1")
    assert told(streams[0]) == ["test://mine/1"]
    streams[0].disconnect()
    assert things.uris == []
    assert len(port.endpoint.watches) == 0


def test_what_has_ended_for_good_while_nobody_listened_is_told_once(
    port: Port, things: Things
) -> None:
    session = port.initialize()
    subscribe(port, session, "test://mine/1")
    things.final.add("test://mine/1")
    first = port.listen(session)
    assert told(first) == ["test://mine/1"]
    first.disconnect()
    assert told(port.listen(session)) == []
    assert things.uris == []


def test_of_what_stays_as_it_is_nothing_is_kept(port: Port, things: Things) -> None:
    things.final.add("test://mine/1")
    session = port.initialize()
    stream = port.listen(session)
    assert subscribe(port, session, "test://mine/1")["result"] == {}
    port.pass_time(2 * KEEP_ALIVE)
    assert (told(stream), things.uris, port.announced) == ([], [], [])


def test_what_a_session_watches_ends_with_it(port: Port, things: Things) -> None:
    session = port.initialize()
    stream = port.listen(session)
    subscribe(port, session, "test://mine/1")
    port.send(b"", "DELETE", mcp_session_id=session)
    assert stream.complete
    assert things.uris == []
    assert port.announced == [session, session]


def test_the_end_of_the_process_ends_what_is_watched(port: Port, things: Things) -> None:
    session = port.initialize()
    port.listen(session)
    subscribe(port, session, "test://mine/1")
    port.endpoint.stop_listening()
    assert things.uris == []


# -- who may what


@pytest.mark.parametrize("method", ["resources/subscribe", "resources/unsubscribe"])
def test_where_there_are_no_resources_none_can_be_watched(method: str) -> None:
    port = Port(bare=True)
    reply = port.in_session(port.initialize(), method, {"uri": "test://one"}).json
    assert reply["error"]["code"] == -32601


def test_who_may_not_read_a_resource_cannot_watch_it(port: Port, things: Things) -> None:
    port.principal = Principal("acme", "ann", scopes=frozenset({"ask"}))
    session = port.initialize()
    assert subscribe(port, session, "test://listed/1")["error"]["code"] == -32002
    assert things.looks == 0


@pytest.mark.parametrize("uri", ["test://none", "test://mine/foreign"])
def test_what_is_not_there_for_this_caller_cannot_be_watched(port: Port, uri: str) -> None:
    session = port.initialize()
    error = subscribe(port, session, uri)["error"]
    assert (error["code"], error["data"]) == (-32002, {"uri": uri})
    assert port.announced == []


def test_a_stream_hears_only_what_its_own_credential_may_see(port: Port, things: Things) -> None:
    session = port.initialize()
    subscribe(port, session, "test://listed/1")
    port.principal = Principal(port.principal.tenant, port.principal.subject)
    port.listen(session)
    port.pass_time(2 * KEEP_ALIVE)
    assert (things.uris, things.looks) == ([], 1)
    port.principal = Principal("acme", "ann", scopes=SCOPES)
    port.listen(session)
    assert things.uris == ["test://listed/1"]


def test_what_another_credential_subscribes_to_is_told_as_far_as_the_stream_may_hear(
    port: Port, things: Things
) -> None:
    session = port.initialize()
    port.principal = Principal("acme", "ann", scopes=frozenset({"ask"}))
    stream = port.listen(session)
    port.principal = Principal("acme", "ann", scopes=SCOPES)
    for uri in ("test://listed/1", "test://mine/1"):
        assert subscribe(port, session, uri)["result"] == {}
    for seconds in (0.2, 2 * KEEP_ALIVE):
        port.pass_time(seconds)
        assert things.uris == ["test://mine/1"]
    things.change("test://mine/1")
    assert told(stream) == ["test://mine/1"]


def test_nothing_more_is_told_while_what_another_credential_subscribes_to_is_stored() -> None:
    things = Things()
    port = Port(declare=things.declare, shared=True)
    session = port.initialize()
    held = Held(port.shared, "save_subscription")
    wide = port.principal
    port.principal = Principal("acme", "ann", scopes=frozenset({"ask"}))
    stream = port.listen(session)
    port.principal = wide
    port.in_session(session, "resources/subscribe", {"uri": "test://listed/1"})
    things.change("test://listed/1")
    assert told(stream) == []
    held.go_on()
    assert things.uris == []


def test_what_was_not_there_is_looked_for_when_another_credential_subscribes_to_it(
    port: Port, things: Things
) -> None:
    session = port.initialize()
    subscribe(port, session, "test://mine/1")
    things.gone.add("test://mine/1")
    port.principal = Principal("acme", "ann", scopes=frozenset({"ask"}))
    port.listen(session)
    things.gone.clear()
    port.principal = Principal("acme", "ann", scopes=SCOPES)
    subscribe(port, session, "test://mine/1")
    port.pass_time(0.2)
    assert things.uris == ["test://mine/1"]


def test_of_several_streams_the_one_that_is_told_says_what_may_be(
    port: Port, things: Things
) -> None:
    session = port.initialize()
    wide = port.principal
    subscribe(port, session, "test://listed/1")
    subscribe(port, session, "test://mine/1")
    streams: list[Recorder] = []
    narrow = Principal("acme", "ann", scopes=frozenset({"ask"}))
    for principal in (narrow, wide, narrow, wide):
        port.principal = principal
        streams.append(port.listen(session))
        assert ("test://listed/1" in things.uris) == (principal is wide)
    while streams:
        assert ("test://listed/1" in things.uris) == (len(streams) % 2 == 0)
        streams.pop().disconnect()
        port.pass_time(0.2)
    assert things.uris == []


def test_another_credential_that_may_as_much_changes_nothing(port: Port, things: Things) -> None:
    session = port.initialize()
    stream = port.listen(session)
    port.principal = Principal("acme", "ann", scopes=SCOPES, credential="another")
    subscribe(port, session, "test://mine/1")
    assert (things.uris, things.looks) == (["test://mine/1"], 1)
    port.listen(session).disconnect()
    assert (told(stream), things.uris, things.looks) == ([], ["test://mine/1"], 1)


def test_what_is_gone_is_not_looked_for_each_time_that_the_stream_is_kept_alive(
    port: Port, things: Things
) -> None:
    session = port.initialize()
    subscribe(port, session, "test://mine/1")
    things.gone.add("test://mine/1")
    stream = port.listen(session)
    port.pass_time(4 * KEEP_ALIVE)
    assert (told(stream), things.looks) == ([], 2)


@pytest.mark.parametrize("method", ["resources/subscribe", "resources/unsubscribe"])
def test_nobody_else_changes_what_a_session_watches(
    port: Port, things: Things, method: str
) -> None:
    session = port.initialize()
    subscribe(port, session, "test://mine/1")
    for stranger in (
        Principal("acme", "bob", scopes=SCOPES),
        Principal("other", "ann", scopes=SCOPES),
    ):
        port.principal = stranger
        for uri in ("test://mine/1", "test://mine/2"):
            foreign = port.in_session(session, method, {"uri": uri})
            unknown = port.in_session(session[:-4] + "0000", method, {"uri": uri})
            assert (foreign.status, foreign.body) == (unknown.status, unknown.body)
            assert foreign.status == 404
        assert port.listen(session).status == 404
    port.principal = Principal("acme", "ann", scopes=SCOPES)
    port.listen(session)
    assert things.uris == ["test://mine/1"]


@pytest.mark.parametrize("params", [{}, {"uri": 5}, {"uri": "x" * 3000}])
@pytest.mark.parametrize("method", ["resources/subscribe", "resources/unsubscribe"])
def test_a_subscription_needs_a_uri(port: Port, method: str, params: Any) -> None:
    reply = port.in_session(port.initialize(), method, params).json
    assert reply["error"]["code"] == -32602


@pytest.mark.parametrize("method", ["resources/subscribe", "resources/unsubscribe"])
def test_the_modern_revision_has_no_such_methods(port: Port, method: str) -> None:
    reply = port.modern(method, {"uri": "test://one"})
    assert (reply.status, reply.json["error"]["code"]) == (404, -32601)


@pytest.mark.parametrize("listens", [False, True])
def test_a_session_watches_so_many_resources(port: Port, things: Things, *, listens: bool) -> None:
    session = port.initialize()
    if listens:
        port.listen(session)
    for number in range(WATCHED):
        assert "result" in subscribe(port, session, f"test://mine/{number}")
    params = {"uri": "test://mine/more"}
    reply = port.in_session(session, "resources/subscribe", params)
    assert (reply.status, reply.json["error"]["code"]) == (429, -31000)
    assert subscribe(port, session, "test://mine/0")["result"] == {}
    assert len(things.uris) == (WATCHED if listens else 0)
    unsubscribe(port, session, "test://mine/0")
    assert subscribe(port, session, "test://mine/more")["result"] == {}


# -- several instances


@pytest.mark.parametrize("listens_first", [False, True])
def test_it_is_told_at_the_instance_where_the_session_listens(*, listens_first: bool) -> None:
    pair = Pair()
    session = pair.here.initialize()
    if listens_first:
        stream = pair.there.listen(session)
    subscribe(pair.here, session, "test://mine/1")
    if not listens_first:
        stream = pair.there.listen(session)
    pair.pass_on()
    pair.more_things.change("test://mine/1")
    assert told(stream) == ["test://mine/1"]
    assert (pair.things.uris, pair.more_things.uris) == ([], ["test://mine/1"])
    unsubscribe(pair.here, session, "test://mine/1")
    pair.pass_on()
    pair.more_things.change("test://mine/1")
    assert told(stream) == ["test://mine/1"]


def test_what_ends_before_the_other_instance_has_heard_is_told() -> None:
    pair = Pair()
    session = pair.here.initialize()
    stream = pair.there.listen(session)
    subscribe(pair.here, session, "test://mine/1")
    pair.more_things.final.add("test://mine/1")
    pair.pass_on()
    assert told(stream) == ["test://mine/1"]
    assert pair.more_things.uris == []


def test_what_was_never_heard_is_found_as_the_stream_is_kept_alive() -> None:
    pair = Pair()
    session = pair.here.initialize()
    stream = pair.there.listen(session)
    subscribe(pair.here, session, "test://mine/1")
    pair.there.pass_time(KEEP_ALIVE)
    assert pair.more_things.uris == ["test://mine/1"]
    unsubscribe(pair.here, session, "test://mine/1")
    pair.there.pass_time(KEEP_ALIVE)
    assert pair.more_things.uris == []
    pair.here.send(b"", "DELETE", mcp_session_id=session)
    assert not stream.complete
    pair.there.pass_time(KEEP_ALIVE)
    assert stream.complete


def test_what_may_have_been_missed_is_looked_at_where_it_concerns_anybody() -> None:
    pair = Pair()
    sessions = [pair.here.initialize() for _ in range(2)]
    for session in sessions:
        pair.there.listen(session)
        subscribe(pair.here, session, f"test://mine/{session}")
    pair.there.endpoint.watches.missed(lambda session_id: session_id == sessions[0])
    pair.there.pass_time(0.2)
    assert pair.more_things.uris == [f"test://mine/{sessions[0]}"]


def test_a_session_that_is_ended_elsewhere_has_no_stream_here() -> None:
    pair = Pair()
    session, other = pair.here.initialize(), pair.here.initialize()
    subscribe(pair.here, session, "test://mine/1")
    stream, stays = pair.there.listen(session), pair.there.listen(other)
    pair.here.send(b"", "DELETE", mcp_session_id=session)
    pair.pass_on()
    assert (stream.complete, stays.complete) == (True, False)
    assert pair.more_things.uris == []


# -- streams at several instances


class Streams(Pair):
    """A session with a stream at each of two instances; the older one is here."""

    def __init__(self) -> None:
        super().__init__()
        self.session = self.here.initialize()
        subscribe(self.here, self.session, MINE)
        self.older = self.here.listen(self.session)
        self.newer = self.there.listen(self.session)

    def change(self) -> None:
        """Have a resource and a list be others, as all instances hear."""
        for port, things in ((self.here, self.things), (self.there, self.more_things)):
            things.change(MINE)
            port.endpoint._subscriptions.list_changed("prompts")
            port.pass_time(0.2)

    def told(self) -> tuple[list[str], list[str]]:
        """Return what came on the older stream, and on the newer one, since this was asked."""
        heard = methods(self.older), methods(self.newer)
        self.older.body = self.newer.body = b""
        return heard


def methods(stream: Recorder) -> list[str]:
    return sorted(each["method"] for each in stream.messages)


def test_each_thing_is_told_at_the_instance_with_the_newest_stream() -> None:
    streams = Streams()
    streams.pass_on()
    streams.change()
    assert streams.told() == ([], NEWS)
    # What is not told is not watched, either.
    assert (streams.things.uris, streams.more_things.uris) == ([], [MINE])
    assert not streams.older.complete
    streams.older = streams.here.listen(streams.session)
    streams.pass_on()
    streams.told()
    streams.change()
    assert streams.told() == (NEWS, [])


def test_as_streams_are_kept_alive_nobody_is_told_anything() -> None:
    streams = Streams()
    streams.pass_on()
    for _ in range(10):
        streams.here.pass_time(KEEP_ALIVE / 2)
        streams.there.pass_time(KEEP_ALIVE / 2)
    assert (streams.here.announced, streams.there.announced) == ([], [])
    streams.change()
    assert streams.told() == ([], NEWS)


def test_the_older_stream_is_told_what_follows_the_end_of_the_newer_one() -> None:
    streams = Streams()
    streams.pass_on()
    streams.newer.disconnect()
    # It is told by nobody, until it is heard that it is for the older one.
    streams.change()
    assert streams.told() == ([], [])
    streams.things.final.add(MINE)
    streams.pass_on()
    assert streams.told() == (NEWS, [])
    streams.change()
    assert streams.told() == ([LIST], [])
    assert (streams.here.failures, streams.there.failures) == ([], [])


def test_what_the_newer_stream_was_told_may_be_told_again_when_it_ends() -> None:
    """That it was sent does not say that it has come."""
    streams = Streams()
    streams.pass_on()
    for _ in range(3):
        streams.change()
    streams.told()
    streams.newer.disconnect()
    streams.pass_on()
    assert streams.told() == ([LIST], [])


def test_when_an_instance_dies_the_older_stream_is_told_again() -> None:
    streams = Streams()
    streams.pass_on()
    streams.here.pass_time(KEEP_ALIVE)
    streams.change()
    assert streams.told() == ([], NEWS)
    streams.here.pass_time(2 * KEEP_ALIVE)
    assert streams.things.uris == [MINE]
    streams.told()
    streams.change()
    assert streams.told()[0] == NEWS


def test_one_that_was_only_slow_is_the_newest_again() -> None:
    streams = Streams()
    streams.pass_on()
    streams.here.pass_time(3 * KEEP_ALIVE)
    assert streams.things.uris == [MINE]
    streams.there.now = streams.here.now
    streams.there.pass_time(0.1)
    assert streams.there.announced == [streams.session]
    streams.pass_on()
    streams.told()
    streams.change()
    assert streams.told() == ([], NEWS)


def test_a_lost_message_has_both_tell_until_the_older_stream_is_kept_alive() -> None:
    streams = Streams()
    assert streams.there.announced == [streams.session]
    streams.there.announced.clear()
    streams.change()
    assert streams.told() == (NEWS, NEWS)
    streams.here.pass_time(KEEP_ALIVE)
    streams.told()
    streams.change()
    assert streams.told() == ([], NEWS)


def test_of_three_instances_the_latest_that_is_left_tells() -> None:
    streams = Streams()
    newest_things = Things()
    third = Port(declare=newest_things.declare, beside=streams.here)
    newest = third.listen(streams.session)

    def pass_on() -> None:
        for session_id in third.announced:
            for port in (streams.here, streams.there):
                port.endpoint.watches.changed(session_id)
        third.announced.clear()
        streams.pass_on()

    pass_on()
    streams.change()
    newest_things.change(MINE)
    assert (streams.told(), told(newest)) == (([], []), [MINE])
    newest.disconnect()
    pass_on()
    streams.told()
    streams.change()
    assert streams.told() == ([], NEWS)


def test_when_the_newest_ends_the_newest_of_those_left_is_told_wherever_it_is() -> None:
    streams = Streams()
    newest = streams.here.listen(streams.session)
    streams.pass_on()
    streams.change()
    assert methods(newest) == NEWS
    assert streams.told() == ([], [])
    newest.disconnect()
    for _ in range(2):
        streams.pass_on()
    streams.told()
    streams.change()
    assert streams.told() == ([], NEWS)


def test_a_stranger_has_no_stream_that_a_session_would_be_told_on() -> None:
    streams = Streams()
    streams.newer.disconnect()
    streams.pass_on()
    for stranger in (
        Principal("acme", "bob", scopes=SCOPES),
        Principal("other", "ann", scopes=SCOPES),
    ):
        streams.there.principal = stranger
        assert streams.there.listen(streams.session).status == 404
        assert streams.there.announced == []
    streams.pass_on()
    streams.told()
    streams.change()
    assert streams.told() == (NEWS, [])


def test_what_is_subscribed_to_where_it_is_not_told_is_told_where_it_is() -> None:
    streams = Streams()
    streams.pass_on()
    subscribe(streams.here, streams.session, "test://mine/2")
    assert streams.things.uris == []
    streams.pass_on()
    assert streams.more_things.uris == [MINE, "test://mine/2"]


def test_what_is_subscribed_to_as_the_turn_passes_is_watched() -> None:
    """The store is read before it, and says that it is this instance's turn after it."""
    streams = Streams()
    streams.pass_on()
    streams.newer.disconnect()
    waiting: list[Promise[None]] = []
    listen = streams.here.store.listen

    async def slow(*what: Any) -> Any:
        heard = await listen(*what)
        if not waiting:
            waiting.append(Promise())
            await waiting[0]
        return heard

    store: Any = streams.here.store
    store.listen = slow
    streams.pass_on()
    subscribe(streams.here, streams.session, "test://mine/2")
    assert streams.things.uris == []
    waiting[0].set(None)
    assert streams.things.uris == [MINE, "test://mine/2"]


def test_what_changes_as_it_is_subscribed_to_where_it_is_not_told_is_not_told_there() -> None:
    streams = Streams()
    streams.pass_on()
    held = Held(streams.here.store, "save_subscription")
    params = {"uri": "test://mine/2"}
    streams.here.in_session(streams.session, "resources/subscribe", params)
    streams.things.change("test://mine/2")
    held.go_on()
    streams.newer.disconnect()
    streams.pass_on()
    assert streams.told() == ([], [])
    assert streams.things.uris == [MINE, "test://mine/2"]


def test_a_stream_that_ends_before_the_store_knows_it_keeps_nobody_from_being_told() -> None:
    streams = Streams()
    streams.newer.disconnect()
    streams.pass_on()
    held = Held(streams.there.shared, "listen")
    streams.newer = streams.there.listen(streams.session)
    streams.newer.disconnect()
    held.go_on()
    streams.pass_on()
    streams.told()
    streams.change()
    assert streams.told() == (NEWS, [])


@pytest.mark.parametrize("busy", [False, True])
def test_an_end_that_cannot_be_told_is_found_as_the_older_stream_is_kept_alive(
    *, busy: bool
) -> None:
    streams = Streams()
    streams.pass_on()
    if busy:
        few = WorkerSettings(minimum=1, maximum=1, queue=1, queue_per_lane=1)
        workers = Workers(few, on_failure=lambda _lane, _error: None)
        streams.there.endpoint.watches._workers = workers

        async def slow(*_what: Any) -> None:
            await to_worker()

        streams.there.shared.end_listening = slow
        # No worker runs: the first that needs one fills the queue.
        job = to_worker_first()
        workers.start("acme", job)
        streams.newer.disconnect()
        job.close()
    else:
        streams.there.shared.away.add("end_listening")
        streams.newer.disconnect()
    assert streams.there.announced == []
    streams.here.pass_time(3 * KEEP_ALIVE)
    streams.told()
    streams.change()
    assert streams.told() == (NEWS, [])
    assert (streams.here.failures, streams.there.failures) == ([], [])


def test_the_end_of_a_process_has_older_streams_elsewhere_told() -> None:
    streams = Streams()
    streams.pass_on()
    streams.there.endpoint.stop_listening()
    assert streams.newer.complete
    streams.pass_on()
    streams.told()
    streams.change()
    assert streams.told() == (NEWS, [])


def test_a_burst_of_news_is_looked_at_once_and_many_sessions_a_part_at_a_time() -> None:
    pair = Pair(Settings(listeners=1000))
    looks: list[str] = []
    find = pair.there.store.listen

    async def counted(session_id: str, *more: Any) -> Any:
        looks.append(session_id)
        return await find(session_id, *more)

    sessions = [pair.here.initialize() for _ in range(450)]
    for session in sessions:
        pair.there.listen(session)
    pair.there.shared.listen = counted
    for _ in range(3):
        for session in sessions:
            pair.there.endpoint.watches.changed(session)
    assert looks == []
    for callback in pair.there.timers.due(pair.there.now + 0.1):
        callback()
        break
    assert len(looks) == 200
    pair.there.pass_time(1)
    assert sorted(looks) == sorted(sessions)
    # Of those that do not listen here nothing is noted.
    pair.there.endpoint.watches.changed("nobody")
    assert not pair.there.endpoint.watches._stale


def test_what_changes_while_the_store_is_asked_is_not_undone() -> None:
    """A session subscribes here while the store, as it was before that, is on its way."""
    things = Things()
    port = Port(declare=things.declare, shared=True)
    session = port.initialize()
    stream = port.listen(session)
    waiting: list[Promise[None]] = []
    find = port.store.listen

    async def slow(*what: Any) -> Any:
        found = await find(*what)
        if not waiting:
            waiting.append(Promise())
            await waiting[0]
        return found

    port.shared.listen = slow
    port.endpoint.watches.changed(session)
    port.pass_time(0.2)
    assert len(waiting) == 1
    subscribe(port, session, "test://mine/1")
    assert things.uris == ["test://mine/1"]
    waiting[0].set(None)
    port.pass_time(0.2)
    # It was watched all the time: nothing had to be looked at again.
    assert (things.uris, things.looks, told(stream)) == (["test://mine/1"], 1, [])
    assert port.failures == []


@pytest.mark.parametrize("away", ["save_subscription", "listen"])
def test_a_store_that_is_away_is_asked_again(away: str) -> None:
    things = Things()
    port = Port(declare=things.declare, shared=True)
    session = port.initialize()
    stream = port.listen(session)
    port.shared.away.add(away)
    answered = subscribe(port, session, "test://mine/1")
    assert ("error" in answered) == (away == "save_subscription")
    port.pass_time(2 * KEEP_ALIVE)
    port.shared.away.clear()
    if away == "save_subscription":
        assert things.uris == []
        subscribe(port, session, "test://mine/1")
    port.pass_time(KEEP_ALIVE)
    things.change("test://mine/1")
    assert told(stream) == ["test://mine/1"]
    assert port.failures == []


def test_a_stream_that_the_store_hears_of_late_is_no_newer_for_that() -> None:
    pair = Pair()
    session = pair.here.initialize()
    subscribe(pair.here, session, MINE)
    pair.pass_on()
    pair.there.shared.away.add("listen")
    older = pair.there.listen(session)
    pair.there.shared.away.clear()
    for second in range(KEEP_ALIVE + 1):
        if second == KEEP_ALIVE // 2:
            newer = pair.here.listen(session)
        for port in (pair.here, pair.there):
            # The older one is kept alive, which the store hears.
            port.pass_time(1)
    assert pair.there.announced == [session]
    pair.pass_on()
    for things in (pair.things, pair.more_things):
        things.change(MINE)
    assert (told(older), told(newer)) == ([], [MINE])
    # It is the newest again, once the other one has ended.
    newer.disconnect()
    pair.pass_on()
    pair.more_things.change(MINE)
    assert told(older)[-1] == MINE


def test_a_stream_that_another_one_hid_from_the_store_is_no_newer_for_that() -> None:
    """It opened before others did, though the store never heard of it."""
    pair = Pair()
    session = pair.here.initialize()
    subscribe(pair.here, session, MINE)
    pair.pass_on()
    pair.there.shared.away.add("listen")
    oldest = pair.there.listen(session)
    pair.there.pass_time(1)
    pair.here.pass_time(1)
    newer = pair.here.listen(session)
    pair.there.shared.away.clear()
    newest = pair.there.listen(session)
    pair.pass_on()
    assert pair.things.uris == []
    newest.disconnect()
    for _ in range(2):
        # It is looked at here, and then there.
        pair.pass_on()
    for things in (pair.things, pair.more_things):
        things.change(MINE)
    assert (told(oldest), told(newer)[-1:]) == ([], [MINE])


def test_a_stream_that_opens_without_a_worker_is_seen_to_soon() -> None:
    things = Things()
    few = WorkerSettings(minimum=1, maximum=1, queue=1, queue_per_lane=1)
    port = Port(declare=things.declare, shared=True, workers=few)
    session = port.initialize()
    subscribe(port, session, MINE)
    watches = port.endpoint.watches
    full = Workers(few, on_failure=lambda _lane, _error: None)
    # No worker runs: the first that needs one fills the queue.
    job = to_worker_first()
    full.start("acme", job)
    there, watches._workers = watches._workers, full
    find = port.store.listen

    async def slow(*what: Any) -> Any:
        await to_worker()
        return await find(*what)

    port.shared.listen = slow
    port.listen(session)
    assert things.uris == []
    port.shared.listen = find
    watches._workers = there
    port.pass_time(0.5)
    assert things.uris == [MINE]
    job.close()


def test_without_a_worker_it_is_tried_again() -> None:
    things = Things()
    few = WorkerSettings(minimum=1, maximum=1, queue=1, queue_per_lane=1)
    port = Port(declare=things.declare, shared=True, workers=few)
    session = port.initialize()
    subscribe(port, session, "test://mine/1")
    find = port.store.listen

    async def slow(*what: Any) -> Any:
        await to_worker()
        return await find(*what)

    port.shared.listen = slow
    # No worker runs: the first that needs one fills the queue.
    job = to_worker_first()
    port.workers.start("acme", job)
    port.listen(session)
    port.endpoint.watches.changed(session)
    port.pass_time(0.5)
    assert things.uris == []
    port.shared.listen = find
    port.pass_time(1)
    assert things.uris == ["test://mine/1"]
    job.close()


async def to_worker_first() -> None:
    await to_worker()


def test_who_subscribes_to_nothing_has_nothing_read_for_it_but_by_its_streams() -> None:
    port = Port(shared=True)
    read: list[str] = []
    find = port.store.listen

    async def counted(session_id: str, *more: Any) -> Any:
        read.append(session_id)
        return await find(session_id, *more)

    port.shared.listen = counted
    # Whatever else has to do with subscriptions would fail.
    port.shared.away |= {"save_subscription", "end_subscription"}
    screen = port.attach(Screen())
    session = port.initialize()
    asked = port.in_session(session, "tools/call", ask())
    assert port.answer(screen, "red") == "accepted"
    assert asked.reply["result"]["content"][0]["text"] == "red"
    assert read == []
    port.listen(session)
    assert read == [session]
