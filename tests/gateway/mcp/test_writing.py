"""Large answers: the same as small ones, a little later; or how to get them, where many wait."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from gateway.mcp.capabilities import TASKS
from gateway.mcp.outcomes import open_result, outcome_result
from gateway.mcp.results import (
    LARGE,
    AnsweredBy,
    AnswerGiven,
    LargeAnswer,
    QuestionState,
    TextContent,
    text,
)
from gateway.offers import Settings
from pool.workers import QueueFullError
from session.model import Ballot, Outcome, Question, State
from session.steps import PIECE, WHOLE, in_one_go
from tests.gateway.mcp.recording import ANN, META, Port, Recorder, Screen, ask, request
from tests.portions import in_portions

# The start of it is also an escape and more than one byte.
LONG = "\n\u2192" * (WHOLE // 4)


async def answered(port: Port) -> Recorder:
    """Ask, and answer with a long text."""
    screen = port.attach(Screen())
    port.router.settings = Settings(answer_bytes=len(LONG))
    recorder = port.modern("tools/call", ask())
    assert port.answer(screen, LONG) == "accepted"
    return recorder


async def answered_before(port: Port) -> str:
    """Ask, and answer with a long text; return the question's id."""
    recorder = await answered(port)
    await port.large.drain()
    return str(recorder.reply["result"]["structuredContent"]["question_id"])


def fill(port: Port) -> None:
    """Have as much wait to be written as may."""

    async def other() -> None:
        """Wait."""

    while True:
        try:
            port.large.writing.submit(ANN.tenant, other())
        except QueueFullError:
            return


@asynccontextmanager
async def writing(port: Port) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(port.large.run)
        yield
        nursery.cancel_scope.cancel()


async def write(port: Port) -> None:
    async with writing(port):
        await port.large.drain()


def test_what_is_written_in_steps_is_what_is_written_whole() -> None:
    state = QuestionState("q", "answered", LONG, {"a": 1})
    answer = LargeAnswer((TextContent(LONG),), state)
    written = b"".join(in_one_go(answer.pieces("a token that nobody guesses")))
    assert written == msgspec.json.encode(text(LONG, state))


async def test_a_call_is_finished_when_its_answer_is_written() -> None:
    port = Port()
    recorder = await answered(port)
    assert not recorder.complete
    await write(port)
    result = recorder.reply["result"]
    assert result["content"] == [{"type": "text", "text": LONG}]
    assert result["structuredContent"]["answer"] == LONG
    assert port.is_idle()


async def test_a_caller_that_has_left_is_written_nothing() -> None:
    port = Port()
    recorder = await answered(port)
    recorder.disconnect()
    await write(port)
    assert not recorder.complete
    assert not port.failures
    assert port.is_idle()


async def test_a_call_says_how_to_get_its_answer_where_too_many_wait() -> None:
    port = Port()
    fill(port)
    recorder = await answered(port)
    result = recorder.reply["result"]
    assert result["isError"]
    assert "collect_answer" in result["content"][0]["text"]
    await write(port)


CAPABLE = {**META, "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}}}
FORM = {"a": [LONG, {"b": LONG}], "n": 1}


def read_question(port: Port, question_id: str) -> Recorder:
    return port.modern("resources/read", {"uri": f"question://{question_id}"})


def get_task(port: Port, question_id: str) -> Recorder:
    task_id = f"question-{question_id}"
    return port.modern("tasks/get", {"_meta": CAPABLE, "taskId": task_id}, mcp_name=task_id)


def resource_of(recorder: Recorder) -> Any:
    result = recorder.reply["result"]
    assert (result["ttlMs"], result["cacheScope"]) == (0, "private")
    (contents,) = result["contents"]
    assert contents["mimeType"] == "application/json"
    return json.loads(contents["text"])


def result_of(recorder: Recorder) -> Any:
    task = recorder.reply["result"]
    assert (task["resultType"], task["status"]) == ("complete", "completed")
    assert task["result"]["resultType"] == "complete"
    assert task["result"]["content"][0]["text"] == LONG
    return task["result"]["structuredContent"]


@pytest.mark.parametrize(
    ("read", "shown"), [(read_question, resource_of), (get_task, result_of)], ids=["read", "task"]
)
async def test_what_else_is_told_of_a_large_answer_is_written_in_steps(
    read: Callable[[Port, str], Recorder],
    shown: Callable[[Recorder], Any],
) -> None:
    port = Port()
    async with writing(port):
        question_id = await answered_before(port)
        recorder = read(port, question_id)
        assert not recorder.complete
        await port.large.drain()
    state = shown(recorder)
    assert (state["question_id"], state["answer"]) == (question_id, LONG)
    assert [each["event"] for each in state["history"]] == ["asked", "answered"]


@pytest.mark.parametrize("read", [read_question, get_task])
async def test_a_caller_is_told_to_come_back_where_too_many_wait(
    read: Callable[[Port, str], Recorder],
) -> None:
    port = Port()
    async with writing(port):
        question_id = await answered_before(port)
        fill(port)
        recorder = read(port, question_id)
        assert recorder.status == 503
        assert recorder.json["error"]["message"].startswith("This gateway is busy")


def listening_to_a_task() -> tuple[Port, Screen, Recorder, str]:
    """Ask by a task and listen to it, where an answer may be long."""
    port = Port()
    screen = port.attach(Screen())
    port.router.settings = Settings(answer_bytes=len(LONG))
    asked = {"name": "ask_user", "arguments": {"question": "?", "wait": "task"}, "_meta": CAPABLE}
    task_id = port.modern("tools/call", asked).json["result"]["taskId"]
    params = {"_meta": CAPABLE, "notifications": {"taskIds": [task_id]}}
    listener = port.modern("subscriptions/listen", params)
    return port, screen, listener, task_id


async def test_who_listens_to_a_task_is_told_of_a_large_answer_once_it_is_written() -> None:
    port, screen, listener, task_id = listening_to_a_task()
    port.answer(screen, LONG)
    assert len(listener.messages) == 1
    await write(port)
    message = listener.messages[1]
    assert message["method"] == "notifications/tasks"
    told = message["params"]
    assert told["_meta"] == listener.messages[0]["params"]["_meta"]
    assert (told["taskId"], told["status"]) == (task_id, "completed")
    assert told["result"]["structuredContent"]["answer"] == LONG
    listener.disconnect()


async def test_who_listens_to_a_task_is_not_told_where_too_many_wait() -> None:
    port, screen, listener, _ = listening_to_a_task()
    fill(port)
    assert port.answer(screen, LONG) == "accepted"
    await write(port)
    assert len(listener.messages) == 1
    listener.disconnect()


@pytest.mark.parametrize("state", [State.ANSWERED, State.TIMED_OUT])
def test_a_form_and_the_answers_of_several_people_are_written_in_steps(state: State) -> None:
    question = Question("q", "t", "ann", "?", 1.0, 2.0, quorum=2)
    answers = tuple(Ballot(1.5, f"tab-{n}", "", LONG, FORM) for n in range(2))
    content = FORM if state is State.ANSWERED else None
    outcome = Outcome(state, 1.75, "short", content, "tab-1", answers=answers)
    for result in (outcome_result(question, outcome), open_result(question, 1, answers)):
        assert isinstance(result, LargeAnswer)
        steps, pieces = in_portions(result.pieces("a token that nobody guesses"))
        assert steps >= len(LONG) // PIECE
        assert max(map(len, pieces)) <= 6 * PIECE
        written = b"".join(pieces)
        (words,) = result.content
        assert isinstance(words, TextContent)
        whole = text(words.text, result.structured, is_error=result.is_error)
        assert written == msgspec.json.encode(whole)
        given = AnswerGiven(LONG, AnsweredBy("tab-1"), 1.5, FORM)
        assert result.structured.answers[1] == given


def test_a_short_answer_with_a_short_form_is_written_at_once() -> None:
    question = Question("q", "t", "ann", "?", 1.0, 2.0, quorum=1)
    ballot = Ballot(1.5, "tab-1", "", "yes", {"a": 1})
    outcome = Outcome(State.ANSWERED, 1.75, "yes", {"a": 1}, "tab-1", answers=(ballot,))
    assert not isinstance(outcome_result(question, outcome), LargeAnswer)


async def collected_ten_times(port: Port) -> Recorder:
    """Collect an answer in a batch that is only together too long to be written in one go."""
    screen = port.attach(Screen())
    session = port.initialize("2025-03-26")
    asked = port.post(request("tools/call", ask(), 1), mcp_session_id=session)
    assert port.answer(screen, "x" * LARGE) == "accepted"
    question_id = asked.reply["result"]["structuredContent"]["question_id"]
    collect = {"name": "collect_answer", "arguments": {"question_id": question_id}}
    batch = [request("tools/call", collect, number) for number in range(2, 12)]
    return port.post(batch, mcp_session_id=session)


async def test_a_large_batch_is_answered_when_its_replies_are_one() -> None:
    port = Port()
    recorder = await collected_ten_times(port)
    port.pass_time(60)
    assert not (recorder.complete or recorder.streaming)
    await write(port)
    replies = recorder.json
    assert [each["id"] for each in replies] == list(range(2, 12))
    assert {each["result"]["structuredContent"]["answer"] for each in replies} == {"x" * LARGE}
    assert port.is_idle()


async def test_who_has_left_is_sent_no_large_batch() -> None:
    port = Port()
    recorder = await collected_ten_times(port)
    recorder.disconnect()
    await write(port)
    assert not recorder.body
    assert not port.failures


async def test_a_large_batch_is_answered_at_once_where_too_many_wait() -> None:
    port = Port()

    async def other() -> None:
        """Wait."""

    with pytest.raises(QueueFullError):
        while True:
            port.large.writing.submit("(batches)", other())
    recorder = await collected_ten_times(port)
    assert [each["id"] for each in recorder.json] == list(range(2, 12))
    await write(port)
