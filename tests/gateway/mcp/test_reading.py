"""What the product has to read, and for whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

from session.model import SCOPES, Principal
from tests.gateway.mcp.recording import Port, Recorder, Screen, ask

BOSS = Principal("acme", "boss", scopes=frozenset(("ask", "admin")))
#: Who is not to see what Ann of acme asked.
STRANGERS = (
    ("acme", "bob", SCOPES - {"admin"}),
    ("other", "ann", SCOPES),
    ("other", "bob", SCOPES),
)


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def screen(port: Port) -> Screen:
    return port.attach(Screen())


def _read(port: Port, uri: str) -> Recorder:
    return port.modern("resources/read", {"uri": uri})


def _content(response: Recorder) -> Any:
    (contents,) = response.json["result"]["contents"]
    assert contents["mimeType"] == "application/json"
    return json.loads(contents["text"])


def _asked(port: Port, screen: Screen, **arguments: Any) -> str:
    port.modern("tools/call", ask(wait="return", **arguments))
    return f"question://{screen.asked[-1].id}"


def test_a_question_is_read_before_and_after_its_answer(port: Port, screen: Screen) -> None:
    uri = _asked(port, screen)
    shown = _content(_read(port, uri))
    assert shown == {
        "question_id": screen.asked[0].id,
        "state": "open",
        "question": "Which colour?",
        "asked_at": screen.asked[0].created_at,
        "deadline": screen.asked[0].deadline,
        "history": [{"event": "asked", "at": screen.asked[0].created_at, "by": "ann"}],
    }
    port.pass_time(1)
    port.answer(screen, "red")
    response = _read(port, uri)
    answered = {"event": "answered", "at": port.now, "frontend_id": "web-1", "user": "ann"}
    assert _content(response) == shown | {
        "history": [*shown["history"], answered],
        "state": "answered",
        "ended_at": port.now,
        "answer": "red",
        "answered_by": {"frontend_id": "web-1", "user": "ann"},
    }
    result = response.json["result"]
    assert (result["ttlMs"], result["cacheScope"]) == (0, "private")
    old = port.in_session(port.initialize(), "resources/read", {"uri": uri}).json["result"]
    assert old == {"contents": result["contents"]}


def test_a_form_that_was_filled_in_is_read_as_an_object(port: Port) -> None:
    screen = port.attach(Screen(user=""))
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    uri = _asked(port, screen, schema=schema)
    port.answer(screen, "", content={"n": 5})
    shown = _content(_read(port, uri))
    assert shown["content"] == {"n": 5}
    assert shown["answered_by"] == {"frontend_id": "web-1"}


def test_a_question_that_ended_without_an_answer_says_why(port: Port, screen: Screen) -> None:
    uri = _asked(port, screen)
    port.reject(screen, "not mine")
    shown = _content(_read(port, uri))
    assert (shown["state"], shown["reason"]) == ("rejected", "not mine")
    assert "answer" not in shown
    uri = _asked(port, screen, timeout_seconds=2)
    port.pass_time(3)
    assert _content(_read(port, uri))["state"] == "timed_out"


def test_somebody_elses_question_looks_like_none(port: Port, screen: Screen) -> None:
    uri = _asked(port, screen)
    for tenant, subject, scopes in STRANGERS:
        port.principal = Principal(tenant, subject, scopes=scopes)
        for each in (uri, "question://none"):
            reply = _read(port, each)
            assert (reply.status, reply.json["error"]["code"]) == (400, -32602)
            assert reply.json["error"]["data"] == {"uri": each}
            old = port.in_session(port.initialize(), "resources/read", {"uri": each}).json
            assert old["error"]["code"] == -32002


def test_an_admin_reads_and_watches_what_others_of_its_tenant_asked(
    port: Port, screen: Screen
) -> None:
    uri = _asked(port, screen)
    shown = _content(_read(port, uri))
    port.principal = BOSS
    assert _content(_read(port, uri)) == shown
    session = port.initialize()
    stream = port.listen(session)
    wanted = {"notifications": {"resourceSubscriptions": [uri]}}
    modern = port.modern("subscriptions/listen", wanted)
    assert port.in_session(session, "resources/subscribe", {"uri": uri}).json["result"] == {}
    port.answer(screen, "red")
    assert [_updates(each) for each in (modern, stream)] == [[uri], [uri]]
    assert _content(_read(port, uri))["answer"] == "red"
    modern.disconnect()
    assert port.router.statistics().waiters == 0


@pytest.mark.parametrize(
    ("uri", "scopes", "missing"),
    [("question://x", {"list"}, "ask"), ("frontends://connected", {"ask"}, "list")],
)
def test_what_is_read_needs_the_scope_of_the_tool_that_says_the_same(
    port: Port, uri: str, scopes: set[str], missing: str
) -> None:
    denied: list[str] = []
    port.registry.denied = lambda _principal, scope: denied.append(scope)
    port.principal = Principal("acme", "ann", scopes=frozenset(scopes))
    reply = _read(port, uri)
    assert (reply.status, reply.json["error"]["code"]) == (403, -31001)
    assert denied == [missing]


def test_a_question_is_watched_until_its_end(port: Port, screen: Screen) -> None:
    uri = _asked(port, screen)
    session = port.initialize()
    stream = port.listen(session)
    modern = port.modern(
        "subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}}
    )
    assert port.in_session(session, "resources/subscribe", {"uri": uri}).json["result"] == {}
    port.answer(screen, "red")
    for told in (stream.messages[-1], modern.messages[-1]):
        assert told["method"] == "notifications/resources/updated"
        assert told["params"]["uri"] == uri
    port.in_session(session, "resources/unsubscribe", {"uri": uri})
    modern.disconnect()
    assert port.router.statistics().waiters == 0


def test_somebody_elses_question_cannot_be_watched(port: Port, screen: Screen) -> None:
    uri = _asked(port, screen)
    for tenant, subject, scopes in STRANGERS:
        port.principal = Principal(tenant, subject, scopes=scopes)
        reply = port.in_session(port.initialize(), "resources/subscribe", {"uri": uri}).json
        assert reply["error"]["code"] == -32002
        assert port.router.statistics().waiters == 0


def test_a_stream_without_the_scope_hears_nothing_of_what_an_admin_watches(
    port: Port, screen: Screen
) -> None:
    """Also where both are one subject's, and in one session."""
    uri = _asked(port, screen)
    port.principal = Principal("acme", "boss", scopes=frozenset(("ask",)))
    session = port.initialize()
    stream = port.listen(session)
    port.principal = BOSS
    assert port.in_session(session, "resources/subscribe", {"uri": uri}).json["result"] == {}
    port.pass_time(0.2)
    port.answer(screen, "red")
    assert _updates(stream) == []
    assert port.router.statistics().waiters == 0


def test_who_is_connected_can_be_read(port: Port, screen: Screen) -> None:
    shown = _content(_read(port, "frontends://connected"))
    assert shown == {
        "frontends": [{"frontend_id": "web-1", "user": "ann", "name": "", "groups": []}]
    }
    port.principal = Principal("other", "ann", scopes=SCOPES)
    assert _content(_read(port, "frontends://connected")) == {"frontends": []}


def test_a_prompt_teaches_to_ask(port: Port) -> None:
    def words(**arguments: str) -> str:
        params = {"name": "ask_a_person", "arguments": arguments}
        result = port.modern("prompts/get", params).json["result"]
        (message,) = result["messages"]
        text: str = message["content"]["text"]
        return text

    for tool in ("ask_user", "collect_answer", "cancel_question", "list_frontends"):
        assert tool in words()
    assert words(matter="the colour").endswith("What is to be found out: the colour")


UPDATED = "notifications/resources/updated"
CONNECTED = {"uri": "frontends://connected"}


def _updates(stream: Recorder) -> list[str]:
    return [each["params"]["uri"] for each in stream.messages if each.get("method") == UPDATED]


def _watching(port: Port, **principal: Any) -> Recorder:
    """Listen, in the modern era."""
    port.principal = Principal("acme", "ann", **principal)
    wanted = {"notifications": {"resourceSubscriptions": [CONNECTED["uri"]]}}
    return port.modern("subscriptions/listen", wanted)


def test_subscribers_in_both_eras_hear_who_comes_and_goes(port: Port) -> None:
    modern = _watching(port, scopes=SCOPES)
    session = port.initialize()
    old = port.listen(session)
    assert port.in_session(session, "resources/subscribe", CONNECTED).json["result"] == {}
    screens = [port.attach(Screen(f"web-{number}")) for number in range(20)]
    port.pass_time(0.2)
    assert [_updates(each) for each in (modern, old)] == [[CONNECTED["uri"]]] * 2
    for screen in screens:
        port.detach(screen)
    port.pass_time(2)
    assert [len(_updates(each)) for each in (modern, old)] == [2, 2]
    told = next(each for each in modern.messages if each.get("method") == UPDATED)
    assert told["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": 1}


def test_who_hears_no_more_of_who_is_connected(port: Port) -> None:
    modern = _watching(port, scopes=SCOPES)
    session = port.initialize()
    old = port.listen(session)
    port.in_session(session, "resources/subscribe", CONNECTED)
    assert len(port.router.people.news) == 2
    modern.disconnect()
    port.in_session(session, "resources/unsubscribe", CONNECTED)
    assert len(port.router.people.news) == 0
    port.attach(Screen())
    port.pass_time(2)
    assert _updates(modern) == _updates(old) == []


def test_of_another_tenant_nothing_is_heard_nor_without_the_scope(port: Port) -> None:
    without = _watching(port, scopes=SCOPES - {"list"})
    port.principal = Principal("other", "ann", scopes=SCOPES)
    wanted = {"notifications": {"resourceSubscriptions": [CONNECTED["uri"]]}}
    theirs = port.modern("subscriptions/listen", wanted)
    assert len(port.router.people.news) == 1
    port.attach(Screen())
    port.pass_time(2)
    assert _updates(without) == _updates(theirs) == []
