"""What handshake sessions have subscribed to, told wherever they listen.

To what a session has subscribed is in the store. An instance where it has a stream watches
that for it, from its first stream to the end of the last one; an instance without one does
nothing. Who subscribes, at any instance, says so to all others, and those that listen read
the store. What was not heard is found when the stream is kept alive.

What may have changed before it was watched is told at once: told twice is no harm, as what
is told says only to read anew.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, final

from gateway.mcp.jsonrpc import BUSY, RESOURCE_NOT_FOUND, RpcError
from gateway.mcp.listeners import Listeners
from gateway.mcp.results import Empty
from gateway.mcp.watching import WATCHED, Watches, updated_bytes, uri_of, watch
from pool.workers import QueueFullError, Workers
from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from gateway.mcp.call import Call
    from gateway.mcp.exchange import Conduct
    from gateway.mcp.registry import Registry
    from gateway.mcp.revisions.family import Reply
    from gateway.mcp.sessions import Sessions
    from gateway.mcp.settings import Settings
    from pool.connection import Callback
    from pool.timers import Timers
    from session import Store
    from session.model import McpSession, Principal

# News of a session that come closer together than this have the store read once.
_TOGETHER_SECONDS: Final = 0.05
_AGAIN_SECONDS: Final = 1.0
_LOOKED_AT_PER_STEP: Final = 200


@final
class _Attended:
    """A session that has a stream here."""

    __slots__ = ("changes", "is_looking", "not_served", "principal", "session", "watches")

    def __init__(self, session: McpSession, principal: Principal) -> None:
        self.session = session
        #: Who opened the stream that is told things: its credential says what may be.
        self.principal = principal
        self.watches = Watches()
        #: To what it has subscribed, and what is not there for this principal.
        self.not_served: set[str] = set()
        #: Counts what makes worthless what was read of it.
        self.changes = 0
        self.is_looking = False

    def follow(self, principal: Principal) -> None:
        """Have the credential of a stream say what may be told; the store is to be read then."""
        if not _may_alike(self.principal, principal):
            for uri in self.watches:
                self.watches.drop(uri)
        self.changes += 1
        self.principal = principal
        self.not_served.clear()


@final
class SessionWatches:
    """Owned by the callers' port.

    Args:
        announce: has all other instances hear of a session.
    """

    def __init__(  # noqa: PLR0913 - made once, by the endpoint
        self,
        registry: Registry,
        settings: Settings,
        *,
        store: Store,
        sessions: Sessions,
        workers: Workers,
        timers: Timers[Callback],
        conduct: Conduct,
        announce: Callable[[str], None],
    ) -> None:
        #: The streams of sessions. They bound how many sessions there are here.
        self.listeners = Listeners(
            conduct,
            session_limit=settings.session_listeners,
            limit=settings.listeners,
            touch=self._touched,
            deserted=self._deserted,
            heard_by=self._heard_by,
        )
        self._registry = registry
        self._store = store
        self._sessions = sessions
        self._workers = workers
        self._timers = timers
        self._announce = announce
        self._attended: dict[str, _Attended] = {}
        # Those of which the store is to be read, soon.
        self._stale: dict[str, None] = {}

    def __len__(self) -> int:
        """Return how many resources are watched here."""
        return sum(len(each.watches) for each in self._attended.values())

    # -- methods

    async def subscribe(self, call: Call) -> Reply:
        """Have a session hear of changes of a resource, wherever it listens."""
        session = call.session
        assert session is not None
        uri = uri_of(call, self._registry)
        tell = self._teller(session.id, uri, call.principal)
        watching = await watch(self._registry, call.principal, uri, tell)
        if watching is None:
            raise RpcError(RESOURCE_NOT_FOUND, "Resource not found", {"uri": uri})
        if watching.is_final:
            watching.stop()
            return Empty()
        kept = False
        try:
            # It is watched already: what changes until it is stored is told as well.
            kept = await self._store.save_subscription(session.id, uri, WATCHED)
        finally:
            attended = self._attended.get(session.id)
            if attended is None or not kept:
                watching.stop()
            elif _may_alike(attended.principal, call.principal):
                attended.changes += 1
                attended.watches.put(uri, watching.stop)
            else:
                # What this credential may see is nothing to the one of the stream.
                watching.stop()
                attended.not_served.discard(uri)
                self._look_soon([session.id])
        if not kept:
            raise RpcError(BUSY, f"This session watches {WATCHED} resources.", status=429)
        self._announce(session.id)
        return Empty()

    async def unsubscribe(self, call: Call) -> Reply:
        """Have a session hear no more of a resource, anywhere."""
        session = call.session
        assert session is not None
        uri = uri_of(call, self._registry)
        await self._store.end_subscription(session.id, uri)
        attended = self._attended.get(session.id)
        if attended is not None:
            attended.changes += 1
            attended.watches.drop(uri)
        self._announce(session.id)
        return Empty()

    # -- streams

    def attend(self, session: McpSession, principal: Principal) -> None:
        """A session has one more stream here, opened by ``principal``, whose session it is."""
        if not self.listeners.has(session.id):
            # It was gone before it began.
            return
        attended = self._attended.get(session.id)
        if attended is None:
            attended = self._attended[session.id] = _Attended(session, principal)
        attended.follow(principal)
        self._look_at(attended)

    def ended(self, session_id: str) -> None:
        """A session was ended here: so are its streams, at all instances."""
        self.listeners.end(session_id)
        self._announce(session_id)

    # -- what happens

    def updated(self, uri: str) -> None:
        """A resource that everybody may read has changed."""
        told = updated_bytes(uri)
        for session_id, attended in list(self._attended.items()):
            if uri in attended.watches:
                self.listeners.send(session_id, told)

    def changed(self, session_id: str) -> None:
        """At another instance a session has other subscriptions, or has ended."""
        if session_id in self._attended:
            self._look_soon([session_id])

    def missed(self, concerns: Callable[[str], bool]) -> None:
        """Anything may have happened to the sessions whose ids this concerns."""
        self._look_soon([session_id for session_id in self._attended if concerns(session_id)])

    # -- inside

    def _deserted(self, session_id: str) -> None:
        """Stop watching for a session that has no stream here any more."""
        attended = self._attended.pop(session_id, None)
        if attended is not None:
            attended.watches.end()

    def _heard_by(self, session_id: str, principal: Principal) -> None:
        """Watch as the stream may hear that is told things, now that another one has ended."""
        attended = self._attended.get(session_id)
        if attended is not None and not _may_alike(attended.principal, principal):
            attended.follow(principal)
            self._look_soon([session_id])

    def _touched(self, session: McpSession) -> None:
        """Keep a session alive as its stream was, if there is room for that."""
        with suppress(QueueFullError):
            self._workers.start(session.tenant, self._touch(session))

    async def _touch(self, session: McpSession) -> None:
        """Note that a session is in use, and find what was not heard of it."""
        await self._sessions.touch(session)
        attended = self._attended.get(session.id)
        if attended is not None:
            await self._look(attended)

    def _teller(self, session_id: str, uri: str, principal: Principal) -> Callable[[], None]:
        """Return what tells a session that a resource of ``principal`` has changed."""
        told = updated_bytes(uri)

        def tell() -> None:
            attended = self._attended.get(session_id)
            if attended is not None and _may_alike(attended.principal, principal):
                self.listeners.send(session_id, told)

        return tell

    def _look_soon(self, session_ids: list[str]) -> None:
        if session_ids and not self._stale:
            self._timers.arm(_TOGETHER_SECONDS, self._look_at_some)
        self._stale.update(dict.fromkeys(session_ids))

    def _look_at_some(self) -> None:
        """Look at some of those of which there is news; there may be too many for one go."""
        for session_id in list(islice(self._stale, _LOOKED_AT_PER_STEP)):
            attended = self._attended.get(session_id)
            if attended is not None and not self._look_at(attended):
                self._timers.arm(_AGAIN_SECONDS, self._look_at_some)
                return
            del self._stale[session_id]
        if self._stale:
            self._timers.arm_now(self._look_at_some)

    def _look_at(self, attended: _Attended) -> bool:
        """Have the store read by a worker; return whether there is one."""
        try:
            self._workers.start(attended.session.tenant, self._look(attended))
        except QueueFullError:
            return False
        return True

    async def _look(self, attended: _Attended) -> None:
        """Watch that to which a session has subscribed, and nothing else."""
        attended.changes += 1
        if attended.is_looking:
            # It begins again.
            return
        attended.is_looking = True
        try:
            seen = 0
            while attended.changes != seen and not attended.watches.gone:
                seen = attended.changes
                await self._compare(attended, seen)
        except StoreUnavailableError:
            # It is looked at again when its stream is kept alive, or `missed` says so.
            return
        finally:
            attended.is_looking = False

    async def _compare(self, attended: _Attended, seen: int) -> None:
        session_id, watches = attended.session.id, attended.watches
        uris = await self._store.find_subscriptions(session_id)
        if attended.changes != seen:
            return
        if uris is None:
            self.listeners.end(session_id)
            return
        wanted = set(uris)
        attended.not_served &= wanted
        for uri in watches:
            if uri not in wanted:
                watches.drop(uri)
        for uri in uris:
            if uri not in watches and uri not in attended.not_served:
                await self._learn(attended, uri)
                if attended.changes != seen:
                    return

    async def _learn(self, attended: _Attended, uri: str) -> None:
        """Watch one more; what may have happened to it unwatched is told at once."""
        session_id, seen = attended.session.id, attended.changes
        principal = attended.principal
        tell = self._teller(session_id, uri, principal)
        watching = await watch(self._registry, principal, uri, tell)
        if watching is None:
            attended.not_served.add(uri)
            return
        if attended.changes != seen or attended.watches.gone:
            # Perhaps it is wanted no more: whoever changed that has it looked at again.
            watching.stop()
            return
        if watching.may_have_changed:
            tell()
        if watching.is_final:
            watching.stop()
            await self._store.end_subscription(session_id, uri)
        else:
            attended.watches.put(uri, watching.stop)


def _may_alike(one: Principal, other: Principal) -> bool:
    """Whether two credentials of a session's subject may see the same."""
    return one.scopes == other.scopes and one.groups == other.groups
