"""What each client does while it waits for a person, played against a real gateway.

The table is the one in README.md. Times are shorter here, and in proportion: a sign of life
comes every 0.3 seconds and not every 15, so what is said to take a minute takes 1.2 seconds
at the least. Where a client's timer is reset, the test counts what resets it, until the client
has waited for longer than it would have; it goes by the clock only to give up.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import trio

from gateway.mcp.settings import Settings
from tests.interop.person import person_at
from tests.live.caller import Caller, Response, caller_at, open_session, text_of
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.metrics import counted
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

PATIENCE: Final = 120
_README: Final = Path(__file__).parents[2] / "README.md"
_SIGN_SECONDS: Final = 0.3
_SECONDS_PER_SIGN: Final = Settings().keep_alive_seconds

BYTES: Final = "any byte"
PROGRESS: Final = "progress"
NOTHING: Final = "nothing"


class Client(NamedTuple):
    """How a client waits. Times are in seconds; ``reset_by`` says what starts them anew."""

    name: str
    seconds: float
    reset_by: str


CLIENTS: Final = (
    Client("Claude Code", 300, BYTES),
    Client("Claude Desktop", 240, NOTHING),
    Client("Cursor", 60, NOTHING),
    Client("Codex", 60, NOTHING),
    Client("TypeScript SDK, asked for progress", 60, PROGRESS),
    Client("TypeScript SDK, not asked for progress", 60, NOTHING),
)
#: Nothing is known of their limits.
NOT_DOCUMENTED: Final = ("VS Code", "ChatGPT")

PATIENT: Final = [each for each in CLIENTS if each.reset_by != NOTHING]
IMPATIENT: Final = [each for each in CLIENTS if each.reset_by == NOTHING]


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """A gateway in a hurry."""
    with running_gateway(
        *LEAVE_AT_ONCE,
        *("--mcp-keep-alive-seconds", str(_SIGN_SECONDS), "--mcp-retry-milliseconds", "10"),
    ) as one:
        yield one


@asynccontextmanager
async def agent_at(gateway: GatewayProcess, era: str) -> AsyncIterator[Caller]:
    session = await open_session(gateway.mcp_port) if era == "handshake" else ""
    async with caller_at(gateway.mcp_port, session=session) as caller:
        yield caller


async def begin(caller: Caller, key: str, *, progress: bool, request_id: int = 1) -> Response:
    arguments = {"question": f"{key}?", "idempotency_key": key}
    params: dict[str, Any] = {"name": "ask_user", "arguments": arguments}
    if progress:
        params["_meta"] = {"progressToken": key}
    await caller.send("tools/call", params, request_id)
    return await caller.response()


async def signs(response: Response, reset_by: str, number: int) -> None:
    """Return when a client's timer was reset so often, by what resets it."""
    while number:
        piece = await response._chunk()
        assert piece, "the stream ended"
        assert b'"result"' not in piece
        if reset_by == BYTES or b"notifications/progress" in piece:
            number -= 1


def leave(caller: Caller, *, crash: bool) -> None:
    """Be gone: as who closes, or as who is killed and whose data is lost."""
    if crash:
        linger = (1).to_bytes(4, "little") + bytes(4)
        caller.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    caller.stream.socket.close()


def times_shown(gateway: GatewayProcess) -> float:
    """Return how often people were shown a question so far."""
    labels = {"direction": "out", "message_type": "ask_user"}
    return counted(gateway, "websocket_messages_total", **labels)


@pytest.mark.parametrize("era", ["handshake", "modern"])
@pytest.mark.parametrize("client", PATIENT, ids=lambda client: client.name)
async def test_a_client_whose_timer_is_reset_waits_as_long_as_people_need(
    gateway: GatewayProcess, client: Client, era: str
) -> None:
    key = f"{client.name} {era}"
    # More often than it would take the client to give up.
    enough = int(client.seconds / _SECONDS_PER_SIGN) + 2
    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as person, agent_at(gateway, era) as caller:
            response = await begin(caller, key, progress=client.reset_by == PROGRESS)
            question = await person.question()
            await signs(response, client.reset_by, enough)
            assert await person.answer(question, key) == "accepted"
            reply = await response.result()
    assert text_of(reply["result"]) == key


WAYS: Final = [
    (era, back)
    for era in ("handshake", "modern")
    for back in ("Last-Event-ID", "ask again", "ask again elsewhere", "collect")
    # 2026-07-28 resumes no streams.
    if back != "Last-Event-ID" or era == "handshake"
]


@pytest.mark.parametrize(("era", "back"), WAYS)
@pytest.mark.parametrize("client", IMPATIENT, ids=lambda client: client.name)
@pytest.mark.parametrize("answered", ["before it is back", "after"])
async def test_a_client_that_gives_up_gets_the_answer_when_it_is_back(
    gateway: GatewayProcess, client: Client, era: str, back: str, answered: str
) -> None:
    """It is back with the event it heard last, or asks the same under a new id."""
    key = f"{client.name} {era} {back} {answered}"
    before = times_shown(gateway)
    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as person:
            async with agent_at(gateway, era) as caller:
                session = caller.session
                response = await begin(caller, key, progress=False)
                question = await person.question()
                event_id = (await response.event())[0] if era == "handshake" else ""
                # It has heard that we live, and gives up all the same.
                await signs(response, BYTES, 1)
                leave(caller, crash=back == "ask again elsewhere")
            if answered == "before it is back":
                assert await person.answer(question, key) == "accepted"
            if back == "ask again elsewhere" and era == "handshake":
                session = await open_session(gateway.mcp_port)
            async with caller_at(gateway.mcp_port, session=session) as caller:
                response = await come_back(caller, back, key, event_id, question["request_id"])
                if answered == "after":
                    assert await person.answer(question, key) == "accepted"
                reply = await response.result()
            assert text_of(reply["result"]) == key
            assert times_shown(gateway) == before + 1


async def come_back(
    caller: Caller, back: str, key: str, event_id: str, question_id: str
) -> Response:
    if back == "Last-Event-ID":
        return await caller.resume(event_id)
    if back == "collect":
        arguments = {"question_id": question_id, "wait_seconds": PATIENCE}
        params = {"name": "collect_answer", "arguments": arguments}
        await caller.send("tools/call", params, 2)
        return await caller.response()
    return await begin(caller, key, progress=False, request_id=2)


@pytest.mark.parametrize("era", ["handshake", "modern"])
async def test_the_first_byte_comes_before_anybody_was_there_to_answer(
    gateway: GatewayProcess, era: str
) -> None:
    """Who gives up when no response begins has one, although nobody is connected."""
    with trio.fail_after(PATIENCE):
        async with agent_at(gateway, era) as caller:
            response = await begin(caller, f"first byte {era}", progress=False)
            assert response.status == 200
            await signs(response, BYTES, 1)


def test_signs_of_life_come_several_times_before_anybody_gives_up() -> None:
    assert min(client.seconds for client in CLIENTS) > _SECONDS_PER_SIGN * 3


def test_the_table_of_clients_is_the_one_in_the_readme() -> None:
    rows = [line for line in _README.read_text(encoding="utf-8").split("\n") if line[:2] == "| "]
    for client in CLIENTS:
        (row,) = (row for row in rows if row.startswith(f"| {client.name} |") and " s |" in row)
        _, _, limit, reset_by, *_ = (part.strip() for part in row.split("|"))
        assert limit == f"{client.seconds:g} s", row
        assert reset_by == client.reset_by, row
    for name in NOT_DOCUMENTED:
        (row,) = (row for row in rows if name in row and "not documented" in row)
        assert row.count("not documented") == 2
