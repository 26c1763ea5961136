"""The references do what a gateway is for: a comparison with less would say nothing.

Each engine behind its own ports, as `make compare` starts it, frame by frame.
"""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from loadtest import peers, reference, requests
from loadtest.handshakes import frame_end, payload_start
from loadtest.reference import BuildError
from loadtest.server import Cores, Server

NEEDS_GO = pytest.mark.skipif(
    shutil.which("go") is None, reason="Go is not installed: its references cannot be built"
)
pytestmark = pytest.mark.slow
ANYWHERE = Cores(None, None)
# Nobody waits this long when all is well.
PATIENCE = 20
# How often a caller may leave unnoticed, because the answer was quicker.
CHANCES = 20


@pytest.fixture(scope="module")
def _built() -> None:
    """Build what the Go engines need."""
    reference.build()


@pytest.fixture(
    params=[
        pytest.param(engine, marks=[] if engine == reference.PYTHON else [NEEDS_GO])
        for engine in reference.ENGINES
    ],
    scope="module",
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run one reference after the other; no test leaves a frontend or a question there."""
    if request.param != reference.PYTHON:
        request.getfixturevalue("_built")
    with reference.serving(request.param, ANYWHERE) as running:
        yield running


class Person:
    """Somebody at a frontend, who waits for what is to come."""

    def __init__(self, port: int, *, says_connect: bool = True) -> None:
        self._sock, self._unread = peers.open_frontend(port, says_connect=says_connect)

    def hear(self) -> dict[str, Any]:
        """Return the next message."""
        while not 0 < (end := frame_end(self._unread, 0)) <= len(self._unread):
            data = self._sock.recv(65536)
            assert data, "the server closed the connection"
            self._unread += data
        payload, self._unread = self._unread[:end], self._unread[end:]
        message: dict[str, Any] = json.loads(payload[payload_start(payload, 0) :])
        return message

    def shown(self, question: str) -> str:
        """Return the id of the next message, which must show this question."""
        message = self.hear()
        assert message == {**message, "type": "ask_user", "question": question}
        request_id: str = message["request_id"]
        return request_id

    def answer(self, request_id: str, text: str) -> None:
        """Answer without waiting for a reply."""
        self._sock.sendall(requests.answer(request_id.encode(), text.encode()))

    def say(self, message: bytes) -> None:
        """Send whatever this is."""
        self._sock.sendall(requests.frame(message))

    def unknown(self, request_id: str) -> None:
        """Answer what nobody asked, and hear that."""
        self.answer(request_id, "Nobody asked")
        told = {"type": "response_ack", "request_id": request_id, "status": "unknown"}
        assert self.hear() == told

    def leave(self) -> None:
        """Close the WebSocket, and return when the server has; a second time, do nothing."""
        if self._sock.fileno() < 0:
            return
        with self._sock:
            self._sock.sendall(requests.frame(b"\x03\xe8", opcode=8))
            # Whatever comes before the end is of no interest to one who leaves.
            while self._sock.recv(65536):
                pass


class Agent:
    """A caller with one connection."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def send(self, method: str, params: Mapping[str, object]) -> None:
        """Send a request that was never preceded by initialize."""
        message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": requests.HANDSHAKE,
        }
        self._http.request("POST", "/mcp", json.dumps(message), headers)

    def ask(self, question: str, timeout_seconds: float = PATIENCE) -> None:
        """Ask without waiting for the answer."""
        arguments = {"question": question, "timeout_seconds": timeout_seconds}
        self.send("tools/call", {"name": "ask_user", "arguments": arguments})

    def result(self) -> dict[str, Any]:
        """Return the result of what was sent: JSON, and no stream."""
        response = self._http.getresponse()
        body = response.read()
        assert response.status == 200, body
        assert response.getheader("Content-Type", "").startswith("application/json")
        message = json.loads(body)
        assert message["id"] == 7
        result: dict[str, Any] = message["result"]
        return result

    def text(self, *, is_error: bool = False) -> str:
        """Return the one text of a call's result."""
        result = self.result()
        assert result.get("isError", False) is is_error
        (content,) = result["content"]
        text: str = content["text"]
        return text

    def leave(self) -> None:
        """Close the connection, whatever is still to come; a second time, do nothing."""
        self._http.close()


class Room:
    """Everybody who takes part in one test."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._present: list[Person | Agent] = []

    def person(self, *, says_connect: bool = True) -> Person:
        """Return a new frontend."""
        person = Person(self.server.ws_port, says_connect=says_connect)
        self._present.append(person)
        return person

    def agent(self) -> Agent:
        """Return a new caller."""
        agent = Agent(self.server.mcp_port)
        self._present.append(agent)
        return agent

    def clear(self) -> None:
        """Let everybody leave who is still here, and see that the server stays."""
        for each in reversed(self._present):
            each.leave()
        assert self.server.process.poll() is None


@pytest.fixture
def room(server: Server) -> Iterator[Room]:
    """A room that is empty again after the test."""
    room = Room(server)
    yield room
    room.clear()


def test_people_are_asked_with_the_first_tool(room: Room) -> None:
    agent = room.agent()
    agent.send("tools/list", {})
    tool = agent.result()["tools"][0]
    assert tool["name"] == "ask_user"
    assert set(tool["inputSchema"]["properties"]) == {"question", "timeout_seconds"}
    assert tool["inputSchema"]["required"] == ["question"]


def test_a_question_is_answered_and_the_first_answer_wins(room: Room) -> None:
    person, agent = room.person(), room.agent()
    for turn in ("first", "second"):
        agent.ask(f"Which <colour>, {turn}?")
        request_id = person.shown(f"Which <colour>, {turn}?")
        person.answer(request_id, f"Blue, {turn}")
        person.unknown(request_id)
        assert agent.text() == f"Blue, {turn}"


def test_each_frontend_has_its_turn_and_each_caller_its_answer(room: Room) -> None:
    people = [room.person() for _ in range(3)]
    agents = [room.agent() for _ in range(6)]
    for number, agent in enumerate(agents):
        agent.ask(f"{number}")
    for person in people:
        for _ in range(2):
            message = person.hear()
            person.answer(message["request_id"], f"answer to {message['question']}")
    for number, agent in enumerate(agents):
        assert agent.text() == f"answer to {number}"


def test_a_question_that_nobody_answers_times_out(room: Room) -> None:
    person, agent = room.person(), room.agent()
    agent.ask("Anybody?", timeout_seconds=0.05)
    assert "nobody answered" in agent.text(is_error=True)
    person.unknown(person.shown("Anybody?"))


def test_what_a_frontend_leaves_is_shown_to_another(room: Room) -> None:
    people = [room.person() for _ in range(2)]
    agents = [room.agent() for _ in range(2)]
    for agent in agents:
        agent.ask("Still there?")
    left, right = (person.shown("Still there?") for person in people)
    people[0].leave()
    assert people[1].shown("Still there?") == left
    for request_id in (left, right):
        people[1].answer(request_id, "Yes")
    assert [agent.text() for agent in agents] == ["Yes", "Yes"]


def test_a_question_waits_for_the_first_frontend(room: Room) -> None:
    agent = room.agent()
    agent.ask("Anybody?")
    # Whether it comes before the question or after: it need not even say connect.
    person = room.person(says_connect=False)
    person.answer(person.shown("Anybody?"), "Me")
    assert agent.text() == "Me"


def test_the_question_of_a_caller_who_left_is_forgotten(room: Room) -> None:
    person = room.person()
    for _ in range(CHANCES):
        agent = room.agent()
        agent.ask("Never mind?")
        request_id = person.shown("Never mind?")
        agent.leave()
        # Gives the server as many turns of its loop to notice.
        for _ in range(10):
            person.unknown("nothing")
        person.answer(request_id, "Too late")
        # In order: what comes before this reply is that the question is unknown.
        person.answer("last", "Nobody asked")
        if person.hear()["request_id"] == request_id:
            assert person.hear()["request_id"] == "last"
            break
    else:
        pytest.fail("every answer was accepted, as if somebody waited for it")


def test_noise_from_a_frontend_is_ignored(room: Room) -> None:
    person = room.person()
    for noise in (b"no JSON", b"[]", b'{"type":"else"}', b'{"type":7}'):
        person.say(noise)
    person.unknown("nothing")


def test_without_go_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BuildError, match="install it"):
        reference.build()
