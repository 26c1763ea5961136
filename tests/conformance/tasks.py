"""The tools that become tasks, kept in this process: a `gateway.mcp.tasks.Keeper`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, final

from gateway.mcp import capabilities, rounds, tasks
from gateway.mcp.call import Call
from gateway.mcp.jsonrpc import INTERNAL_ERROR, RpcError
from gateway.mcp.results import Encoded, ToolResult, text
from gateway.mcp.rounds import InputRequest, elicitation
from gateway.mcp.tasks import Task
from tests.conformance.asking import NAME, name_in
from tests.conformance.tools import pause

if TYPE_CHECKING:
    from gateway.app import Gateway

#: How many are kept; the oldest goes when there are more.
KEPT: Final = 1_000
_KEPT_SECONDS: Final = 300.0
_CONFIRM: Final = elicitation("Delete it?", {"confirm": {"type": "boolean"}}, "confirm")
_SLOW: Final = {
    "type": "object",
    "properties": {"seconds": {"type": "number"}, "label": {"type": "string"}},
}
_FILENAME: Final = {"type": "object", "properties": {"filename": {"type": "string"}}}
_NAME: Final = {"type": "object", "properties": {"name": {"type": "string"}}}

Finish = Callable[[], ToolResult | RpcError]


@final
class _Work:
    """One task, and what is to be done for it."""

    def __init__(self, task: Task, owner: tuple[str, str], finish: Finish) -> None:
        self.task = task
        self.owner = owner
        self.finish = finish
        self.end: Callable[[], None] = lambda: None


@final
class Jobs:
    """The tools and their tasks."""

    def __init__(self, gateway: Gateway) -> None:
        self._clock = gateway.clock
        self._timers = gateway.timers
        self._ids = gateway.ids
        self._kept: OrderedDict[str, _Work] = OrderedDict()
        registry = gateway.registry
        registry.tasks.append(self)
        tool = registry.tool
        tool("greet", self._greet, description="Greets", input_schema=_NAME)
        tool("slow_compute", self._slow, description="Takes its time", input_schema=_SLOW)
        tool("failing_job", self._failing, description="Goes wrong")
        tool("protocol_error_job", self._broken, description="Breaks")
        tool("confirm_delete", self._confirm, description="Asks first", input_schema=_FILENAME)
        tool("multi_input", self._several, description="Asks for two things")
        tool("test_tool_with_task", self._escalate, description="Asks first, then takes its time")

    # -- tools

    async def _greet(self, _call: Call, arguments: dict[str, Any]) -> ToolResult:
        return text(f"Hello, {arguments.get('name')}!")

    async def _slow(self, call: Call, arguments: dict[str, Any]) -> ToolResult | Encoded:
        seconds, done = float(arguments.get("seconds", 1)), text(f"{arguments.get('label')}: 42")
        if not capabilities.has_tasks(call):
            await pause(seconds)
            return done
        return self._begin(call, seconds, lambda: done)

    async def _failing(self, call: Call, _arguments: object) -> Encoded:
        return self._begin(call, 0.3, lambda: text("It went wrong.", is_error=True))

    async def _broken(self, call: Call, _arguments: object) -> Encoded:
        return self._begin(call, 0.3, lambda: RpcError(INTERNAL_ERROR, "It broke."))

    async def _confirm(self, call: Call, arguments: dict[str, Any]) -> Encoded:
        words = f"Deleted {arguments.get('filename')}."
        return self._begin(call, 0.1, lambda: text(words), {"confirm": _CONFIRM})

    async def _several(self, call: Call, _arguments: object) -> Encoded:
        return self._begin(call, 0.1, lambda: text("Got both."), {"one": NAME, "two": _CONFIRM})

    async def _escalate(self, call: Call, _arguments: object) -> ToolResult | Encoded:
        name = name_in(rounds.responses(call).get("user_name"))
        if name is None:
            return rounds.ask(call, {"user_name": NAME})
        return self._begin(call, 0.1, lambda: text(f"Hello, {name}!"))

    def _begin(
        self,
        call: Call,
        seconds: float,
        finish: Finish,
        requests: Mapping[str, InputRequest] | None = None,
    ) -> Encoded:
        capabilities.require_tasks(call)
        now = self._clock()
        status = tasks.INPUT_REQUIRED if requests else tasks.WORKING
        task = Task(self._ids.new(), status, now, now, _KEPT_SECONDS, 0.2, "", requests or {})
        work = self._kept[task.id] = _Work(task, _owner(call), finish)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)[1].end()
        if not requests:
            self._go_on(work, seconds)
        return tasks.created(task)

    def _go_on(self, work: _Work, seconds: float) -> None:
        work.end = self._timers.arm(seconds, lambda: self._finish(work)).cancel

    def _finish(self, work: _Work) -> None:
        came = work.finish()
        if isinstance(came, RpcError):
            self._move(work, tasks.FAILED, error=came)
        else:
            self._move(work, tasks.COMPLETED, result=came)

    def _move(self, work: _Work, status: str, **more: Any) -> None:
        work.task = work.task._replace(status=status, updated_at=self._clock(), **more)

    # -- as a keeper

    async def find(self, call: Call, task_id: str) -> Task | None:
        work = self._work(call, task_id)
        return None if work is None else work.task

    async def update(
        self, call: Call, task_id: str, responses: Mapping[str, dict[str, Any]]
    ) -> bool:
        work = self._work(call, task_id)
        if work is not None and work.task.status == tasks.INPUT_REQUIRED:
            asked = work.task.requests
            left = {key: asked[key] for key in asked if key not in responses}
            self._move(work, tasks.INPUT_REQUIRED if left else tasks.WORKING, requests=left)
            if not left:
                self._go_on(work, 0.1)
        return work is not None

    async def cancel(self, call: Call, task_id: str) -> bool:
        work = self._work(call, task_id)
        if work is not None and work.task.status in (tasks.WORKING, tasks.INPUT_REQUIRED):
            work.end()
            self._move(work, tasks.CANCELLED)
        return work is not None

    async def watch(
        self, _call: Call, _task_id: str, _changed: Callable[[Task], None]
    ) -> Callable[[], None] | None:
        return None

    def _work(self, call: Call, task_id: str) -> _Work | None:
        work = self._kept.get(task_id)
        return work if work is not None and work.owner == _owner(call) else None


def _owner(call: Call) -> tuple[str, str]:
    return call.principal.tenant, call.principal.subject
