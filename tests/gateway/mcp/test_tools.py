"""The product's tools, as a model meets them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.offers import Settings
from session import MemorySettings
from session.model import SCOPES, Audience, Choice, Delivery, Principal
from tests.gateway.mcp.recording import ANN, Port, Recorder, Screen, ask, request

BOSS = Principal("acme", "boss", scopes=frozenset(("ask", "admin")))


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def screen(port: Port) -> Screen:
    return port.attach(Screen())


def _call(port: Port, tool: str, **arguments: Any) -> Recorder:
    return port.modern("tools/call", {"name": tool, "arguments": arguments})


def _result(response: Recorder) -> dict[str, Any]:
    """The result without what the modern era adds to each."""
    result = dict(response.reply["result"])
    del result["resultType"], result["_meta"]
    return result


def _text(response: Recorder) -> str:
    content = response.reply["result"]["content"]
    assert [block["type"] for block in content] == ["text"]
    text: str = content[0]["text"]
    return text


def _is_error(response: Recorder) -> bool:
    flag: bool = response.reply["result"].get("isError", False)
    return flag


def test_ask_user_is_listed_as_go_lists_it(port: Port) -> None:
    listed = {tool["name"]: tool for tool in port.modern("tools/list").json["result"]["tools"]}
    assert list(listed) == [
        "ask_user",
        "cancel_question",
        "collect_answer",
        "list_frontends",
        "notify_user",
        "request_approval",
        "verify_approval",
    ]
    ask_user = listed["ask_user"]
    assert ask_user["description"] == "Ask a question to the user and receive their response"
    schema = ask_user["inputSchema"]
    assert schema["required"] == ["question"]
    assert schema["properties"]["question"]["type"] == "string"
    assert schema["properties"]["timeout_seconds"]["type"] == "number"
    assert schema["properties"]["timeout_seconds"]["default"] == 300


def test_an_answer_is_the_text_and_the_structure_says_who(port: Port, screen: Screen) -> None:
    response = _call(port, "ask_user", question="Which colour?")
    assert not response.complete
    assert port.answer(screen, "blue") == "accepted"
    assert _result(response) == {
        "content": [{"type": "text", "text": "blue"}],
        "structuredContent": {
            "question_id": screen.asked[0].id,
            "state": "answered",
            "answer": "blue",
            "answered_by": {"frontend_id": "web-1", "user": "ann"},
            "online": 1,
            "history": [
                {"event": "asked", "at": port.now, "by": "ann"},
                {"event": "answered", "at": port.now, "frontend_id": "web-1", "user": "ann"},
            ],
        },
    }
    assert port.calls[-1] == ("tools/call", "ask_user", "success")
    assert port.is_idle()


def test_every_argument_reaches_the_question(port: Port, screen: Screen) -> None:
    session = port.initialize()
    arguments = {
        "timeout_seconds": 12.5,
        "audience": {"kind": "user", "name": "ann"},
        "delivery": "one",
        "choices": ["red", {"value": "b", "label": "Blue", "description": "as the sky"}],
        "context": "for the wall",
        "idempotency_key": "k",
    }
    port.in_session(session, "tools/call", ask(**arguments))
    question = screen.asked[0]
    assert question.deadline - question.created_at == 12.5
    assert question.audience == Audience("user", "ann")
    assert question.delivery is Delivery.ONE
    assert question.choices == (Choice("red"), Choice("b", "Blue", "as the sky"))
    assert (question.context, question.idempotency_key) == ("for the wall", "k")
    assert (question.session_id, question.asker_name) == (session, "tester")
    assert (question.tenant, question.asker) == (ANN.tenant, ANN.subject)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "missing required field `question`"),
        ({"question": 5}, "$.question"),
        ({"question": "q", "timeout_seconds": "60"}, "$.timeout_seconds"),
        ({"question": "q", "timeout_seconds": True}, "$.timeout_seconds"),
        ({"question": "q", "timeout": 60}, "timeout_seconds"),
        ({"question": "q", "Question": "other"}, "`Question`"),
        ({"question": "q", "delivery": "some"}, "`$.delivery` (one of all, one)."),
        ({"question": "q", "audience": {"kind": "all"}}, "(one of everyone, frontend, "),
        ({"question": "q", "choices": [5]}, "$.choices"),
        ({"question": "q", "choices": ["x"] * 101}, "$.choices"),
        ({"question": "q", "if_absent": "shout"}, "$.if_absent"),
        ({"question": "  "}, "empty"),
        ({"question": "q", "timeout_seconds": 0}, "timeout_seconds"),
        ({"question": "q", "timeout_seconds": -1}, "timeout_seconds"),
        ({"question": "q", "schema": {"type": "array"}}, "object"),
    ],
)
def test_wrong_arguments_are_a_result_that_says_what_to_do(
    port: Port, screen: Screen, arguments: dict[str, Any], words: str
) -> None:
    """A model can correct itself; a protocol error would end its turn."""
    response = _call(port, "ask_user", **arguments)
    assert response.status == 200
    assert _is_error(response)
    assert words in _text(response)
    assert screen.asked == []
    assert port.is_idle()


def test_a_question_has_so_many_characters_as_a_setting_says(port: Port, screen: Screen) -> None:
    port.router.settings = Settings(question_bytes=300)
    refused = _call(port, "ask_user", question="q" * 301)
    assert _is_error(refused)
    assert "300 characters" in _text(refused)
    assert screen.asked == []
    _call(port, "ask_user", question="q" * 300)
    assert len(screen.asked) == 1


def test_nobody_answers_in_time(port: Port, screen: Screen) -> None:
    response = _call(port, "ask_user", question="Anybody?", timeout_seconds=2)
    port.pass_time(1.9)
    assert not response.complete
    port.pass_time(0.5)
    assert _is_error(response)
    assert _text(response).startswith("Nobody answered within 2 seconds.")
    structured = _result(response)["structuredContent"]
    assert structured["state"] == "timed_out"
    assert port.answer(screen, "late") == "too_late"
    assert port.is_idle()


def test_a_refusal_to_answer_says_why(port: Port, screen: Screen) -> None:
    response = _call(port, "ask_user", question="Your salary?")
    port.reject(screen, "private")
    assert _is_error(response)
    assert _text(response) == "The person who was asked declined to answer: private."
    assert _result(response)["structuredContent"]["reason"] == "private"


def test_a_form_is_answered_with_its_fields(port: Port, screen: Screen) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    response = _call(port, "ask_user", question="How many?", schema=schema)
    assert port.answer(screen, "", content={"n": "x"}) == "invalid"
    assert not response.complete
    assert port.answer(screen, "", content={"n": 3}) == "accepted"
    assert _text(response) == '{"n":3}'
    assert _result(response)["structuredContent"]["content"] == {"n": 3}


def test_a_caller_that_would_rather_fail_is_told_that_nobody_is_there(port: Port) -> None:
    response = _call(port, "ask_user", question="Anybody?", if_absent="fail")
    assert _is_error(response)
    assert "0 frontends online" in _text(response)
    assert port.store.statistics().pending == 0


def test_a_question_waits_for_somebody_to_come(port: Port) -> None:
    response = _call(port, "ask_user", question="Anybody?")
    port.pass_time(30)
    screen = port.attach(Screen())
    port.answer(screen, "here")
    assert _text(response) == "here"


def test_too_many_open_questions_are_refused_with_a_way_on() -> None:
    port = Port(memory=MemorySettings(pending=1))
    _call(port, "ask_user", question="first")
    response = _call(port, "ask_user", question="second")
    assert _is_error(response)
    assert "cancel some" in _text(response)


def test_a_question_can_be_asked_now_and_collected_later(port: Port, screen: Screen) -> None:
    asked = _call(port, "ask_user", question="Which?", wait="return")
    structured = _result(asked)["structuredContent"]
    question_id = structured["question_id"]
    assert [each["event"] for each in structured.pop("history")] == ["asked"]
    assert structured == {"question_id": question_id, "state": "open", "online": 1}
    assert "collect_answer" in _text(asked)
    still_open = _call(port, "collect_answer", question_id=question_id)
    assert _result(still_open)["structuredContent"]["state"] == "open"
    port.answer(screen, "this one")
    collected = _call(port, "collect_answer", question_id=question_id)
    assert _text(collected) == "this one"
    assert _text(_call(port, "collect_answer", question_id=question_id)) == "this one"
    assert port.is_idle()


def test_a_question_that_is_asked_is_never_told_as_refused() -> None:
    """How many could answer elsewhere is not known, and nothing that its caller must know."""
    port = Port(shared=True)
    port.shared.away = {"present"}
    asked = _call(port, "ask_user", question="Which?", wait="return")
    assert not _is_error(asked)
    structured = _result(asked)["structuredContent"]
    assert (structured["state"], structured["online"]) == ("open", 0)


def test_collecting_can_wait_for_the_answer(port: Port, screen: Screen) -> None:
    asked = _call(port, "ask_user", question="Which?", wait="return")
    question_id = _result(asked)["structuredContent"]["question_id"]
    impatient = _call(port, "collect_answer", question_id=question_id, wait_seconds=5)
    patient = _call(port, "collect_answer", question_id=question_id, wait_seconds=1e9)
    port.pass_time(6)
    assert _result(impatient)["structuredContent"]["state"] == "open"
    assert not patient.complete
    port.answer(screen, "that one")
    assert _text(patient) == "that one"
    assert port.is_idle()


def test_who_stops_waiting_for_a_collection_leaves_the_question_open(
    port: Port, screen: Screen
) -> None:
    asked = _call(port, "ask_user", question="Which?", wait="return")
    question_id = _result(asked)["structuredContent"]["question_id"]
    waiting = _call(port, "collect_answer", question_id=question_id, wait_seconds=100)
    waiting.disconnect()
    assert port.is_idle()
    assert port.answer(screen, "x") == "accepted"


@pytest.mark.parametrize("tool", ["collect_answer", "cancel_question"])
def test_a_question_of_somebody_else_looks_like_none(port: Port, screen: Screen, tool: str) -> None:
    _call(port, "ask_user", question="Mine?", wait="return")
    question_id = screen.asked[0].id
    unknown = _call(port, tool, question_id="f" * 32)
    assert _is_error(unknown)
    for other in (
        Principal("acme", "bob", scopes=SCOPES - {"admin"}),
        Principal("other", "ann", scopes=SCOPES),
        Principal("other", "bob", scopes=SCOPES),
    ):
        port.principal = other
        foreign = _call(port, tool, question_id=question_id)
        assert foreign.body == unknown.body.replace(b"f" * 32, question_id.encode())
    port.principal = ANN
    assert port.answer(screen, "yes") == "accepted"


def _asked(port: Port, screen: Screen) -> str:
    """Have Ann ask something; an admin calls from now on."""
    port.principal = ANN
    _call(port, "ask_user", question="Mine?", wait="return")
    port.principal = BOSS
    return screen.asked[-1].id


def test_an_admin_collects_what_others_of_its_tenant_asked(port: Port, screen: Screen) -> None:
    question_id = _asked(port, screen)
    shown = _call(port, "collect_answer", question_id=question_id)
    assert _result(shown)["structuredContent"]["state"] == "open"
    waiting = _call(port, "collect_answer", question_id=question_id, wait_seconds=100)
    assert not waiting.complete
    assert port.answer(screen, "yes") == "accepted"
    assert _text(waiting) == "yes"
    assert _text(_call(port, "collect_answer", question_id=question_id)) == "yes"
    assert port.is_idle()


def test_an_admin_takes_back_what_others_of_its_tenant_asked(port: Port, screen: Screen) -> None:
    port.principal = ANN
    waiting = _call(port, "ask_user", question="Mine?")
    port.principal = BOSS
    question_id = screen.asked[-1].id
    cancelled = _call(port, "cancel_question", question_id=question_id, reason="the flood ends")
    assert not _is_error(cancelled)
    assert screen.withdrawn == [(question_id, "cancelled")]
    assert _text(waiting) == "The question was cancelled: the flood ends."
    last = _result(waiting)["structuredContent"]["history"][-1]
    assert (last["event"], last["by"]) == ("cancelled", "boss")


@pytest.mark.parametrize("tool", ["collect_answer", "cancel_question"])
def test_an_admin_needs_the_scope_of_the_tool_as_everybody_does(
    port: Port, screen: Screen, tool: str
) -> None:
    question_id = _asked(port, screen)
    port.principal = Principal("acme", "boss", scopes=SCOPES - {"ask"})
    refused = _call(port, tool, question_id=question_id)
    assert (refused.status, refused.json["error"]["code"]) == (403, -31001)
    assert screen.withdrawn == []


def test_an_admin_that_waits_no_more_leaves_the_question_to_its_asker(
    port: Port, screen: Screen
) -> None:
    question_id = _asked(port, screen)
    session = port.initialize()
    call = {
        "name": "collect_answer",
        "arguments": {"question_id": question_id, "wait_seconds": 100},
    }
    broken = port.in_session(session, "tools/call", call, request_id="mine")
    port.pass_time(0.2)
    broken.disconnect()
    # The stream is the admin's own, and goes on.
    resumed = port.listen(session, last_event_id=broken.events[0]["id"])
    assert resumed.streaming
    left = {"requestId": "mine", "reason": "enough"}
    message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": left}
    assert port.post(message, mcp_session_id=session).status == 202
    assert resumed.complete
    assert screen.withdrawn == []
    assert port.answer(screen, "yes") == "accepted"
    again = port.listen(session, last_event_id=broken.events[0]["id"])
    assert _text(again) == "yes"


def test_a_stream_of_an_admin_is_not_resumed_by_who_is_none_any_more(
    port: Port, screen: Screen
) -> None:
    question_id = _asked(port, screen)
    session = port.initialize()
    call = {
        "name": "collect_answer",
        "arguments": {"question_id": question_id, "wait_seconds": 100},
    }
    broken = port.in_session(session, "tools/call", call)
    port.pass_time(0.2)
    broken.disconnect()
    port.principal = Principal("acme", "boss", scopes=frozenset(("ask",)))
    resumed = port.listen(session, last_event_id=broken.events[0]["id"])
    assert _text(resumed) == _text(_call(port, "collect_answer", question_id=question_id))
    assert _is_error(resumed)


@pytest.mark.parametrize("scopes", [{"admin"}, SCOPES - {"ask"}])
@pytest.mark.parametrize("is_own", [True, False])
def test_who_may_not_ask_resumes_no_stream_that_waits_for_an_answer(
    port: Port, screen: Screen, scopes: set[str], is_own: bool
) -> None:
    """Though the session is theirs: its id and the stream's are no credential."""
    question_id = _asked(port, screen)
    if is_own:
        port.principal = ANN
    session = port.initialize()
    call = {
        "name": "collect_answer",
        "arguments": {"question_id": question_id, "wait_seconds": 100},
    }
    broken = port.in_session(session, "tools/call", call, request_id="mine")
    port.pass_time(0.2)
    broken.disconnect()
    event_id = broken.events[0]["id"]
    may = port.principal
    port.principal = replace(may, scopes=frozenset(scopes))
    denied: list[str] = []
    port.registry.denied = lambda _principal, scope: denied.append(scope)
    refused = [port.listen(session, last_event_id=event_id)]
    assert port.answer(screen, "the launch code") == "accepted"
    refused.append(port.listen(session, last_event_id=event_id))
    called = port.in_session(session, "tools/call", call, request_id="mine")
    assert called.status == 403
    for each in refused:
        assert (each.status, each.headers, each.body) == (403, called.headers, called.body)
    assert denied == ["ask"] * 3
    port.principal = may
    assert _text(port.listen(session, last_event_id=event_id)) == "the launch code"
    assert port.is_idle()


def test_a_question_can_be_taken_back_until_it_is_answered(port: Port, screen: Screen) -> None:
    waiting = _call(port, "ask_user", question="Which?")
    question_id = screen.asked[0].id
    cancelled = _call(port, "cancel_question", question_id=question_id, reason="found out")
    assert not _is_error(cancelled)
    assert screen.withdrawn == [(question_id, "cancelled")]
    assert _text(waiting) == "The question was cancelled: found out."
    again = _call(port, "cancel_question", question_id=question_id)
    assert "cancelled already" in _text(again)


def test_an_identical_ask_joins_the_first_and_then_gets_its_answer(
    port: Port, screen: Screen
) -> None:
    first = _call(port, "ask_user", question="Once?", idempotency_key="k")
    second = _call(port, "ask_user", question="Once?", idempotency_key="k")
    assert len(screen.asked) == 1
    port.answer(screen, "once")
    third = _call(port, "ask_user", question="Once?", idempotency_key="k")
    assert [_text(response) for response in (first, second, third)] == ["once"] * 3
    assert len(screen.asked) == 1
    assert port.is_idle()


def test_people_are_told_things(port: Port, screen: Screen) -> None:
    response = _call(port, "notify_user", message="Done.", title="Build", level="success")
    assert _text(response) == "Told 1 frontend."
    told = screen.told[0]
    assert (told.message, told.title, told.level) == ("Done.", "Build", "success")
    nobody = _call(port, "notify_user", message="Hi", audience={"kind": "user", "name": "nobody"})
    assert "0 frontends online" in _text(nobody)
    assert _result(nobody)["structuredContent"] == {"told": 0}


def test_who_is_connected_is_listed(port: Port, screen: Screen) -> None:
    del screen
    response = _call(port, "list_frontends")
    assert _text(response) == "1 frontend online\n- ann"
    assert _result(response)["structuredContent"] == {
        "frontends": [{"frontend_id": "web-1", "user": "ann", "name": "", "groups": []}]
    }


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"name": "no_such_tool"}, "Unknown tool: no_such_tool"),
        ({"name": "Ask_user"}, "Unknown tool"),
        ({}, "needs name"),
        ({"name": 5}, "needs name"),
        ({"name": "ask_user", "arguments": []}, "must be an object"),
        ({"name": "ask_user", "arguments": None}, "must be an object"),
        ({"name": "ask_user", "Name": "notify_user"}, "mistaken"),
        ({"name": "ask_user", "Arguments": {}}, "mistaken"),
    ],
)
def test_a_malformed_call_is_a_protocol_error(
    port: Port, params: dict[str, Any], words: str
) -> None:
    session = port.initialize()
    for response in (
        port.in_session(session, "tools/call", params),
        port.modern("tools/call", params),
    ):
        assert response.json["error"]["code"] == -32602
        assert words in response.json["error"]["message"]
    assert port.is_idle()


def test_a_thousand_callers_who_all_use_id_1_get_their_own_answers(
    port: Port, screen: Screen
) -> None:
    """Half of them in sessions, half without (checklist A4)."""
    sessions = [port.initialize() for _ in range(500)]
    waiting = []
    for number, session in enumerate(sessions):
        waiting.append(port.in_session(session, "tools/call", ask(question=f"{2 * number}")))
        waiting.append(port.modern("tools/call", ask(question=f"{2 * number + 1}"), request_id=1))
    for at in (*range(1, 1000, 2), *range(998, -1, -2)):
        port.answer(screen, f"answer {screen.asked[at].text}", at)
    assert [_text(response) for response in waiting] == [f"answer {n}" for n in range(1000)]
    assert {response.reply["id"] for response in waiting} == {1}
    assert port.is_idle()


def test_instructions_are_said_where_they_are_given() -> None:
    port = Port(instructions="Ask people.")
    assert port.modern("server/discover").json["result"]["instructions"] == "Ask people."
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}
    said = port.post(request("initialize", params)).json["result"]["instructions"]
    assert said == "Ask people."


# -- who waits


def test_who_collects_an_answer_waits_in_its_own_session(port: Port, screen: Screen) -> None:
    asker, collector = port.initialize(), port.initialize()
    params = {"name": "ask_user", "arguments": {"question": "Well?", "wait": "return"}}
    port.in_session(asker, "tools/call", params)
    arguments = {"question_id": screen.asked[-1].id, "wait_seconds": 100}
    params = {"name": "collect_answer", "arguments": arguments}
    port.in_session(collector, "tools/call", params)
    port.modern("tools/call", params)
    (offer,) = port.router.offers.values()
    waiting = [(waiter.waits, waiter.session_id) for waiter in offer.waiters]
    assert waiting == [(True, collector), (True, "")]


# -- whose credential ends while they wait


def _cut_off(port: Port) -> None:
    """End what waits, as `gateway.recheck` does when its credential is good no more."""
    for offer in list(port.router.offers.values()):
        for waiter in list(offer.waiters):
            waiter.cut_off()
    port.pass_time(0)


@pytest.mark.parametrize("in_session", [False, True])
def test_who_may_not_ask_any_more_has_asked_nothing(
    port: Port, screen: Screen, in_session: bool
) -> None:
    """In either era: nobody is left to hear what people would say."""
    if in_session:
        params = {"name": "ask_user", "arguments": {"question": "Still there?"}}
        waiting = port.in_session(port.initialize(), "tools/call", params)
    else:
        waiting = _call(port, "ask_user", question="Still there?")
    _cut_off(port)
    assert waiting.reply["error"]["code"] == -31001
    assert screen.withdrawn == [(screen.asked[0].id, "cancelled")]
    assert port.is_idle()


@pytest.mark.parametrize("in_session", [False, True])
def test_who_gave_a_key_may_come_back_with_another_credential(
    port: Port, screen: Screen, in_session: bool
) -> None:
    arguments = {"question": "Still there?", "idempotency_key": "k"}
    if in_session:
        params = {"name": "ask_user", "arguments": arguments}
        waiting = port.in_session(port.initialize(), "tools/call", params)
    else:
        waiting = _call(port, "ask_user", **arguments)
    _cut_off(port)
    assert waiting.reply["error"]["code"] == -31001
    assert screen.withdrawn == []
    again = _call(port, "ask_user", **arguments)
    port.answer(screen, "yes")
    assert _text(again) == "yes"


def test_who_only_looks_takes_nothing_back(port: Port, screen: Screen) -> None:
    question_id = _result(_call(port, "ask_user", question="Later?", wait="return"))[
        "structuredContent"
    ]["question_id"]
    waiting = _call(port, "collect_answer", question_id=question_id, wait_seconds=10)
    _cut_off(port)
    assert waiting.reply["error"]["code"] == -31001
    assert screen.withdrawn == []
