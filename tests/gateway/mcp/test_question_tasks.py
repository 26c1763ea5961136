"""A question as a task, from any instance, for its asker alone."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.mcp.capabilities import TASKS
from session.model import SCOPES, Principal
from tests.gateway.mcp.recording import KEPT_SECONDS, META, Port, Recorder, Screen, ask

CAPABLE = {**META, "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}}}


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def screen(port: Port) -> Screen:
    return port.attach(Screen())


def _ask(port: Port, **arguments: Any) -> dict[str, Any]:
    params = {"_meta": CAPABLE, **ask(wait="task", **arguments)}
    result: dict[str, Any] = port.modern("tools/call", params).json["result"]
    return result


def _send(port: Port, method: str, task_id: str, **more: Any) -> Recorder:
    params = {"_meta": CAPABLE, "taskId": task_id, **more}
    return port.modern(method, params, mcp_name=task_id)


def _get(port: Port, task_id: str) -> dict[str, Any]:
    result: dict[str, Any] = _send(port, "tasks/get", task_id).json["result"]
    return result


def test_an_ask_becomes_a_task_and_the_answer_its_result(port: Port, screen: Screen) -> None:
    task = _ask(port)
    assert (task["resultType"], task["status"]) == ("task", "working")
    assert task["ttlMs"] == KEPT_SECONDS * 1000
    assert task["statusMessage"] == "waiting for a person, 1 frontend online"
    assert "result" not in task
    assert port.is_idle()
    working = _get(port, task["taskId"])
    assert (working["resultType"], working["status"]) == ("complete", "working")
    assert working["createdAt"] == task["createdAt"]
    port.pass_time(10)
    assert _get(port, task["taskId"])["ttlMs"] >= (KEPT_SECONDS + 9) * 1000
    port.answer(screen, "red")
    done = _get(port, task["taskId"])
    assert done["status"] == "completed"
    assert done["lastUpdatedAt"] > done["createdAt"]
    assert done["result"]["content"] == [{"type": "text", "text": "red"}]
    assert done["result"]["structuredContent"]["state"] == "answered"
    assert "inputRequests" not in done


def test_an_approval_as_a_task_has_its_receipt(port: Port, screen: Screen) -> None:
    arguments = {"tool": "db.drop", "arguments": {}, "reason": "Old.", "wait": "task"}
    params = {"_meta": CAPABLE, "name": "request_approval", "arguments": arguments}
    task_id = port.modern("tools/call", params).json["result"]["taskId"]
    wants = {"_meta": CAPABLE, "notifications": {"taskIds": [task_id]}}
    stream = port.modern("subscriptions/listen", wants)
    port.pass_time(0.2)
    port.answer(screen, "approve")
    approval = _get(port, task_id)["result"]["structuredContent"]["approval"]
    assert approval["receipt"]
    told = stream.messages[-1]["params"]
    assert told["result"]["structuredContent"]["approval"] == approval


def test_a_person_who_declines_is_an_error_of_the_tool(port: Port, screen: Screen) -> None:
    task = _ask(port)
    port.reject(screen, "not mine")
    done = _get(port, task["taskId"])
    assert (done["status"], done["result"]["isError"]) == ("completed", True)


def test_so_is_nobody_who_answers(port: Port, screen: Screen) -> None:
    task = _ask(port, timeout_seconds=5)
    port.pass_time(6)
    done = _get(port, task["taskId"])
    assert (done["status"], done["result"]["isError"]) == ("completed", True)


def test_a_cancelled_task_is_a_question_taken_back(port: Port, screen: Screen) -> None:
    task = _ask(port)
    for _ in range(2):
        assert _send(port, "tasks/cancel", task["taskId"]).json["result"]
    assert _get(port, task["taskId"])["status"] == "cancelled"
    assert [reason for _, reason in screen.withdrawn] == ["cancelled"]


def test_an_answer_that_was_first_stays(port: Port, screen: Screen) -> None:
    task = _ask(port)
    port.answer(screen, "red")
    assert _send(port, "tasks/cancel", task["taskId"]).json["result"]
    assert _get(port, task["taskId"])["status"] == "completed"


def test_an_update_changes_nothing(port: Port, screen: Screen) -> None:
    task = _ask(port)
    forged = {"answer": {"action": "accept", "content": {"answer": "mine"}}}
    reply = _send(port, "tasks/update", task["taskId"], inputResponses=forged)
    assert reply.json["result"]["resultType"] == "complete"
    assert _get(port, task["taskId"])["status"] == "working"


def test_the_question_can_be_collected_as_well(port: Port, screen: Screen) -> None:
    task = _ask(port)
    question_id = screen.asked[0].id
    port.answer(screen, "red")
    params = {"name": "collect_answer", "arguments": {"question_id": question_id}}
    collected = port.modern("tools/call", params).json["result"]
    assert collected["content"] == _get(port, task["taskId"])["result"]["content"]


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_somebody_elses_question_looks_like_none(port: Port, screen: Screen, method: str) -> None:
    task = _ask(port)
    unknown = [
        _send(port, method, task_id, inputResponses={}).json
        for task_id in ("question-none", "question-", screen.asked[0].id)
    ]
    # Admins among them: a task is its caller's own.
    for tenant, subject in (("acme", "bob"), ("other", "ann")):
        port.principal = Principal(tenant, subject, scopes=SCOPES)
        assert _send(port, method, task["taskId"], inputResponses={}).json == unknown[0]
    assert unknown == [unknown[0]] * 3
    assert unknown[0]["error"]["code"] == -32602
    assert screen.withdrawn == []


def test_without_the_extension_the_question_is_collected_later(port: Port, screen: Screen) -> None:
    plain = port.modern("tools/call", ask(wait="task")).json["result"]
    assert plain["resultType"] == "complete"
    assert plain["structuredContent"]["state"] == "open"
    session = port.initialize(capabilities={"extensions": {TASKS: {}}})
    old = port.in_session(session, "tools/call", ask(wait="task")).json["result"]
    assert old["structuredContent"]["question_id"] == screen.asked[1].id


@pytest.mark.parametrize("wait", [None, "hold", "return"])
def test_an_ask_that_does_not_want_a_task_is_none(
    port: Port, screen: Screen, wait: str | None
) -> None:
    arguments = {} if wait is None else {"wait": wait}
    params = {"_meta": CAPABLE, **ask(**arguments), "task": {"ttl": 5}}
    response = port.modern("tools/call", params)
    if wait != "return":
        port.answer(screen, "red")
    assert response.json["result"]["resultType"] == "complete"


def test_an_answer_is_told_to_who_listens(port: Port, screen: Screen) -> None:
    task_id = _ask(port)["taskId"]
    params = {"_meta": CAPABLE, "notifications": {"taskIds": [task_id, "question-none", "x"]}}
    listener = port.modern("subscriptions/listen", params)
    assert listener.messages[0]["params"]["notifications"] == {"taskIds": [task_id]}
    port.answer(screen, "red")
    told = listener.messages[1]["params"]
    assert (told["taskId"], told["status"]) == (task_id, "completed")
    assert told["result"]["content"][0]["text"] == "red"
    listener.disconnect()
    assert port.is_idle()


def test_who_stops_listening_is_waited_for_no_more(port: Port, screen: Screen) -> None:
    task_id = _ask(port)["taskId"]
    params = {"_meta": CAPABLE, "notifications": {"taskIds": [task_id]}}
    listener = port.modern("subscriptions/listen", params)
    assert port.router.statistics().waiters == 1
    (offer,) = port.router.offers.values()
    (waiter,) = offer.waiters
    assert waiter.principal == port.principal
    assert (waiter.waits, waiter.session_id) == (False, "")
    # Neither of these says anything on the stream: it ends for the same reasons by itself.
    waiter.put_off()
    waiter.cut_off()
    assert len(listener.messages) == 1
    listener.disconnect()
    assert port.router.statistics().waiters == 0
