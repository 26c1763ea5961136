"""The methods of the tasks extension, whoever keeps the tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gateway.mcp import tasks
from gateway.mcp.call import Call
from gateway.mcp.capabilities import TASKS
from gateway.mcp.jsonrpc import RpcError
from gateway.mcp.registry import Registry
from gateway.mcp.results import text
from gateway.mcp.rounds import elicitation
from gateway.mcp.tasks import Task
from session.model import SCOPES, Principal
from tests.gateway.mcp.recording import META, Held, Port, Recorder

CAPABLE = {**META, "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}}}
ASKED = elicitation("Sure?", {"ok": {"type": "boolean"}})


class _Desk:
    """Keeps one task, for one subject."""

    def __init__(self) -> None:
        self.task = Task("t-1", tasks.WORKING, 1_800_000_000.5, 1_800_000_001.0, 60.0, 0.25)
        self.updates: list[Mapping[str, Any]] = []
        self.cancels = 0
        self.watching: list[Callable[[Task], None]] = []

    def declare(self, registry: Registry) -> None:
        registry.tasks.append(self)

    def _is_its(self, call: Call, task_id: str) -> bool:
        return task_id == self.task.id and call.principal.subject == "ann"

    async def look(self) -> None:
        """Find out how the task is, which may take its time."""

    async def find(self, call: Call, task_id: str) -> Task | None:
        return self.task if self._is_its(call, task_id) else None

    async def update(self, call: Call, task_id: str, responses: Mapping[str, Any]) -> bool:
        if self._is_its(call, task_id):
            self.updates.append(responses)
            return True
        return False

    async def cancel(self, call: Call, task_id: str) -> bool:
        self.cancels += self._is_its(call, task_id)
        return self._is_its(call, task_id)

    async def watch(
        self, call: Call, task_id: str, changed: Callable[[Task], None]
    ) -> Callable[[], None] | None:
        if not self._is_its(call, task_id):
            return None
        self.watching.append(changed)
        await self.look()
        return lambda: self.watching.remove(changed)


@pytest.fixture
def desk() -> _Desk:
    return _Desk()


@pytest.fixture
def port(desk: _Desk) -> Port:
    return Port(declare=desk.declare)


def _send(port: Port, method: str, task_id: Any = "t-1", **more: Any) -> Recorder:
    params = {"_meta": CAPABLE, "taskId": task_id, **more}
    name = task_id if isinstance(task_id, str) else "x"
    return port.modern(method, params, mcp_name=name)


def _get(port: Port) -> dict[str, Any]:
    result: dict[str, Any] = _send(port, "tasks/get").json["result"]
    result.pop("_meta")
    return result


HEAD = {
    "resultType": "complete",
    "taskId": "t-1",
    "createdAt": "2027-01-15T08:00:00.500Z",
    "lastUpdatedAt": "2027-01-15T08:00:01.000Z",
    "ttlMs": 60_000,
    "pollIntervalMs": 250,
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"status": "working"}),
        ({"message": "on it"}, {"status": "working", "statusMessage": "on it"}),
        (
            {"status": tasks.INPUT_REQUIRED, "requests": {"k": ASKED}},
            {
                "status": "input_required",
                "inputRequests": {"k": {"method": ASKED[0], "params": ASKED[1]}},
            },
        ),
        (
            {"status": tasks.COMPLETED, "result": text("no", is_error=True)},
            {
                "status": "completed",
                "result": {
                    "resultType": "complete",
                    "content": [{"type": "text", "text": "no"}],
                    "isError": True,
                },
            },
        ),
        (
            {"status": tasks.FAILED, "error": RpcError(-5, "broken", {"a": 1})},
            {"status": "failed", "error": {"code": -5, "message": "broken", "data": {"a": 1}}},
        ),
        (
            {"status": tasks.FAILED, "error": RpcError(-5, "broken")},
            {"status": "failed", "error": {"code": -5, "message": "broken"}},
        ),
        ({"status": tasks.CANCELLED, "result": text("never")}, {"status": "cancelled"}),
    ],
)
def test_a_task_says_how_it_is(
    port: Port, desk: _Desk, change: dict[str, Any], expected: dict[str, Any]
) -> None:
    desk.task = desk.task._replace(**change)
    assert _get(port) == {**HEAD, **expected}


def test_a_call_that_becomes_a_task_says_only_how_it_began() -> None:
    task = Task("t-1", tasks.INPUT_REQUIRED, 0.0, 0.0, 1.0, 1.0, requests={"k": ASKED})
    made = tasks.created(task)
    assert made.kind == "task"
    assert b"inputRequests" not in made.body


def test_an_update_and_a_cancellation_are_only_acknowledged(port: Port, desk: _Desk) -> None:
    responses = {"k": {"action": "accept", "content": {"ok": True}}}
    for method, more in (("tasks/update", {"inputResponses": responses}), ("tasks/cancel", {})):
        result = _send(port, method, **more).json["result"]
        result.pop("_meta")
        assert result == {"resultType": "complete"}
    assert desk.updates == [responses]
    assert desk.cancels == 1


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_somebody_elses_task_looks_like_none(port: Port, desk: _Desk, method: str) -> None:
    unknown = _send(port, method, "t-2", inputResponses={})
    port.principal = Principal("acme", "bob", scopes=SCOPES)
    foreign = _send(port, method, inputResponses={})
    assert (unknown.status, unknown.json["error"]["code"]) == (400, -32602)
    assert (foreign.status, foreign.json) == (unknown.status, unknown.json)
    assert desk.updates == []
    assert desk.cancels == 0


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_who_does_not_declare_tasks_learns_nothing_of_them(port: Port, method: str) -> None:
    for task_id in ("t-1", "t-2"):
        reply = port.modern(method, {"taskId": task_id}, mcp_name=task_id)
        assert (reply.status, reply.json["error"]["code"]) == (400, -32021)
        assert reply.json["error"]["data"] == {"requiredCapabilities": {"extensions": {TASKS: {}}}}


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
@pytest.mark.parametrize("task_id", [None, 5, [], "x" * 257])
def test_a_task_needs_an_id(port: Port, method: str, task_id: object) -> None:
    reply = _send(port, method, task_id, inputResponses={})
    assert (reply.status, reply.json["error"]["code"]) == (400, -32602)


@pytest.mark.parametrize("responses", [None, 5, [], {"k": 5}])
def test_an_update_needs_responses(port: Port, desk: _Desk, responses: object) -> None:
    reply = _send(port, "tasks/update", inputResponses=responses)
    assert (reply.status, reply.json["error"]["code"]) == (400, -32602)
    assert desk.updates == []


def test_the_header_must_name_the_task(port: Port) -> None:
    reply = port.modern("tasks/get", {"_meta": CAPABLE, "taskId": "t-1"}, mcp_name="t-2")
    assert (reply.status, reply.json["error"]["code"]) == (400, -32020)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_where_nothing_becomes_a_task_there_is_no_such_method(method: str) -> None:
    reply = _send(Port(bare=True), method)
    assert (reply.status, reply.json["error"]["code"]) == (404, -32601)


def test_older_revisions_have_no_tasks(port: Port) -> None:
    reply = port.in_session(port.initialize(), "tasks/get", {"taskId": "t-1"})
    assert reply.json["error"]["code"] == -32601


def test_changes_of_tasks_are_told_whole_to_who_listens(port: Port, desk: _Desk) -> None:
    params = {"_meta": CAPABLE, "notifications": {"taskIds": ["t-1", "t-2"]}}
    listener = port.modern("subscriptions/listen", params, request_id=4)
    assert listener.messages[0]["params"]["notifications"] == {"taskIds": ["t-1"]}
    (changed,) = desk.watching
    changed(desk.task._replace(status=tasks.COMPLETED, result=text("done")))
    told = listener.messages[1]
    assert told["method"] == "notifications/tasks"
    assert told["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": 4}
    assert (told["params"]["taskId"], told["params"]["status"]) == ("t-1", "completed")
    assert told["params"]["result"]["content"][0]["text"] == "done"
    listener.disconnect()
    assert desk.watching == []


def test_what_becomes_of_a_task_before_the_acknowledgement_is_told_behind_it(
    port: Port, desk: _Desk
) -> None:
    held = Held(desk, "look")
    params = {"_meta": CAPABLE, "notifications": {"taskIds": ["t-1", "t-2"]}}
    listener = port.modern("subscriptions/listen", params)
    (changed,) = desk.watching
    changed(desk.task)
    changed(desk.task._replace(status=tasks.COMPLETED, result=text("done")))
    assert listener.messages == []
    held.go_on()
    acknowledged, told = listener.messages
    assert acknowledged["params"]["notifications"] == {"taskIds": ["t-1"]}
    assert (told["params"]["taskId"], told["params"]["status"]) == ("t-1", "completed")


def test_who_does_not_declare_tasks_is_not_told_of_them(port: Port, desk: _Desk) -> None:
    params = {"notifications": {"taskIds": ["t-1"]}}
    listener = port.modern("subscriptions/listen", params)
    assert listener.messages[0]["params"]["notifications"] == {}
    assert desk.watching == []


@pytest.mark.parametrize("ids", ["t-1", [5], ["t-1"] * 101])
def test_what_are_no_ids_is_refused(port: Port, ids: object) -> None:
    params = {"_meta": CAPABLE, "notifications": {"taskIds": ids}}
    reply = port.modern("subscriptions/listen", params)
    assert (reply.status, reply.json["error"]["code"]) == (400, -32602)
