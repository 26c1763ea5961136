"""Go programs ask and Go programs answer: the official SDK, mcp-go and gorilla/websocket.

The frontend in Go knows only the four messages of the Go server. Of mcp-go there
are the current client and two earlier ones; v0.32 is what the Go server was built on.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from gateway.codec import CODINGS, decoded, encoded
from session import codec, dictionary
from tests.interop.go_programs import ask, gorilla
from tests.interop.person import person_at
from tests.live.metrics import counted
from tests.live.process import GatewayProcess, running_gateway

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("go") is None,
        reason="Go is not installed: interop with Go programs is not shown",
    ),
]
# Nobody waits this long when all is well.
PATIENCE = 60


class Asker(NamedTuple):
    """A program that asks, the revision it is told to want (empty: its choice), and gets."""

    program: str
    version: str
    spoken: str


EVERY_ASKER = pytest.mark.parametrize(
    "asker",
    [
        Asker(program, version, version or "2026-07-28")
        for program in ("ask_gosdk", "ask_mcpgo")
        for version in ("", "2025-11-25", "2025-06-18", "2025-03-26")
    ]
    + [
        Asker("ask_mcpgo_v0.32", "2025-03-26", "2025-03-26"),
        # No revision of ours: the client takes the one that is offered instead.
        Asker("ask_mcpgo_v0.32", "2024-11-05", "2025-11-25"),
        Asker("ask_mcpgo_v0.58", "2025-11-25", "2025-11-25"),
    ],
    ids=lambda asker: f"{asker.program} {asker.version or 'newest'}",
)


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """A gateway as it is by default, but quick to leave."""
    with running_gateway(
        *("--drain-settle-seconds", "0", "--drain-wait-seconds", "0.5")
    ) as process:
        yield process


@asynccontextmanager
async def _gorilla_that_connects(programs: Path, gateway: GatewayProcess) -> AsyncIterator[None]:
    async with gorilla(programs, gateway, answer="Blue") as frontend:
        assert (await frontend.frame("connect_ack"))["status"] == "connected"
        yield


@asynccontextmanager
async def _gorilla_that_never_connects(
    programs: Path, gateway: GatewayProcess
) -> AsyncIterator[None]:
    async with gorilla(programs, gateway, answer="Blue", connect="false"):
        yield


@asynccontextmanager
async def _trio_websocket(_programs: Path, gateway: GatewayProcess) -> AsyncIterator[None]:
    async def answer() -> None:
        assert await person.answer(await person.question(), "Blue") == "accepted"

    async with person_at(gateway.ws_port) as person, trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        yield


Answering = Callable[[Path, GatewayProcess], AbstractAsyncContextManager[None]]


@EVERY_ASKER
@pytest.mark.parametrize(
    "answering",
    [_gorilla_that_connects, _gorilla_that_never_connects, _trio_websocket],
    ids=["gorilla", "gorilla never connects", "trio-websocket"],
)
async def test_a_go_program_asks_and_any_frontend_answers(
    programs: Path,
    gateway: GatewayProcess,
    asker: Asker,
    answering: Answering,
) -> None:
    with trio.fail_after(PATIENCE):
        async with answering(programs, gateway):
            answered = await ask(
                programs / asker.program, gateway, "Which <colour>?", asker.version
            )
        assert answered.version == asker.spoken
        assert answered.text == "Blue"
        assert not answered.is_error
        if answered.structured:
            assert answered.structured["state"] == "answered"
            assert answered.structured["answer"] == "Blue"


@EVERY_ASKER
async def test_a_go_program_waits_for_a_person_who_thinks(
    programs: Path, gateway: GatewayProcess, asker: Asker
) -> None:
    """Longer than what is answered with JSON: the answer comes as the end of a stream."""
    with trio.fail_after(PATIENCE):
        async with gorilla(programs, gateway, answer="in the \u00e9nd", delay="300ms"):
            answered = await ask(
                programs / asker.program, gateway, "How does it end?", asker.version
            )
        assert (answered.version, answered.text) == (asker.spoken, "in the \u00e9nd")
        assert not answered.is_error


@EVERY_ASKER
async def test_the_timeout_that_a_go_program_sets_is_honoured(
    programs: Path, gateway: GatewayProcess, asker: Asker
) -> None:
    with trio.fail_after(PATIENCE):
        begun = trio.current_time()
        answered = await ask(
            programs / asker.program, gateway, "Anybody?", asker.version, timeout="0.4"
        )
        assert trio.current_time() - begun >= 0.4
        assert answered.version == asker.spoken
        assert answered.is_error
        assert answered.text.startswith("Nobody answered within 0.4 seconds")


async def test_every_go_frontend_is_shown_every_question_and_the_first_answer_wins(
    programs: Path, gateway: GatewayProcess
) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            gorilla(programs, gateway, answer="early") as quick,
            gorilla(programs, gateway, answer="late", delay="3s") as slow,
        ):
            for frontend in (quick, slow):
                await frontend.frame("connect_ack")
            answered = await ask(programs / "ask_gosdk", gateway, "Who is first?")
            assert answered.text == "early"
            question = await slow.frame("ask_user")
            assert question == {**question, "question": "Who is first?"}
            assert (await quick.frame("ask_user"))["request_id"] == question["request_id"]
            # Go's server ignores the second answer without a word.
            assert (await quick.frame("response_ack"))["status"] == "accepted"
            assert (await slow.frame("response_ack"))["status"] == "duplicate"


async def test_a_go_frontend_that_says_disconnect_is_closed_cleanly(
    programs: Path, gateway: GatewayProcess
) -> None:
    with trio.fail_after(PATIENCE):
        async with gorilla(programs, gateway) as frontend:
            await frontend.frame("connect_ack")
            assert (await frontend.leave())["code"] == 1000


async def test_many_go_programs_at_once_each_get_their_own_answer(
    programs: Path, gateway: GatewayProcess
) -> None:
    """All of them use the same JSON-RPC ids."""
    answers: dict[str, str] = {}

    async def ask_one(question: str) -> None:
        program = programs / ("ask_gosdk" if int(question) % 2 else "ask_mcpgo")
        answers[question] = (await ask(program, gateway, question)).text

    with trio.fail_after(PATIENCE):
        async with person_at(gateway.ws_port) as person, trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(partial(ask_one, str(number)))
            for _ in range(8):
                question = await person.question()
                answer = f"answer to {question['question']}"
                request_id = question["request_id"]
                await person.say(type="user_response", request_id=request_id, answer=answer)
    assert answers == {str(number): f"answer to {number}" for number in range(8)}


@pytest.mark.parametrize("program", ["frontend_gorilla", "frontend_coder"])
async def test_a_go_frontend_reads_and_writes_what_is_compressed(
    programs: Path, gateway: GatewayProcess, program: str
) -> None:
    question, answer = ("Shall it go out? " * 200, "When the lock is gone. " * 200)
    flags = {"answer": answer} | ({"compress": "true"} if program == "frontend_gorilla" else {})
    with trio.fail_after(PATIENCE):
        async with gorilla(programs, gateway, program, **flags) as frontend:
            answered = await ask(programs / "ask_gosdk", gateway, question)
            assert (await frontend.frame("ask_user"))["question"] == question
        assert answered.text == answer


def test_go_reads_our_frames_and_we_read_those_of_go(programs: Path) -> None:
    texts = [b"", b"short", b'{"question":"Which?"}' * 5000, bytes(range(256)) * 4096]
    for coding in CODINGS:
        name = coding.decode()
        packed = [encoded(text, coding) for text in texts]
        assert _through_go(programs, "decode", name, packed) == texts
        theirs = _through_go(programs, "encode", name, texts)
        assert [decoded(data, coding, 1 << 20) for data in theirs] == texts


def test_go_reads_our_frames_with_the_dictionary_and_we_read_those_of_go(
    programs: Path, tmp_path: Path
) -> None:
    path = tmp_path / "dictionary"
    path.write_bytes(dictionary.KNOWN[dictionary.CURRENT])
    texts = [b"", b"short", b'{"type":"ask_user","question":"Which?"}', b"{}," * 100_000]
    texts += [bytes(range(256)) * 40, json.dumps({"type": "connect_ack"}).encode()]
    ours = [dictionary.packed(text) for text in texts]
    assert _through_go(programs, "decode", "zstd", ours, path) == texts
    theirs = _through_go(programs, "encode", "zstd", texts, path)
    assert all(codec.names_dictionary(data) for data in theirs[1:])
    assert [dictionary.unpacked(data, 1 << 20) for data in theirs] == texts
    # What was made without it is read all the same.
    plain = _through_go(programs, "encode", "zstd", texts)
    assert [dictionary.unpacked(data, 1 << 20) for data in plain] == texts


async def test_a_go_frontend_fetches_the_dictionary_and_uses_it_both_ways(
    programs: Path, gateway: GatewayProcess
) -> None:
    coded = "frontend_router_coded_bytes_total"
    labels = {"coding": "zstd-dictionary", "form": "coded"}
    with trio.fail_after(PATIENCE):
        async with gorilla(programs, gateway, "frontend_zstd", answer="Blue") as frontend:
            # The first one told it where the dictionary is.
            assert (await frontend.frame("connect_ack"))["dictionary"]["used"]
            before = [counted(gateway, coded, direction=each, **labels) for each in ("in", "out")]
            answered = await ask(programs / "ask_gosdk", gateway, "Which colour?")
            assert answered.text == "Blue"
            question = await frontend.frame("ask_user")
            assert question["question"] == "Which colour?"
            after = [counted(gateway, coded, direction=each, **labels) for each in ("in", "out")]
    came, went = (late - early for late, early in zip(after, before, strict=True))
    assert came > 0
    # The question, and the acknowledgement of its answer.
    assert 0 < went < len(json.dumps(question)) / 2


def _through_go(
    programs: Path, direction: str, coding: str, data: list[bytes], *dictionaries: Path
) -> list[bytes]:
    lines = (f"{direction} {coding} {base64.b64encode(each).decode()}\n" for each in data)
    done = subprocess.run(
        [str(programs / "codec"), *map(str, dictionaries)],
        input="".join(lines).encode(),
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    return [base64.b64decode(line, validate=True) for line in done.stdout.splitlines()]
