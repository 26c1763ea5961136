"""How a caller waits, leaves and comes back, in each era."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gateway.mcp.call import LATER, Call, Departure, Later, Progress
from gateway.mcp.endpoint import Settings
from gateway.mcp.registry import Registry
from gateway.mcp.results import ToolResult, text
from session import MemorySettings
from session.errors import StoreUnavailableError
from session.model import McpSession, Outcome, State
from tests.gateway.mcp.recording import BOTH, META, Port, Recorder, Screen, ask, request

HANDSHAKE = ("2025-03-26", "2025-06-18", "2025-11-25")
JSON = "application/json"
STREAM = "text/event-stream"


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def screen(port: Port) -> Screen:
    return port.attach(Screen())


def _ask(port: Port, era: str, *, session: str = "", token: object = None, **more: Any) -> Recorder:
    arguments = more.pop("arguments", {})
    params = ask(**arguments)
    if era == "modern":
        if token is not None:
            params["_meta"] = {**META, "progressToken": token}
        return port.modern("tools/call", params, **more)
    if token is not None:
        params["_meta"] = {"progressToken": token}
    session = session or port.initialize(era)
    return port.in_session(session, "tools/call", params, **more)


def _text(response: Recorder) -> str:
    text: str = response.reply["result"]["content"][0]["text"]
    return text


# -- JSON at first, then a stream


@pytest.mark.parametrize("era", ["modern", *HANDSHAKE])
def test_a_quick_answer_is_plain_json(port: Port, screen: Screen, era: str) -> None:
    response = _ask(port, era)
    port.pass_time(0.09)
    assert not response.streaming
    port.answer(screen, "quick")
    assert response.content_type == b"application/json"
    assert _text(response) == "quick"
    assert port.is_idle()


@pytest.mark.parametrize("era", ["modern", *HANDSHAKE])
def test_an_answer_that_takes_longer_comes_on_a_stream_begun_early(
    port: Port, screen: Screen, era: str
) -> None:
    response = _ask(port, era)
    port.pass_time(0.2)
    assert response.status == 200
    assert response.content_type == b"text/event-stream"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.body
    port.answer(screen, "in time")
    assert _text(response) == "in time"
    assert len(response.messages) == 1
    assert response.complete
    assert port.is_idle()


@pytest.mark.parametrize("era", ["modern", "2025-11-25"])
def test_a_stream_never_falls_silent_for_15_seconds(port: Port, screen: Screen, era: str) -> None:
    response = _ask(port, era)
    port.pass_time(0.2)
    for _ in range(8):
        before = len(response.body)
        port.pass_time(15)
        assert len(response.body) > before
    assert response.messages == []
    port.answer(screen, "at last")
    assert _text(response) == "at last"


@pytest.mark.parametrize("accept", [JSON, "*/*", ""])
def test_who_reads_no_streams_gets_json_whenever_it_comes(
    port: Port, screen: Screen, accept: str
) -> None:
    response = _ask(port, "modern", accept=accept)
    port.pass_time(200)
    assert not response.streaming
    port.answer(screen, "late")
    assert response.content_type == b"application/json"
    assert _text(response) == "late"
    assert port.is_idle()


def test_who_reads_streams_only_gets_one_at_once(port: Port, screen: Screen) -> None:
    response = _ask(port, "modern", accept=STREAM)
    assert response.streaming
    port.answer(screen, "now")
    assert _text(response) == "now"
    listed = port.modern("tools/list", accept=STREAM)
    assert listed.streaming
    assert listed.complete
    assert len(listed.reply["result"]["tools"]) == 7


def test_the_patience_and_the_heartbeat_are_settings(screen: Screen) -> None:
    del screen
    port = Port(Settings(json_seconds=5.0, keep_alive_seconds=1.0))
    response = _ask(port, "modern")
    port.pass_time(4.9)
    assert not response.streaming
    port.pass_time(3.5)
    assert response.body.count(b": waiting") >= 3


# -- progress


@pytest.mark.parametrize("era", ["modern", *HANDSHAKE])
@pytest.mark.parametrize("token", ["tok", 7, 0])
def test_progress_comes_to_who_asked_for_it_and_increases(
    port: Port, screen: Screen, era: str, token: str | int
) -> None:
    response = _ask(port, era, token=token, arguments={"timeout_seconds": 100})
    port.pass_time(60)
    told = [message["params"] for message in response.messages]
    assert all(message["method"] == "notifications/progress" for message in response.messages)
    assert [each["progressToken"] for each in told] == [token] * len(told)
    done = [each["progress"] for each in told]
    assert len(done) >= 5
    assert done == sorted(set(done))
    assert {each["total"] for each in told} == {100}
    assert told[0]["message"] == "waiting for a person, 1 frontend online"
    port.answer(screen, "x")
    assert response.messages[-1]["result"]


@pytest.mark.parametrize("token", [None, True, 1.5, ["t"], {}])
def test_without_a_usable_token_there_is_no_progress(
    port: Port, screen: Screen, token: object
) -> None:
    del screen
    response = _ask(port, "modern", token=token)
    port.pass_time(40)
    assert response.messages == []


class _Bench:
    """A tool that the test drives by hand."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.departures: list[Departure] = []

    async def work(self, call: Call, _arguments: dict[str, Any]) -> Later:
        self.calls.append(call)
        return LATER

    async def wait(self, call: Call, _arguments: dict[str, Any]) -> Later:
        self.calls.append(call)
        call.wait_for(self)
        return LATER

    async def talk(self, call: Call, _arguments: dict[str, Any]) -> ToolResult:
        for done in (0.0, 50.0, 50.0, 20.0, 100.0):
            call.progress(Progress(done, 100.0))
        call.log("debug", "too chatty")
        call.log("warning", {"disk": "full"}, "disk")
        return text("done")

    def departed(self, departure: Departure) -> None:
        self.departures.append(departure)

    def progress(self) -> Progress | None:
        return None

    def declare(self, registry: Registry) -> None:
        registry.tool("work", self.work, description="Works.")
        registry.tool("wait", self.wait, description="Waits.")
        registry.tool("talk", self.talk, description="Talks.")


def test_a_tool_reports_progress_and_logs_on_its_own_stream() -> None:
    """In order, never going back; log messages from the level on that was asked for."""
    port = Port(declare=_Bench().declare)
    session = port.initialize()
    port.in_session(session, "logging/setLevel", {"level": "info"})
    params = {"name": "talk", "_meta": {"progressToken": "p"}}
    response = port.in_session(session, "tools/call", params)
    assert [message.get("method", "reply") for message in response.messages] == [
        "notifications/progress",
        "notifications/progress",
        "notifications/progress",
        "notifications/message",
        "reply",
    ]
    assert response.messages[3]["params"] == {
        "level": "warning",
        "logger": "disk",
        "data": {"disk": "full"},
    }


@pytest.mark.parametrize(("level", "logs"), [("debug", 2), ("error", 0), (None, 0), ("loud", 0)])
def test_a_modern_request_says_itself_which_logs_it_wants(level: str | None, logs: int) -> None:
    port = Port(declare=_Bench().declare)
    meta = {**META} if level is None else {**META, "io.modelcontextprotocol/logLevel": level}
    response = port.modern("tools/call", {"name": "talk", "_meta": meta})
    if logs:
        assert len(response.messages) == logs + 1
    else:
        assert not response.streaming


def test_who_reads_no_streams_is_spared_progress() -> None:
    port = Port(declare=_Bench().declare)
    meta = {**META, "progressToken": 1}
    response = port.modern("tools/call", {"name": "talk", "_meta": meta}, accept=JSON)
    assert _text(response) == "done"


def test_after_the_end_nothing_is_sent() -> None:
    bench = _Bench()
    port = Port(declare=bench.declare)
    params = {"name": "work", "_meta": {**META, "progressToken": 1}}
    response = port.modern("tools/call", params)
    port.pass_time(1)
    bench.calls[0].finish(text("end"))
    sent = response.body
    assert not bench.calls[0].progress(Progress(5.0))
    assert not bench.calls[0].log("emergency", "x")
    port.pass_time(60)
    assert response.body == sent


# -- leaving


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_modern_caller_that_disconnects_has_cancelled_its_question(
    port: Port, screen: Screen, seconds: float
) -> None:
    response = _ask(port, "modern")
    port.pass_time(seconds)
    assert response.leaves_at_end
    response.disconnect()
    assert screen.withdrawn == [(screen.asked[0].id, "cancelled")]
    assert port.calls[-1] == ("tools/call", "ask_user", "cancelled")
    assert port.is_idle()


def test_a_modern_caller_with_a_key_may_come_back(port: Port, screen: Screen) -> None:
    arguments = {"idempotency_key": "k"}
    _ask(port, "modern", arguments=arguments).disconnect()
    assert screen.withdrawn == []
    again = _ask(port, "modern", arguments=arguments, request_id=2)
    assert len(screen.asked) == 1
    port.answer(screen, "welcome back")
    assert _text(again) == "welcome back"
    assert port.is_idle()


@pytest.mark.parametrize("era", HANDSHAKE)
@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_handshake_caller_that_disconnects_loses_neither_question_nor_answer(
    port: Port, screen: Screen, era: str, seconds: float
) -> None:
    session = port.initialize(era)
    response = _ask(port, era, session=session)
    port.pass_time(seconds)
    response.disconnect()
    assert port.is_idle()
    assert screen.withdrawn == []
    port.answer(screen, "kept")
    question_id = screen.asked[0].id
    params = {"name": "collect_answer", "arguments": {"question_id": question_id}}
    assert _text(port.in_session(session, "tools/call", params)) == "kept"


@pytest.mark.parametrize("seconds", [0.0, 1.0])
@pytest.mark.parametrize("accept", [JSON, f"{JSON}, {STREAM}"])
def test_a_notification_cancels_the_request_it_names(
    port: Port, screen: Screen, seconds: float, accept: str
) -> None:
    session = port.initialize()
    response = _ask(port, "2025-11-25", session=session, request_id="r", accept=accept)
    port.pass_time(seconds)
    for request_id in ("other", 5, None, [1]):
        _cancel(port, session, request_id)
    _cancel(port, port.initialize(), "r")
    assert response.is_open
    _cancel(port, session, "r")
    assert response.complete
    assert b"result" not in response.body
    assert screen.withdrawn == [(screen.asked[0].id, "cancelled")]
    assert port.is_idle()


def _cancel(port: Port, session: str, request_id: object) -> None:
    message = {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": request_id, "reason": "no longer needed"},
    }
    assert port.post(message, mcp_session_id=session).status == 202


def _ask_twice(port: Port, *before: dict[str, Any], **headers: str) -> tuple[str, Recorder]:
    """Ask 2 and 3 in a batch, after what else it holds."""
    session = port.initialize("2025-03-26")
    batch = [*before, *(request("tools/call", ask(), number) for number in (2, 3))]
    return session, port.post(batch, mcp_session_id=session, **headers)


@pytest.mark.parametrize("waited", [0.0, 0.3])
def test_a_cancelled_call_of_a_batch_leaves_the_others_their_replies(
    port: Port, screen: Screen, waited: float
) -> None:
    session, response = _ask_twice(port)
    port.pass_time(waited)
    _cancel(port, session, 2)
    assert [reason for _, reason in screen.withdrawn] == ["cancelled"]
    assert response.is_open
    port.pass_time(0.3)
    assert port.answer(screen, "blue", 1) == "accepted"
    assert [message["id"] for message in response.messages] == [3]
    assert _text(response) == "blue"
    assert response.complete
    assert port.is_idle()


@pytest.mark.parametrize("cancelled_first", [True, False])
def test_what_a_batch_has_collected_is_sent_when_the_rest_is_cancelled(
    port: Port, screen: Screen, cancelled_first: bool
) -> None:
    session, response = _ask_twice(port, request("ping"), accept=JSON)
    if cancelled_first:
        _cancel(port, session, 3)
        assert response.is_open
        port.answer(screen, "red", 0)
    else:
        port.answer(screen, "red", 0)
        assert response.is_open
        _cancel(port, session, 3)
    assert response.complete
    assert response.status == 200
    assert [reply["id"] for reply in response.json] == [1, 2]
    assert port.is_idle()


@pytest.mark.parametrize(
    ("accept", "waited", "status"), [(JSON, 0.3, 204), (BOTH, 0.0, 200), (BOTH, 0.3, 200)]
)
def test_a_batch_of_which_all_is_cancelled_ends_without_a_reply(
    port: Port, screen: Screen, accept: str, waited: float, status: int
) -> None:
    session, response = _ask_twice(port, accept=accept)
    port.pass_time(waited)
    _cancel(port, session, 3)
    # Nothing is left to cancel of it.
    _cancel(port, session, 3)
    assert response.is_open
    _cancel(port, session, 2)
    assert response.complete
    assert (response.status, response.streaming) == (status, status == 200)
    assert b"data" not in response.body
    assert len(screen.withdrawn) == 2
    assert port.is_idle()


def test_a_tool_hears_once_that_nobody_waits() -> None:
    bench = _Bench()
    port = Port(declare=bench.declare)
    response = port.modern("tools/call", {"name": "wait"})
    response.disconnect()
    call = bench.calls[0]
    assert call.departed
    call.cancel()
    call.finish(text("too late"))
    assert bench.departures == [Departure.CANCELLED]
    assert port.is_idle()


def test_a_wait_that_begins_when_the_caller_has_gone_ends_at_once() -> None:
    bench = _Bench()
    port = Port(declare=bench.declare)
    session = port.initialize()
    port.in_session(session, "tools/call", {"name": "work"}).disconnect()
    bench.calls[0].wait_for(bench)
    assert bench.departures == [Departure.LEFT]


# -- coming back


def _broken_stream(port: Port, session: str, **more: Any) -> tuple[Recorder, str]:
    response = _ask(port, "2025-11-25", session=session, request_id="mine", **more)
    port.pass_time(0.2)
    first = response.events[0]
    assert first["data"] == ""
    assert first["retry"] == "1000"
    response.disconnect()
    return response, first["id"]


def test_a_stream_resumes_where_it_broke_while_the_question_is_open(
    port: Port, screen: Screen
) -> None:
    session = port.initialize()
    _, event_id = _broken_stream(port, session)
    resumed = port.listen(session, last_event_id=event_id)
    assert resumed.streaming
    port.pass_time(31)
    assert resumed.body.count(b": waiting") == 3
    port.answer(screen, "still here")
    assert resumed.reply["id"] == "mine"
    assert _text(resumed) == "still here"
    assert resumed.complete
    assert port.is_idle()


def test_a_stream_resumes_with_the_answer_that_came_meanwhile(port: Port, screen: Screen) -> None:
    session = port.initialize()
    _, event_id = _broken_stream(port, session)
    port.answer(screen, "meanwhile")
    for _ in range(2):
        resumed = port.listen(session, last_event_id=event_id)
        assert resumed.complete
        assert resumed.reply["id"] == "mine"
        assert _text(resumed) == "meanwhile"
    assert port.is_idle()


def test_what_is_under_way_waits_for_the_store_and_what_begins_is_refused() -> None:
    port = Port(shared=True)
    screen = port.attach(Screen())
    session = port.initialize()
    _, event_id = _broken_stream(port, session)
    find = port.store.find_session

    async def away(session_id: str, *, patient: bool = False) -> McpSession | None:
        if not patient:
            raise StoreUnavailableError("it is away")
        return await find(session_id)

    port.shared.find_session = away
    refused = port.in_session(session, "tools/call", ask())
    assert refused.json["result"]["structuredContent"]["code"] == "unavailable"
    assert port.listen(session).status == 503
    resumed = port.listen(session, last_event_id=event_id)
    assert resumed.streaming
    port.answer(screen, "still here")
    assert _text(resumed) == "still here"
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    assert port.post(cancelled, mcp_session_id=session).status == 202
    assert port.send(b"", "DELETE", mcp_session_id=session).status == 204


def test_a_stream_that_only_listens_goes_on_while_the_store_is_away() -> None:
    port = Port(shared=True)
    listening = port.listen(port.initialize())
    port.shared.away = {"find_session", "save_stream"}
    port.pass_time(31)
    assert listening.streaming
    assert port.failures == []


def test_a_resumed_stream_can_break_again_and_be_cancelled(port: Port, screen: Screen) -> None:
    session = port.initialize()
    _, event_id = _broken_stream(port, session)
    port.listen(session, last_event_id=event_id).disconnect()
    assert port.is_idle()
    resumed = port.listen(session, last_event_id=event_id)
    _cancel(port, session, "mine")
    assert resumed.complete
    assert screen.withdrawn == [(screen.asked[0].id, "cancelled")]


def test_events_have_ids_of_their_own_that_name_their_stream(port: Port, screen: Screen) -> None:
    session = port.initialize()
    first = _ask(port, "2025-11-25", session=session, token="a")
    second = _ask(port, "2025-11-25", session=session)
    port.pass_time(30)
    port.answer(screen, "x", 0)
    port.answer(screen, "y", 1)
    ids = [
        event["id"] for response in (first, second) for event in response.events if "id" in event
    ]
    assert len(ids) == len(set(ids)) >= 6
    assert len({event_id.rpartition("-")[0] for event_id in ids}) == 2


def test_older_revisions_get_no_empty_event_but_can_resume_after_progress(
    port: Port, screen: Screen
) -> None:
    session = port.initialize("2025-06-18")
    response = _ask(port, "2025-06-18", session=session, token=1)
    port.pass_time(0.2)
    assert all(event.get("data") != "" for event in response.events)
    event_id = next(event["id"] for event in response.events if "id" in event)
    response.disconnect()
    port.answer(screen, "resumed")
    assert _text(port.listen(session, last_event_id=event_id)) == "resumed"


@pytest.mark.parametrize("event_id", ["x", "x-1", "-", "f" * 32 + "-0"])
def test_a_stream_that_is_not_known_cannot_be_resumed(port: Port, event_id: str) -> None:
    """It may be noted elsewhere in this moment, so this is said a second later."""
    refused = port.listen(port.initialize(), last_event_id=event_id)
    port.pass_time(0.5)
    assert not refused.complete
    port.pass_time(0.7)
    assert refused.status == 400
    assert "collect_answer" in refused.json["error"]["message"]


def test_another_session_cannot_resume_a_stream(port: Port, screen: Screen) -> None:
    del screen
    _, event_id = _broken_stream(port, port.initialize())
    resumed = port.listen(port.initialize(), last_event_id=event_id)
    port.pass_time(1.2)
    assert resumed.status == 400


def test_who_left_before_an_unknown_stream_was_found_is_not_waited_for(
    port: Port, screen: Screen
) -> None:
    session = port.initialize()
    _ask(port, "2025-11-25", session=session).disconnect()
    resumed = port.listen(session, last_event_id="late-0")
    resumed.disconnect()
    trio.run(port.store.save_stream, session, "late", (screen.asked[0].id, 1), 4)
    port.pass_time(1.2)
    assert not resumed.streaming
    assert port.is_idle()


async def test_a_caller_that_left_before_its_question_was_there_resumes_its_stream() -> None:
    """And it is no call of its session any more, however late that was found."""
    port = Port(Settings(session_calls=1), remote=True)
    screen = Screen()
    async with trio.open_nursery() as nursery:
        await nursery.start(port.workers.run)
        opened = port.post(
            request("initialize", {"protocolVersion": "x", "capabilities": {}, "clientInfo": {}})
        )
        await port.workers.drain()
        session = opened.headers["mcp-session-id"]
        response = _ask(port, "2025-11-25", session=session, accept=STREAM)
        event_id = response.events[0]["id"]
        response.disconnect()
        await port.workers.drain()
        assert port.is_idle()
        port.workers.start("", port.router.attach(cast("Any", screen)))
        resumed = port.listen(session, last_event_id=event_id)
        await port.workers.drain()
        assert resumed.streaming
        await port.router.settle(screen.asked[0], Outcome(State.ANSWERED, 0.0, "found"), None)
        assert _text(resumed) == "found"
        assert port.is_idle()
        nursery.cancel_scope.cancel()


def test_only_so_many_streams_of_a_session_can_be_resumed(screen: Screen) -> None:
    del screen
    port = Port(Settings(resumable_streams=3))
    session = port.initialize()
    streams = [_broken_stream(port, session)[1] for _ in range(5)]
    resumed = [port.listen(session, last_event_id=event_id) for event_id in streams]
    port.pass_time(1.2)
    statuses = [each.status for each in resumed]
    assert statuses == [400, 400, 200, 200, 200]


def test_an_answer_that_is_no_longer_kept_is_said_to_be() -> None:
    port = Port(memory=MemorySettings(answer_seconds=10))
    screen = port.attach(Screen())
    session = port.initialize()
    _, event_id = _broken_stream(port, session)
    port.answer(screen, "long ago")
    port.pass_time(11)
    assert "no longer kept" in _text(port.listen(session, last_event_id=event_id))


def test_modern_streams_have_no_ids(port: Port, screen: Screen) -> None:
    response = _ask(port, "modern", token=1)
    port.pass_time(20)
    port.answer(screen, "x")
    assert all("id" not in event for event in response.events)


# -- all of it at once


class _Caller:
    """One caller, and what the model expects of it."""

    def __init__(self, response: Recorder, session: str, marker: str, at: int) -> None:
        self.response = response
        self.session = session
        self.marker = marker
        #: Which of the screen's questions is its own.
        self.at = at
        self.state = "waiting"
        self.event_id = ""

    def look(self) -> None:
        """Remember the last event id, as a caller does."""
        if self.response.streaming:
            ids = [event["id"] for event in self.response.events if "id" in event]
            self.event_id = ids[-1] if ids else self.event_id


class Waiting(RuleBasedStateMachine):
    """Callers of all kinds wait, leave, cancel, come back; people answer in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.port = Port()
        self.screen = self.port.attach(Screen())
        self.callers: list[_Caller] = []
        self.answered: set[int] = set()

    def _some(self, number: int, *states: str) -> _Caller | None:
        fitting = [caller for caller in self.callers if caller.state in states]
        return fitting[number % len(fitting)] if fitting else None

    @rule(
        era=st.sampled_from(["modern", *HANDSHAKE]),
        token=st.sampled_from([None, "t", 1]),
        accept=st.sampled_from([JSON, STREAM, f"{JSON}, {STREAM}"]),
    )
    def ask(self, era: str, token: object, accept: str) -> None:
        session = "" if era == "modern" else self.port.initialize(era)
        marker = f"question {len(self.callers)}"
        arguments = {"question": marker, "timeout_seconds": 86_400}
        response = _ask(
            self.port, era, session=session, token=token, accept=accept, arguments=arguments
        )
        assert self.screen.asked[-1].text == marker
        self.callers.append(_Caller(response, session, marker, len(self.screen.asked) - 1))

    @rule(number=st.integers(0, 50))
    def answer(self, number: int) -> None:
        caller = self._some(number, "waiting", "left")
        if caller is not None and caller.at not in self.answered:
            self.answered.add(caller.at)
            assert self.port.answer(self.screen, f"to {caller.marker}", caller.at) == "accepted"
            if caller.state == "waiting":
                caller.state = "answered"

    @rule(seconds=st.sampled_from([0.05, 0.2, 20]))
    def pass_time(self, seconds: float) -> None:
        self.port.pass_time(seconds)
        for caller in self.callers:
            caller.look()

    @rule(number=st.integers(0, 50))
    def disconnect(self, number: int) -> None:
        caller = self._some(number, "waiting")
        if caller is not None:
            caller.look()
            caller.response.disconnect()
            caller.state = "left" if caller.session else "cancelled"

    @rule(number=st.integers(0, 50))
    def cancel(self, number: int) -> None:
        caller = self._some(number, "waiting")
        if caller is not None and caller.session:
            _cancel(self.port, caller.session, 1)
            caller.state = "cancelled"

    @rule(number=st.integers(0, 50))
    def resume(self, number: int) -> None:
        caller = self._some(number, "left")
        if caller is not None and caller.event_id:
            caller.response = self.port.listen(caller.session, last_event_id=caller.event_id)
            caller.state = "answered" if caller.at in self.answered else "waiting"

    @invariant()
    def everybody_has_what_is_theirs(self) -> None:
        for caller in self.callers:
            if caller.state == "answered":
                assert _text(caller.response) == f"to {caller.marker}"
                assert caller.response.reply["id"] == 1
            elif caller.state == "cancelled":
                assert b'"result"' not in caller.response.body
                assert (self.screen.asked[caller.at].id, "cancelled") in self.screen.withdrawn
            else:
                assert b'"result"' not in caller.response.body
        waiting = sum(caller.state == "waiting" for caller in self.callers)
        assert self.port.endpoint.statistics().active == waiting
        assert self.port.router.statistics().waiters == waiting

    def teardown(self) -> None:
        for caller in self.callers:
            if caller.state == "waiting":
                caller.response.disconnect()
        assert self.port.is_idle()
        assert self.port.failures == []


def test_whatever_callers_and_people_do_everybody_gets_what_is_theirs() -> None:
    """Once, under the right id, and nothing of anybody stays behind."""
    run_state_machine_as_test(
        Waiting, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
