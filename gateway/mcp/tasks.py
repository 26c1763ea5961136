"""Tasks (the extension of SEP-2663): results that are fetched later, without a connection.

Pure module. Whoever answers a call with a task keeps it, durably before the reply, and
is a `Keeper`: it finds a task for its own principal only, so that somebody else's and one
that never was look the same. Callers that do not say in a request that they know tasks
get none, and learn nothing of any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, final

import msgspec

from gateway.mcp import capabilities, rounds
from gateway.mcp.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError, notification_bytes
from gateway.mcp.results import COMPLETE, Empty, Encoded, LargeAnswer
from gateway.mcp.revisions.family import body_of, encode

if TYPE_CHECKING:
    from gateway.mcp.call import Call, Later
    from gateway.mcp.revisions.family import Reply
    from session.steps import Steps

#: What the modern revision calls a result that is a task.
TASK: Final = "task"
#: And what tells of a task's changes.
TOLD: Final = "notifications/tasks"
WORKING: Final = "working"
INPUT_REQUIRED: Final = "input_required"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

_ID_LENGTH: Final = 256
_EMPTY: Final = Empty()
# How a result begins that is not on its own.
_COMPLETED: Final = b'{"resultType":"%b",' % COMPLETE.encode()


class Task(NamedTuple):
    """A moment of a task. Times are seconds, since the epoch where they say when."""

    id: str
    status: str
    created_at: float
    updated_at: float
    #: How long after its beginning it can be asked for, at least.
    kept_seconds: float
    #: How often is often enough to ask.
    poll_seconds: float
    message: str = ""
    #: What it waits for, where it is `INPUT_REQUIRED`.
    requests: Mapping[str, rounds.InputRequest] = {}
    #: What it came to: `COMPLETED`, also for a tool that says it went wrong.
    result: Reply | None = None
    #: Why it is `FAILED`.
    error: RpcError | None = None


class Keeper(Protocol):
    """Who has tasks. Every method is for the principal of the call."""

    async def find(self, call: Call, task_id: str) -> Task | None:
        """Return a task; ``None`` for one that is unknown or somebody else's."""

    async def update(
        self, call: Call, task_id: str, responses: Mapping[str, dict[str, Any]]
    ) -> bool:
        """Take what a task waited for, as far as it did. Returns whether there is the task."""

    async def cancel(self, call: Call, task_id: str) -> bool:
        """Have a task end, unless it has. Returns whether there is the task."""

    async def watch(
        self, call: Call, task_id: str, changed: Callable[[Task], None]
    ) -> Callable[[], None] | None:
        """Have its changes told; return how to stop that, or ``None`` without the task."""


def created(task: Task) -> Encoded:
    """Return the result that says that a call has become a task."""
    return Encoded(encode(_head(task)), kind=TASK)


def is_large(task: Task) -> bool:
    """Whether what a task came to is written in steps (`writing`)."""
    return task.status == COMPLETED and type(task.result) is LargeAnswer


def writing(task: Task, token: str) -> Steps[list[bytes]]:
    """Return the `details` of a task that is large as JSON in pieces."""
    return _around(task, encode(_head(task)), 1, token)


def telling(task: Task, meta: dict[str, Any], token: str) -> Steps[list[bytes]]:
    """Return the notification that has the `details` of a task that is large."""
    told = notification_bytes(TOLD, {"_meta": meta, **_head(task)})
    return _around(task, told, 2, token)


def _around(task: Task, members: bytes, brackets: int, token: str) -> Steps[list[bytes]]:
    """Return members of a task, before so many last brackets, with what it came to."""
    assert isinstance(task.result, LargeAnswer)
    first, *more = yield from task.result.pieces(token)
    head = b'%b,"result":%b' % (members[:-brackets], _COMPLETED)
    return [head, first[1:], *more, b"}" * brackets]


def details(task: Task) -> dict[str, Any]:
    """Return all there is to say of a task."""
    members = _head(task)
    if task.status == INPUT_REQUIRED:
        members["inputRequests"] = rounds.inputs(task.requests)
    elif task.status == COMPLETED and task.result is not None:
        members["result"] = _inlined(task.result)
    elif task.status == FAILED and task.error is not None:
        members["error"] = {"code": task.error.code, "message": task.error.message}
        if task.error.data is not None:
            members["error"]["data"] = task.error.data
    return members


def _head(task: Task) -> dict[str, Any]:
    members: dict[str, Any] = {
        "taskId": task.id,
        "status": task.status,
        "createdAt": _when(task.created_at),
        "lastUpdatedAt": _when(task.updated_at),
        "ttlMs": int(task.kept_seconds * 1000),
        "pollIntervalMs": int(task.poll_seconds * 1000),
    }
    if task.message:
        members["statusMessage"] = task.message
    return members


def _when(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _inlined(result: Reply) -> msgspec.Raw:
    body = body_of(result)
    return msgspec.Raw(_COMPLETED + body[1:] if len(body) > len(b"{}") else _COMPLETED[:-1] + b"}")


@final
class Tasks:
    """The methods of the extension, over all who keep tasks."""

    __slots__ = ("_keepers",)

    def __init__(self, keepers: list[Keeper]) -> None:
        self._keepers = keepers

    async def get(self, call: Call) -> Reply | Later:
        """Return how a task is."""
        task_id = self._admit(call)
        for keeper in self._keepers:
            task = await keeper.find(call, task_id)
            if task is None:
                continue
            if is_large(task):
                return call.writer.reply(call, partial(writing, task))
            return Encoded(encode(details(task)))
        raise _unknown()

    async def update(self, call: Call) -> Reply:
        """Take what a task waits for."""
        task_id = self._admit(call)
        responses = rounds.checked(call.params.get("inputResponses"))
        for keeper in self._keepers:
            if await keeper.update(call, task_id, responses):
                return _EMPTY
        raise _unknown()

    async def cancel(self, call: Call) -> Reply:
        """Have a task end; one that has ended stays as it is."""
        task_id = self._admit(call)
        for keeper in self._keepers:
            if await keeper.cancel(call, task_id):
                return _EMPTY
        raise _unknown()

    async def watch(
        self, call: Call, task_id: str, changed: Callable[[Task], None]
    ) -> Callable[[], None] | None:
        """Have a task's changes told; see `Keeper.watch`."""
        for keeper in self._keepers:
            stop = await keeper.watch(call, task_id, changed)
            if stop is not None:
                return stop
        return None

    def _admit(self, call: Call) -> str:
        if not self._keepers:
            raise RpcError(METHOD_NOT_FOUND, f"Method not found: {call.method}")
        capabilities.require_tasks(call)
        task_id = call.params.get("taskId")
        if type(task_id) is not str:
            raise RpcError(INVALID_PARAMS, f"{call.method} needs taskId, a string.")
        if not 0 < len(task_id) <= _ID_LENGTH:
            raise _unknown()
        return task_id


def _unknown() -> RpcError:
    return RpcError(
        INVALID_PARAMS, "There is no such task of yours, or its result is no longer kept."
    )
