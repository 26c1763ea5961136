"""What handshake sessions have subscribed to, told wherever they listen.

To what a session has subscribed is in the store. An instance where it has a stream watches
that for it, from its first stream to the end of the last one; an instance without one does
nothing. Who subscribes, at any instance, says so to all others, and those that listen read
the store. What was not heard is found when the stream is kept alive.

With streams at several instances a session is told each thing at one of them, as "the server
MUST send each of its JSON-RPC messages on only one of the connected streams" (MCP 2025-03-26
to 2025-11-25, "Streamable HTTP", "Multiple Connections"): where it opened the newest. Where
its streams are is in the store, noted in the step that reads its subscriptions, and so each
time that one is kept alive. Who opens one, or ends the last one here, says so to the others,
which read the store. Of an instance that died nobody says anything: it counts no more when it
has not kept its streams alive twice. No stream is ended for a newer one, as a caller that
wants both would open them in turns, for ever.

Nothing is lost: until who has an older stream has read of the newer one, both tell. Then it
watches nothing, and when it is its turn again, tells what may have changed meanwhile. What was
told at the other one may so be told again, but not at the same time, unless what an instance
said was lost: then until the older stream is kept alive.

What may have changed before it was watched is told at once: told twice is no harm, as what
is told says only to read anew.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, final

from gateway.mcp.attended import Attended, may_alike
from gateway.mcp.jsonrpc import BUSY, RESOURCE_NOT_FOUND, RpcError
from gateway.mcp.listeners import Listeners
from gateway.mcp.results import Empty
from gateway.mcp.watching import WATCHED, updated_bytes, uri_of, watch
from pool.workers import QueueFullError, Workers
from session import Listening
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
    from session import Heard, Store
    from session.model import McpSession, Principal

# News of a session that come closer together than this have the store read once.
_TOGETHER_SECONDS: Final = 0.05
_AGAIN_SECONDS: Final = 1.0
_LOOKED_AT_PER_STEP: Final = 200
# How many times in a row a stream can be kept alive without the store hearing of it.
_UNHEARD: Final = 2


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
        # What this process is called as a listener, and for how long the store believes it.
        self._name = conduct.ids.new()
        self._seconds = _UNHEARD * settings.keep_alive_seconds
        self._attended: dict[str, Attended] = {}
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
            elif not self.listeners.tells(session.id):
                watching.stop()
                # It may be about to, with what was stored before this.
                attended.changes += 1
            elif may_alike(attended.principal, call.principal):
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
            attended = self._attended[session.id] = Attended(session, principal)
        self.listeners.newest(session.id).opened_at = self._timers.time
        attended.follow(principal)
        if not self._look_at(attended):
            self._look_soon([session.id])

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
        """At another instance a session has other subscriptions or streams, or has ended."""
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
            if attended.is_shared and not attended.is_looking:
                # Without a worker, the others find it as they keep theirs alive.
                with suppress(QueueFullError):
                    self._workers.start(attended.session.tenant, self._withdraw(attended))

    async def _withdraw(self, attended: Attended) -> None:
        """Have the others know that a session which listens there has no stream here any more."""
        session_id, attended.is_shared = attended.session.id, False
        with suppress(StoreUnavailableError):
            await self._store.end_listening(session_id, self._listening(attended.order))
            self._announce(session_id)

    def _heard_by(self, session_id: str, principal: Principal) -> None:
        """Watch as the stream may hear that is told things, now that another one has ended."""
        attended = self._attended.get(session_id)
        if attended is None:
            return
        if not may_alike(attended.principal, principal):
            attended.follow(principal)
        elif not attended.is_shared:
            return
        # Elsewhere there may be a newer one than the newest that is left.
        self._look_soon([session_id])

    def _listening(self, order: int, age: float = 0.0) -> Listening:
        return Listening(self._name, order, self._seconds, age)

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
            if (
                attended is not None
                and self.listeners.tells(session_id)
                and may_alike(attended.principal, principal)
            ):
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

    def _look_at(self, attended: Attended) -> bool:
        """Have the store read by a worker; return whether there is one."""
        try:
            self._workers.start(attended.session.tenant, self._look(attended))
        except QueueFullError:
            return False
        return True

    async def _look(self, attended: Attended) -> None:
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
            if attended.watches.gone and attended.is_shared:
                await self._withdraw(attended)
        except StoreUnavailableError:
            # It is looked at again when its stream is kept alive, or `missed` says so.
            return
        finally:
            attended.is_looking = False

    async def _compare(self, attended: Attended, seen: int) -> None:
        session_id, watches = attended.session.id, attended.watches
        heard = await self._heard(attended)
        if attended.changes != seen or watches.gone:
            return
        if heard is None:
            self.listeners.end(session_id)
            return
        if not heard.tells:
            self.listeners.hush(session_id)
            attended.watch_nothing()
            return
        self.listeners.tell(session_id)
        uris, wanted = heard.uris, set(heard.uris)
        attended.not_served &= wanted
        for uri in watches:
            if uri not in wanted:
                watches.drop(uri)
        for uri in uris:
            if uri not in watches and uri not in attended.not_served:
                await self._learn(attended, uri)
                if attended.changes != seen:
                    return

    async def _heard(self, attended: Attended) -> Heard | None:
        """Have the store know that a session listens here, and the others if it is news."""
        session_id = attended.session.id
        stream = self.listeners.newest(session_id)
        age = self._timers.time - stream.opened_at
        heard = await self._store.listen(session_id, self._listening(stream.order, age))
        if heard is not None:
            stream.order = attended.order = heard.order
            attended.is_shared = heard.is_shared
            if heard.is_news:
                self._announce(session_id)
        return heard

    async def _learn(self, attended: Attended, uri: str) -> None:
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
