"""`frontend-router.js` as a web app uses it, in a real browser."""

from __future__ import annotations

import contextlib
import gzip
import importlib.resources
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import jsonschema_rs
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from tests.browser.pages import Page, origin_of
from tests.browser.peers import Agent
from tests.live.process import GatewayProcess

pytestmark = pytest.mark.slow

# A page of this origin without the inbox: the client is alone in it.
_ALONE = "/health"

_CONNECT = """
const { connect } = await import("/frontend-router.js");
window.router = connect({ name: "A web app", ...given[0] });
window.heard = [];
router.on("closed", (question, closure) => heard.push({ id: question.id, ...closure }));
window.when = (type, test = () => true) => new Promise((resolve) => {
  const off = router.on(type, (...args) => { if (test(...args)) { off(); resolve(args[0]); } });
});
if (router.state !== "open") await when("state", (change) => change.state === "open");
"""


def open_client(page: Page, gateway: GatewayProcess, **options: Any) -> None:
    """Connect with the client, on a page that has nothing else."""
    page.driver.get(origin_of(gateway) + _ALONE)
    page.run(_CONNECT, options)


def test_a_question_is_answered_in_three_lines(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    open_client(page, gateway)
    question = agent.ask("Three lines?", context="It says so.", timeout_seconds=600)
    answered = page.run(
        """
        const question = [...router.questions.values()][0] ?? (await when("question"));
        const ack = await question.answer("Yes");
        return { ack, text: question.text, context: question.context, left: question.remaining };
        """
    )
    assert answered["text"] == "Three lines?"
    assert answered["context"] == "It says so."
    assert 500_000 < answered["left"] < 601_000
    assert answered["ack"]["status"] == "accepted"
    assert agent.outcome(question)["answer"] == "Yes"
    assert page.run("return [router.questions.size, heard]") == [
        0,
        [{"id": question, "reason": "answered", "mine": True}],
    ]


def test_answers_given_while_the_line_is_down_go_out_once(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    open_client(page, gateway)
    questions = [agent.ask(f"Number {number}?") for number in range(3)]
    page.wait(lambda: page.run("return router.questions.size === 3"), "three questions")
    acks = page.run(
        """
        line.cut();
        await when("state", (change) => change.state === "waiting");
        const waiting = given[0].map((id, index) => router.answer(id, `wrong ${index}`));
        given[0].forEach((id, index) => router.answer(id, `right ${index}`));
        line.said.length = 0;
        line.mend();
        router.reconnect();
        return Promise.all(waiting);
        """,
        questions,
    )
    assert [ack["status"] for ack in acks] == ["accepted"] * 3
    assert [agent.outcome(question)["answer"] for question in questions] == [
        "right 0",
        "right 1",
        "right 2",
    ]
    said = [json.loads(message) for message in page.run("return line.said")]
    assert len([message for message in said if message["type"] == "user_response"]) == 3


def test_an_answer_whose_acknowledgement_was_lost_counts_once(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    open_client(page, gateway)
    question = agent.ask("Did it arrive?")
    page.wait(lambda: page.run("return router.questions.size === 1"), "the question")
    page.run("line.isDeaf = true; window.ack = router.answer(given[0], 'Once');", question)
    assert agent.outcome(question)["answer"] == "Once"
    ack = page.run("line.cut(); line.mend(); router.reconnect(); return window.ack;")
    assert ack["status"] == "accepted"
    assert page.run("return [router.questions.size, router.unconfirmed]") == [0, 0]


# What is said now is lost on the way, and the line with it.
_LOSE_AN_ANSWER = """
const [question] = router.questions.values();
line.sockets.at(-1).send = () => {};
const first = question.answer(given[0]);
line.cut();
await when("state", (change) => change.state === "waiting");
const { phase } = question;
const later = [question.answer(given[0]), question.reject("No")];
"""


def test_a_second_answer_is_not_taken_for_the_first_that_went_out(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    open_client(page, gateway)
    question = agent.ask("Run it?", choices=["approve", "reject"])
    page.wait(lambda: page.run("return router.questions.size === 1"), "the question")
    told = page.run(
        _LOSE_AN_ANSWER
        + """
        line.mend();
        router.reconnect();
        return { phase, acks: await Promise.all([first, ...later]), own: router.frontendId };
        """,
        "approve",
    )
    assert told["phase"] == "sending"
    assert [ack["status"] for ack in told["acks"]] == ["accepted", "accepted", "duplicate"]
    assert told["acks"][2]["by"]["frontend_id"] == told["own"]
    assert agent.outcome(question)["answer"] == "approve"
    assert page.run("return heard.map(({ reason, mine }) => [reason, mine])") == [
        ["answered", True]
    ]


@pytest.mark.parametrize(
    ("ending", "status"),
    [("line.mend(); router.reconnect();", "invalid"), ("router.close();", "unsent")],
)
def test_a_second_answer_is_unsent_when_the_first_that_went_out_came_to_nothing(
    gateway: GatewayProcess, agent: Agent, page: Page, ending: str, status: str
) -> None:
    open_client(page, gateway)
    agent.ask("Run it?", choices=["approve", "reject"])
    page.wait(lambda: page.run("return router.questions.size === 1"), "the question")
    acks = page.run(
        _LOSE_AN_ANSWER + ending + "return Promise.all([first, ...later])", "none of them"
    )
    assert [ack["status"] for ack in acks] == [status, status, "unsent"]


def test_a_second_frontend_hears_who_was_first(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    open_client(page, gateway)
    question = agent.ask("Who?")
    closure = page.run(
        """
        const { connect } = await import("/frontend-router.js");
        const other = connect({ frontendId: "other-tab", user: "ada" });
        const question = await new Promise((resolve) => other.on("question", resolve));
        const closing = when("closed").then((question) => question.closure);
        const ack = await question.answer("Me");
        const late = await router.answer(question.id, "No, me");
        other.close();
        return { closure: await closing, ack, late };
        """
    )
    assert closure["ack"]["status"] == "accepted"
    assert closure["closure"]["by"] == {"frontend_id": "other-tab", "user": "ada"}
    assert closure["closure"]["mine"] is False
    assert closure["late"]["status"] in ("unknown", "duplicate")
    assert agent.outcome(question)["answer"] == "Me"


def test_what_is_too_long_is_refused_before_it_is_sent(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    open_client(page, gateway)
    question = agent.ask("How long?")
    page.wait(lambda: page.run("return router.questions.size === 1"), "the question")
    ack = page.run(
        "return router.answer(given[0], 'x'.repeat(router.limits.answer_bytes + 1))", question
    )
    assert ack["status"] == "invalid"
    assert page.run("return [router.state, router.questions.size]") == ["open", 1]


def test_how_long_it_may_be_is_counted_in_characters(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    """A sign of three bytes is one of them, and so is one that scripts of a page count twice."""
    open_client(page, gateway)
    question = agent.ask("How long?")
    page.wait(lambda: page.run("return router.questions.size === 1"), "the question")
    for answer, most in (
        ("'\u20ac'.repeat(most + 1)", "262144 characters"),
        ("'\U0001f3e8'.repeat(most + 1)", "262144 characters"),
        # In a message that would be longer than one may be.
        ("'\U0001f3e8'.repeat(most)", "1048576 bytes"),
    ):
        ack = page.run(
            f"const most = router.limits.answer_bytes;return router.answer(given[0], {answer})",
            question,
        )
        assert ack["status"] == "invalid"
        assert ack["message"].endswith(f"({most}).")
    assert page.run("return router.state") == "open"
    answer = "'\u20ac'.repeat(router.limits.answer_bytes - 4) + '\U0001f3e8'.repeat(4)"
    ack = page.run(f"return router.answer(given[0], {answer})", question)
    assert ack["status"] == "accepted"
    assert agent.outcome(question)["answer"] == "\u20ac" * 262_140 + "\U0001f3e8" * 4


def test_a_terminal_close_is_not_answered_with_a_reconnect(
    gateway: GatewayProcess, page: Page
) -> None:
    open_client(page, gateway)
    change = page.run(
        """
        const closed = new Promise((resolve) =>
          router.on("state", (change) => change.state === "closed" && resolve(change)));
        for (let i = 0; i < 200; i += 1) line.sockets[0].send("{}");
        return closed;
        """
    )
    assert change["code"] == 1008
    assert change["terminal"] is True
    assert page.run("return line.sockets.length") == 1
    page.run(
        """
        const open = when("state", (change) => change.state === "open");
        router.reconnect();
        await open;
        """
    )


def test_a_question_closed_while_the_line_was_down_is_gone_after_the_reconnect(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    open_client(page, gateway)
    stays, goes = agent.ask("This stays?"), agent.ask("This goes?")
    page.wait(lambda: page.run("return router.questions.size === 2"), "two questions")
    page.run("line.cut(); await when('state', (change) => change.state === 'waiting');")
    agent.take_back(goes)
    page.run(
        """
        const gone = when("closed");
        line.mend();
        router.reconnect();
        await gone;
        """
    )
    assert page.run("return [[...router.questions.keys()], heard]") == [
        [stays],
        [{"id": goes, "reason": "gone", "mine": False}],
    ]


def test_every_frame_of_the_gateway_is_as_the_schema_says(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    source = importlib.resources.files("gateway.frontends").joinpath("protocol.schema.json")
    schema = json.loads(source.read_text())
    validator = jsonschema_rs.validator_for({**schema, "anyOf": [{"$ref": "#/$defs/from_gateway"}]})
    sent = jsonschema_rs.validator_for({**schema, "anyOf": [{"$ref": "#/$defs/to_gateway"}]})
    open_client(page, gateway, user="ada", groups=["ops"])
    questions = [
        agent.ask("Plain?"),
        agent.ask("Choices?", choices=["a", {"value": "b", "label": "B", "description": "Bee"}]),
        agent.ask("Form?", schema={"type": "object"}, context="c", delivery="one"),
        agent.ask("Taken back?"),
    ]
    agent.call("notify_user", message="Hello", title="T")
    page.wait(lambda: page.run("return router.questions.size === 4"), "four questions")
    page.run(
        """
        const [plain, choices, form] = given[0];
        router.seen(plain);
        router.draft(plain, "dra");
        await router.answer(choices, "none of them");
        await router.answer(choices, "a");
        await router.reject(plain, "no");
        await router.answer(form, { content: {} });
        line.sockets[0].send("{}");
        for (const request_id of [plain, choices, "none"]) {
          line.sockets[0].send(JSON.stringify({ type: "user_response", request_id, answer: "b" }));
        }
        """,
        questions,
    )
    agent.take_back(questions[3])
    page.wait(lambda: page.run("return router.questions.size === 0"), "the end")
    # What the page said last was sent before the question was taken back, by another way.
    last = "return line.frames.some((frame) => JSON.parse(frame).status === 'unknown')"
    page.wait(lambda: page.run(last), "the reply to what was said last")
    frames = [json.loads(frame) for frame in page.run("return line.frames")]
    for frame in frames:
        validator.validate(frame)
    for message in page.run("return line.said"):
        if message != "{}":
            sent.validate(json.loads(message))
    assert {frame["type"] for frame in frames} == {
        "connect_ack",
        "ask_user",
        "response_ack",
        "question_closed",
        "notify_user",
        "error",
    }
    statuses = {frame.get("status") for frame in frames if frame["type"] == "response_ack"}
    assert statuses == {"accepted", "invalid", "duplicate", "too_late", "unknown"}


@contextlib.contextmanager
def open_first_generation_gateway() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve frames without types, as the Go server does; return its URL and what it hears."""
    heard: list[dict[str, Any]] = []

    def speak(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for text in connection:
                message = json.loads(text)
                heard.append(message)
                if message["type"] == "connect":
                    connection.send('{"status":"connected"}')
                    connection.send('{"request_id":"req_1","question":"From Go?"}')

    with serve(speak, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws", heard
        server.shutdown()
        thread.join()


def test_frames_without_a_type_are_understood(gateway: GatewayProcess, page: Page) -> None:
    with open_first_generation_gateway() as (url, heard):
        page.driver.get(origin_of(gateway) + _ALONE)
        result = page.run(
            """
            const { connect } = await import("/frontend-router.js");
            const router = connect({ url: given[0] });
            const question = await new Promise((resolve) => router.on("question", resolve));
            const ack = await question.answer("To Go");
            router.close();
            return { text: question.text, remaining: String(question.remaining), ack };
            """,
            url,
        )
        # Nobody acknowledges it, so it may still be on its way.
        said = {"type": "user_response", "request_id": "req_1", "answer": "To Go"}
        page.wait(lambda: said in heard, "the answer to arrive")
    assert result == {"text": "From Go?", "remaining": "Infinity", "ack": {"status": "assumed"}}


def test_a_gateway_that_restarts_says_when_to_come_back(
    gateway: GatewayProcess, page: Page
) -> None:
    """The first time it closes with a pause, the second time with a reason that has none."""
    reasons = ["this gateway restarts; come back; retry_after_ms=1700", "going"]

    def leaving(socket: ServerConnection) -> None:
        socket.recv()
        socket.send(json.dumps({"type": "connect_ack", "status": "connected"}))
        if reasons:
            socket.close(1012, reasons.pop(0))
        else:
            socket.recv()

    with serve(leaving, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws"
            page.driver.get(origin_of(gateway) + _ALONE)
            pauses = page.run(
                """
                const { connect } = await import("/frontend-router.js");
                // The clock stands still, so that nothing passes before it is read.
                const begun = Date.now();
                Date.now = () => begun;
                const pauses = [];
                const router = connect({ url: given[0] });
                return await new Promise((resolve) => router.on("state", (change) => {
                  if (change.state !== "waiting") return;
                  pauses.push(change.retryAt - Date.now());
                  if (pauses.length === 2) { router.close(); resolve(pauses); }
                }));
                """,
                url,
            )
        finally:
            server.shutdown()
            thread.join()
    assert 1600 < pauses[0] <= 1700
    assert pauses[1] <= 500


# A browser that reads zstd, made of one that does not: its zstd is gzip.
_READS_ZSTD = """
const Plain = window.DecompressionStream;
window.DecompressionStream = class {
  constructor(format) { return new Plain(format === "zstd" ? "gzip" : format); }
};
"""
_HEAR_THREE = """
const { connect } = await import("/frontend-router.js");
const router = connect({ url: given[0] });
const heard = [];
await new Promise((resolve) => router.on("question", (question) => {
  if (heard.push(question.text) === 3) resolve();
}));
const ack = await router.answer([...router.questions.keys()][0], "Yes");
router.close();
return { heard, ack: ack.status, offered: line.offered };
"""
_PROTOCOLS = ["frontend-router.v1.zstd", "frontend-router.v1"]


@contextlib.contextmanager
def open_gateway_that_packs(
    subprotocol: str | None, *, damaged: int = 0
) -> Iterator[tuple[str, list[str | None]]]:
    """Serve three questions, two of them packed where that was agreed on.

    The first ``damaged`` connections get what nobody can read. Returns the URL, and where
    it will be what each connection agreed on.
    """
    agreed: list[str | None] = []

    def asked(number: int) -> str:
        # The first takes longest to read.
        text = f"{number}" + "?" * (400_000 if number == 1 else 1)
        return json.dumps({"type": "ask_user", "request_id": f"r{number}", "question": text})

    def speak(connection: ServerConnection) -> None:
        agreed.append(connection.subprotocol)
        packs = connection.subprotocol == _PROTOCOLS[0]
        with contextlib.suppress(ConnectionClosed):
            connection.recv()
            welcome = {"type": "connect_ack", "status": "connected", "session_id": "s"}
            connection.send(json.dumps(welcome))
            if packs and len(agreed) <= damaged:
                connection.send(b"no frame of any kind")
            for number in (1, 2, 3):
                is_packed = packs and number != 2
                text = asked(number)
                connection.send(gzip.compress(text.encode()) if is_packed else text)
            for heard in connection:
                said = json.loads(heard)
                if said["type"] == "user_response":
                    ack = {"type": "response_ack", "request_id": said["request_id"]}
                    connection.send(json.dumps({**ack, "status": "accepted"}))

    def chosen(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return next((each for each in offered if each == subprotocol), None)

    with serve(speak, "127.0.0.1", 0, select_subprotocol=chosen) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws", agreed
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("reads_zstd", [True, False])
def test_zstd_is_offered_by_a_browser_that_reads_it_and_messages_stay_in_order(
    gateway: GatewayProcess, page: Page, reads_zstd: bool
) -> None:
    page.driver.get(origin_of(gateway) + _ALONE)
    natively = page.run(
        "try { return Boolean(new DecompressionStream('zstd')); } catch { return false; }"
    )
    offered = [_PROTOCOLS] if reads_zstd or natively else [[]]
    with open_gateway_that_packs(_PROTOCOLS[0] if reads_zstd else None) as (url, agreed):
        result = page.run((_READS_ZSTD if reads_zstd else "") + _HEAR_THREE, url)
    assert [text[:2] for text in result["heard"]] == ["1?", "2?", "3?"]
    assert len(result["heard"][0]) > 400_000
    assert result["ack"] == "accepted"
    assert result["offered"][:1] == offered
    assert agreed[-1:] == [_PROTOCOLS[0] if reads_zstd else None]


@pytest.mark.parametrize(
    ("subprotocol", "damaged"), [(None, 0), (_PROTOCOLS[0], 1), (_PROTOCOLS[1], 0)]
)
def test_a_gateway_without_zstd_or_with_damaged_frames_is_spoken_to_without(
    gateway: GatewayProcess, page: Page, subprotocol: str | None, damaged: int
) -> None:
    page.driver.get(origin_of(gateway) + _ALONE)
    knows_plain = subprotocol == _PROTOCOLS[1]
    with open_gateway_that_packs(subprotocol, damaged=damaged) as (url, agreed):
        result = page.run(_READS_ZSTD + _HEAR_THREE, url)
    assert [text[:2] for text in result["heard"]] == ["1?", "2?", "3?"]
    assert result["ack"] == "accepted"
    # No second attempt where the gateway named what it knows; elsewhere nothing is offered.
    assert result["offered"] == ([_PROTOCOLS] if knows_plain else [_PROTOCOLS, []])
    assert agreed[-1] == (_PROTOCOLS[1] if knows_plain else None)


def test_a_real_gateway_is_offered_what_this_browser_reads(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    open_client(page, gateway)
    agent.ask("Long? " * 400)
    text = page.run("return ([...router.questions.values()][0] ?? (await when('question'))).text")
    assert text == "Long? " * 400
    reads_zstd = page.run(
        "try { return Boolean(new DecompressionStream('zstd')); } catch { return false; }"
    )
    assert page.run("return line.offered") == ([_PROTOCOLS] if reads_zstd else [[]])
