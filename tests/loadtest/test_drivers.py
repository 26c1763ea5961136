"""The drivers against a server played by the test, byte by byte, and against a real gateway."""

from __future__ import annotations

import json
import socket
import time
import zlib
from collections.abc import Callable, Iterator

import pytest

from loadtest import drivers, requests
from loadtest.callers import Caller
from loadtest.frontends import Frontend
from loadtest.handshakes import PeerError
from loadtest.load import Load
from loadtest.messengers import Messenger
from loadtest.places import mcp_place
from tests.live.process import GatewayProcess, running_gateway

# Long enough for what is already in a socket.
MOMENT = 0.01
# No machine is this slow.
PATIENCE = 30.0
TEMPLATE = requests.ask_template(mcp_place(8081), requests.MODERN)


@pytest.fixture
def load() -> Iterator[Load]:
    """A load that gives up soon."""
    load = Load(drain_seconds=0.05)
    yield load
    load.close()


@pytest.fixture
def patient_load() -> Iterator[Load]:
    """A load that gives up only when a machine does."""
    load = Load(drain_seconds=PATIENCE)
    yield load
    load.close()


def run_until(load: Load, holds: Callable[[], bool]) -> None:
    """Go on until something holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, load.tally
        load.run(0.01)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The driver's end of a connection, and the server's."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(30)
    with ours, theirs:
        yield ours, theirs


def _asked(server: socket.socket) -> bytes:
    """Return the token of the question that has arrived."""
    body = json.loads(server.recv(65536).partition(b"\r\n\r\n")[2])
    assert body["params"]["arguments"]["question"] == str(body["id"])
    return str(body["id"]).encode()


def _reply(token: bytes, text: bytes) -> bytes:
    body = b'{"jsonrpc":"2.0","id":%b,"result":{"content":[{"type":"text","text":"%b"}]}}' % (
        token,
        text,
    )
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def test_a_request_that_needs_no_person_is_judged_by_its_id(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    listing = requests.template(mcp_place(8081), requests.MODERN, "tools/list", {})
    caller = Caller(load, ours, listing, repeats=1)
    load.add(caller)
    caller.ask(time.perf_counter())
    token = json.loads(theirs.recv(65536).partition(b"\r\n\r\n")[2])["id"]
    theirs.sendall(_reply(b"%d" % token, b"no token in the text"))
    load.run(MOMENT)
    assert (load.tally.answered, load.tally.failures) == (1, 0)
    caller.ask(time.perf_counter())
    theirs.recv(65536)
    theirs.sendall(_reply(b"1", b"of somebody else"))
    load.run(MOMENT)
    assert load.tally.crossed == 1


def _text(payload: bytes) -> bytes:
    return b"\x81%c%b" % (len(payload), payload)


def _question(request_id: str, text: str) -> bytes:
    return _text(f'{{"type":"ask_user","request_id":"{request_id}","question":"{text}"}}'.encode())


def _answers(data: bytes) -> list[tuple[str, str]]:
    """Return what a frontend's masked frames answer."""
    found = []
    while data:
        assert data[0] == 0x81 and data[2:6] == bytes(4)
        end = 6 + (data[1] & 0x7F)
        message = json.loads(data[6:end])
        assert message["type"] == "user_response"
        found.append((message["request_id"], message["answer"]))
        data = data[end:]
    return found


def _one_caller(load: Load, ours: socket.socket) -> Caller:
    caller = Caller(load, ours, TEMPLATE)
    load.add(caller)
    drivers.begin(load, [caller])
    return caller


def test_a_caller_counts_its_answer_and_asks_again(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    _one_caller(load, pair[0])
    tokens = []
    for _ in range(3):
        tokens.append(_asked(pair[1]))
        pair[1].sendall(_reply(tokens[-1], tokens[-1]))
        load.run(MOMENT)
    assert len(set(tokens)) == 3
    assert load.tally.answered == len(load.tally.seconds) == 3
    assert load.tally.failures == 0


@pytest.mark.parametrize("cut", [1, 17, 60, -1])
def test_a_caller_waits_for_the_rest_of_an_answer(
    load: Load, pair: tuple[socket.socket, socket.socket], cut: int
) -> None:
    _one_caller(load, pair[0])
    for answered in (1, 2):
        token = _asked(pair[1])
        reply = _reply(token, token)
        pair[1].sendall(reply[:cut])
        load.run(MOMENT)
        assert load.tally.answered == answered - 1
        pair[1].sendall(reply[cut:])
        load.run(MOMENT)
        assert load.tally.answered == answered
    assert load.tally.failures == 0


def test_an_answer_to_another_question_is_counted_as_crossed(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    _one_caller(load, pair[0])
    token = _asked(pair[1])
    pair[1].sendall(_reply(token, b"1000000000"))
    load.run(MOMENT)
    assert (load.tally.answered, load.tally.crossed) == (0, 1)


def test_an_answer_to_another_call_is_counted_as_crossed(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    _one_caller(load, pair[0])
    token = _asked(pair[1])
    pair[1].sendall(_reply(b"1000000000", token))
    load.run(MOMENT)
    assert (load.tally.answered, load.tally.crossed) == (0, 1)


def test_an_answer_that_never_comes_is_counted_as_lost(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    _one_caller(load, pair[0])
    _asked(pair[1])
    load.drain()
    assert (load.tally.answered, load.tally.lost, load.tally.failures) == (0, 1, 1)


def test_an_answer_at_the_end_of_a_stream_counts_as_one(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    _one_caller(load, pair[0])
    token = _asked(pair[1])
    event = b'data: {"id":%b,"text":"%b"}\n\n' % (token, token)
    pair[1].sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n:\n\r\n")
    load.run(MOMENT)
    assert load.tally.answered == 0
    pair[1].sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event))
    load.run(MOMENT)
    assert (load.tally.answered, load.tally.streamed, load.tally.failures) == (1, 1, 0)


def test_who_is_over_a_quota_is_refused_and_stays(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    _one_caller(load, pair[0])
    for _ in range(2):
        token = _asked(pair[1])
        error = b'{"id":%b,"error":{"message":"0.5 s","data":{"quota":"asks"}}}' % token
        head = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: %d\r\n\r\n" % len(error)
        pair[1].sendall(head + error)
        load.run(MOMENT)
    assert load.tally.refusals == {b"over the quota asks": 2}


@pytest.mark.parametrize("reply", [b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b""])
def test_a_refusal_ends_the_caller_and_is_counted_once(
    load: Load, pair: tuple[socket.socket, socket.socket], reply: bytes
) -> None:
    _one_caller(load, pair[0])
    _asked(pair[1])
    pair[1].sendall(reply)
    pair[1].close()
    load.run(MOMENT)
    load.drain()
    assert (load.tally.refused, load.tally.failures) == (1, 1)
    assert load.tally.first_refusal.startswith(reply.rstrip() or b"the server closed")


def test_a_frontend_answers_each_question_with_itself_in_one_write(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    load.add(Frontend(load, pair[0]))
    pair[1].sendall(_question("q1", "1000000001") + _question("q2", "1000000002"))
    load.run(MOMENT)
    assert _answers(pair[1].recv(65536)) == [("q1", "1000000001"), ("q2", "1000000002")]
    assert load.tally.frames == 2


def test_a_frontend_takes_frames_in_pieces_and_of_every_length(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    frontend = Frontend(load, pair[0])
    load.add(frontend)
    long = b'{"type":"notify_user","message":"%b"}' % (b"x" * 300)
    stream = b"\x81\x7e%b%b%b" % (len(long).to_bytes(2, "big"), long, _question("q", "1000000001"))
    for cut in range(1, len(stream), 7):
        pair[1].sendall(stream[:cut])
        load.run(MOMENT / 10)
        pair[1].sendall(stream[cut:])
        load.run(MOMENT / 10)
        assert _answers(pair[1].recv(65536)) == [("q", "1000000001")]
    assert frontend.frames == 2 * len(range(1, len(stream), 7))


def _deflated(payload: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -12)
    coded = (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return b"\xc1%c%b" % (len(coded), coded)


def test_a_frontend_finds_questions_in_what_is_compressed_and_in_what_is_not(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    frontend = Frontend(load, pair[0], deflates=True)
    load.add(frontend)
    coded = _deflated(_question("q1", "1000000001" + 90 * "0")[2:])
    stream = coded + b"\x89\x02hi" + _question("q2", "1000000002")
    for cut in (1, len(coded) - 1, len(coded), len(coded) + 3):
        pair[1].sendall(stream[:cut])
        load.run(MOMENT)
        pair[1].sendall(stream[cut:])
        load.run(MOMENT)
        heard = pair[1].recv(65536)
        answers = []
        while heard:
            end = 6 + (heard[1] & 0x7F)
            if heard[0] == 0xC1:
                inflater = zlib.decompressobj(-15)
                answers.append(json.loads(inflater.decompress(heard[6:end] + b"\0\0\xff\xff")))
            heard = heard[end:]
        assert [each["request_id"] for each in answers] == ["q1", "q2"], cut
    assert (frontend.frames, load.tally.deflated) == (8, 4)
    assert load.tally.deflated_bytes == 4 * (len(coded) - 2)
    assert load.tally.inflated_bytes > load.tally.deflated_bytes


def test_what_cannot_be_inflated_is_refused(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    load.add(Frontend(load, pair[0], deflates=True))
    pair[1].sendall(b"\xc1\x03abc")
    load.run(MOMENT)
    assert b"cannot be inflated" in load.tally.first_refusal


def test_a_frontend_answers_only_when_it_is_its_turn(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    load.add(Frontend(load, pair[0], turn="07"))
    pair[1].sendall(_question("q1", "1000000006") + _question("q2", "1000000007"))
    load.run(MOMENT)
    assert _answers(pair[1].recv(65536)) == [("q2", "1000000007")]


def test_a_frontend_answers_pings_and_notices_a_close(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    load.add(Frontend(load, pair[0]))
    pair[1].sendall(b"\x89\x02hi")
    load.run(MOMENT)
    assert pair[1].recv(65536) == b"\x8a\x82" + bytes(4) + b"hi"
    pair[1].sendall(b"\x88\x02\x03\xf4")
    load.run(MOMENT)
    assert load.tally.refused == 1


def test_a_messenger_compares_every_byte_of_a_batch(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    messenger = Messenger(load, pair[0], [(b"AB", b"ab"), (b"CD", b"cd")], depth=2)
    load.add(messenger)
    drivers.begin(load, [messenger])
    assert pair[1].recv(65536) == b"CD"
    pair[1].sendall(b"c")
    load.run(MOMENT)
    assert (load.tally.answered, messenger.owed()) == (0, 2)
    pair[1].sendall(b"d")
    load.run(MOMENT)
    assert load.tally.answered == 2
    assert pair[1].recv(65536) == b"AB"
    pair[1].sendall(b"cd")
    load.run(MOMENT)
    assert (load.tally.answered, load.tally.crossed) == (2, 2)
    load.drain()
    assert load.tally.lost == 2


# -- against a real gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """A gateway that spreads questions over its frontends."""
    with running_gateway(
        *("--delivery", "one", "--drain-settle-seconds", "0", "--drain-wait-seconds", "0.1")
    ) as process:
        yield process


@pytest.mark.slow
@pytest.mark.parametrize("revision", [requests.HANDSHAKE, requests.MODERN])
def test_round_trips_through_a_gateway_lose_nothing(
    patient_load: Load, gateway: GatewayProcess, revision: str
) -> None:
    frontends = drivers.add_frontends(patient_load, gateway.ws_port, 3)
    drivers.begin(patient_load, drivers.add_callers(patient_load, gateway.mcp_port, 5, revision))
    tally = patient_load.tally
    run_until(patient_load, lambda: tally.answered >= 50)
    patient_load.drain()
    assert tally.failures == 0, tally.first_refusal
    # The question, and the acknowledgement of its answer.
    run_until(patient_load, lambda: tally.frames >= 2 * tally.answered)
    assert tally.frames == 2 * tally.answered
    assert all(frontend.frames > 0 for frontend in frontends)


@pytest.mark.slow
def test_everybody_is_shown_a_question_and_who_has_the_turn_answers(
    patient_load: Load, gateway: GatewayProcess
) -> None:
    frontends = drivers.add_frontends(patient_load, gateway.ws_port, 10, turn=str)
    callers = drivers.add_callers(
        patient_load, gateway.mcp_port, 2, requests.MODERN, arguments={"delivery": "all"}
    )
    drivers.begin(patient_load, callers)
    tally = patient_load.tally
    run_until(patient_load, lambda: tally.answered >= 20)
    patient_load.drain()
    assert tally.failures == 0, tally.first_refusal
    run_until(patient_load, lambda: tally.frames >= 20 * tally.answered)
    assert {frontend.frames for frontend in frontends} == {2 * tally.answered}


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 8])
def test_messages_to_a_gateway_are_all_acknowledged(
    patient_load: Load, gateway: GatewayProcess, depth: int
) -> None:
    drivers.begin(patient_load, drivers.add_messengers(patient_load, gateway.ws_port, 3, depth))
    tally = patient_load.tally
    run_until(patient_load, lambda: tally.answered >= 3 * depth)
    patient_load.drain()
    assert tally.failures == 0, tally.first_refusal


@pytest.mark.slow
def test_an_answer_that_no_frontend_gives_is_lost(load: Load, gateway: GatewayProcess) -> None:
    drivers.add_frontends(load, gateway.ws_port, 1, turn=lambda _: "nobody")
    drivers.begin(load, drivers.add_callers(load, gateway.mcp_port, 2, requests.MODERN))
    load.run(0.1)
    load.drain()
    assert (load.tally.answered, load.tally.lost) == (0, 2)


@pytest.mark.slow
def test_a_server_that_is_none_stops_the_load_before_it_begins(
    load: Load, gateway: GatewayProcess
) -> None:
    with pytest.raises(PeerError, match="no upgrade"):
        drivers.add_frontends(load, gateway.mcp_port, 1)
