"""Who hears of changes that no call of its own brought about.

Of lists, and of resources. Handshake callers hear it on the streams of their session
that they opened by GET, of resources as `gateway.mcp.session_watches` says; modern ones by
`subscriptions/listen`, a call that ends only with its caller or with this process. What is
told says only that something changed: callers read it anew. Many changes at once are told
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

from gateway.mcp import quota, tasks
from gateway.mcp.call import LATER, Call, Departure, Later, Progress
from gateway.mcp.capabilities import has_tasks
from gateway.mcp.jsonrpc import (
    BUSY,
    INVALID_PARAMS,
    INVALID_REQUEST,
    RpcError,
    notification_bytes,
)
from gateway.mcp.refusals import ended
from gateway.mcp.results import Empty
from gateway.mcp.tasks import Task, Tasks
from gateway.mcp.watching import UPDATED, WATCHED, Watches, are_short, watch

if TYPE_CHECKING:
    from gateway.mcp.registry import Registry
    from gateway.mcp.revisions.family import Reply
    from gateway.mcp.session_watches import SessionWatches
    from gateway.quotas.allowances import Allowances
    from pool.connection import Callback
    from pool.timers import Timers
    from session.model import Principal

SUBSCRIPTION_KEY: Final = "io.modelcontextprotocol/subscriptionId"
# Changes that come closer together than this are told together.
_TOGETHER_SECONDS: Final = 0.05
_TOLD_PER_STEP: Final = 200

#: The lists: the member that asks for news of each, and the notification that brings it.
_LISTS: Final = {
    "tools": ("toolsListChanged", "notifications/tools/list_changed"),
    "prompts": ("promptsListChanged", "notifications/prompts/list_changed"),
    "resources": ("resourcesListChanged", "notifications/resources/list_changed"),
    "resourceTemplates": ("resourcesListChanged", "notifications/resources/list_changed"),
}
# A member of the extension's; no URI begins with it.
_TASKS: Final = "taskIds"


@final
class Subscription:
    """One `subscriptions/listen` that is open."""

    __slots__ = ("_early", "_owner", "call", "lists", "watches")

    def __init__(self, owner: Subscriptions, call: Call, lists: frozenset[str]) -> None:
        self._owner = owner
        self.call = call
        #: The notifications of lists that it asked for.
        self.lists = lists
        self.watches = Watches()
        # What came before the acknowledgement, the latest of each list, resource and task.
        self._early: dict[str, Callable[[Subscription], None]] | None = {}

    @property
    def principal(self) -> Principal:
        """Who listens; see `gateway.recheck.Held`."""
        return self.call.principal

    def acknowledge(self, honoured: dict[str, Any]) -> None:
        """Say of what it hears; what it was to hear before that comes behind it."""
        early, self._early = self._early, None
        self.send("notifications/subscriptions/acknowledged", {"notifications": honoured})
        for tell in (early or {}).values():
            tell(self)

    def send(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification that says which subscription it is of, once it is acknowledged."""
        if self._early is not None:
            self._early[params.get("uri", method)] = lambda me: me.send(method, params)
            return
        meta = {SUBSCRIPTION_KEY: self.call.id}
        self.call.exchange.notify(notification_bytes(method, {"_meta": meta, **params}))

    def send_task(self, task: Task) -> None:
        """Send what has become of a task; what is large of it is written first. As `send`."""
        call = self.call
        if self._early is not None:
            self._early[_of_task(task.id)] = lambda me: me.send_task(task)
        elif tasks.is_large(task):
            meta = {SUBSCRIPTION_KEY: call.id}
            call.writer.tell(call, partial(tasks.telling, task, meta))
        else:
            self.send(tasks.TOLD, tasks.details(task))

    def cut_off(self) -> None:
        """The credential of whoever listens is not good any more."""
        self._owner.forget(self)
        self.call.refuse(ended())

    def close(self) -> None:
        """End it: this process goes away."""
        self._owner.forget(self)
        self.call.finish(Empty(meta={SUBSCRIPTION_KEY: self.call.id}))

    def departed(self, _departure: Departure) -> None:
        """Nobody listens any more; see `gateway.mcp.call.Waiting`."""
        self._owner.forget(self)

    def progress(self) -> Progress | None:
        """Return nothing: it is not on its way anywhere."""
        return None


@final
class Subscriptions:
    """All who listen at this process.

    Args:
        sessions: what handshake sessions watch, with their streams and how many there may be.
    """

    def __init__(
        self,
        registry: Registry,
        sessions: SessionWatches,
        timers: Timers[Callback],
        quotas: Allowances | None = None,
    ) -> None:
        self._registry = registry
        self._listeners = sessions.listeners
        self._sessions = sessions
        self._timers = timers
        self._quotas = quotas
        self.tasks = Tasks(registry.tasks)
        self._open: dict[Subscription, None] = {}
        # What was not told yet: notifications, and to whom they still go.
        self._changed: dict[str, None] = {}
        self._telling: Iterator[None] | None = None
        registry.changed = self.list_changed

    def __len__(self) -> int:
        return len(self._open)

    # -- methods

    async def listen(self, call: Call) -> Reply | Later:
        """Tell a caller of what it asks for, until it leaves."""
        lists, honoured, uris = self._read_filter(call.params.get("notifications"))
        if not call.exchange.facts.accepts_sse:
            words = "This is a stream: the header Accept must allow text/event-stream."
            raise RpcError(INVALID_REQUEST, words, status=406)
        limit = self._listeners.limit
        if len(self._open) + self._listeners.open >= limit:
            raise RpcError(BUSY, f"{limit} streams are open here; come back later.")
        subscription = Subscription(self, call, lists)
        self._open[subscription] = None
        kept = False
        try:
            if self._quotas is not None:
                await quota.stream(self._quotas, call)
            watched = [uri for uri in uris if await self._watch(call, subscription, uri)]
            if uris:
                honoured["resourceSubscriptions"] = watched
            await self._watch_tasks(call, subscription, honoured)
            kept = True
        finally:
            if not kept:
                self.forget(subscription)
        subscription.acknowledge(honoured)
        call.wait_for(subscription)
        return LATER

    # -- what happens

    def list_changed(self, member: str) -> None:
        """A list has changed: tell all who want to know, soon."""
        if not self._changed:
            self._timers.arm(_TOGETHER_SECONDS, self._tell)
        self._changed[_LISTS[member][1]] = None

    def updated(self, uri: str) -> None:
        """A resource that everybody may read has changed."""
        for subscription in list(self._open):
            if uri in subscription.watches:
                subscription.send(UPDATED, {"uri": uri})
        self._sessions.updated(uri)

    def all(self) -> list[Subscription]:
        """Return every stream, as they are now."""
        return list(self._open)

    def end_all(self) -> None:
        """End every stream."""
        for subscription in self.all():
            subscription.close()

    def forget(self, subscription: Subscription) -> None:
        """A stream has ended, whoever ended it."""
        self._open.pop(subscription, None)
        subscription.watches.end()

    # -- inside

    async def _watch_tasks(
        self, call: Call, subscription: Subscription, honoured: dict[str, Any]
    ) -> None:
        """Have changes of tasks sent, whole, to a caller that knows tasks."""
        wanted = call.params["notifications"].get(_TASKS)
        if wanted is None or not self._registry.tasks or not has_tasks(call):
            return
        if type(wanted) is not list or len(wanted) > WATCHED or not are_short(wanted):
            raise RpcError(INVALID_PARAMS, f"{_TASKS} must be at most {WATCHED} ids.")

        honoured[_TASKS] = watched = []
        for task_id in wanted:
            stop = await self.tasks.watch(call, task_id, subscription.send_task)
            if stop is not None:
                subscription.watches.put(_of_task(task_id), stop)
                watched.append(task_id)

    async def _watch(self, call: Call, subscription: Subscription, uri: str) -> bool:
        """Have changes of a resource sent; return whether there is such a one for this caller."""

        def changed() -> None:
            subscription.send(UPDATED, {"uri": uri})

        watching = await watch(self._registry, call.principal, uri, changed)
        if watching is None:
            return False
        subscription.watches.put(uri, watching.stop)
        return True

    def _tell(self) -> None:
        """Tell some of those who listen; there may be too many for one go."""
        if self._telling is None:
            if not self._changed:
                return
            methods = list(self._changed)
            self._changed.clear()
            self._telling = self._told(methods)
        for _ in range(_TOLD_PER_STEP):
            try:
                next(self._telling)
            except StopIteration:
                self._telling = None
                if self._changed:
                    self._timers.arm(_TOGETHER_SECONDS, self._tell)
                return
        self._timers.arm_now(self._tell)

    def _told(self, methods: list[str]) -> Iterator[None]:
        for subscription in list(self._open):
            for method in methods:
                if method in subscription.lists:
                    subscription.send(method, {})
            yield None
        payloads = [notification_bytes(method, {}) for method in methods]
        for session_id in self._listeners.sessions():
            for payload in payloads:
                self._listeners.send(session_id, payload)
            yield None

    def _read_filter(self, wanted: object) -> tuple[frozenset[str], dict[str, Any], list[str]]:
        """Return the notifications wanted, what of the filter is honoured, and the resources."""
        if type(wanted) is not dict:
            raise RpcError(INVALID_PARAMS, "subscriptions/listen needs notifications, an object.")
        registry = self._registry
        served = {
            "toolsListChanged": bool(registry.tools),
            "promptsListChanged": bool(registry.prompts),
            "resourcesListChanged": bool(registry.resources or registry.templates),
        }
        honoured: dict[str, Any] = {}
        for member, is_served in served.items():
            value = wanted.get(member)
            if value is not None and type(value) is not bool:
                raise RpcError(INVALID_PARAMS, f"{member} must be a boolean.")
            if value and is_served:
                honoured[member] = True
        uris = wanted.get("resourceSubscriptions")
        if uris is None:
            uris = []
        if type(uris) is not list or len(uris) > WATCHED or not are_short(uris):
            words = f"resourceSubscriptions must be at most {WATCHED} URIs."
            raise RpcError(INVALID_PARAMS, words)
        methods = frozenset(method for member, method in _LISTS.values() if member in honoured)
        return methods, honoured, uris


def _of_task(task_id: str) -> str:
    return f"{_TASKS}:{task_id}"
