"""HTTP/1.1 as a protocol object: what goes in, what comes out, and when it ends."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.access import Allowlist
from gateway.http.access import Settings as AccessSettings
from gateway.http.connection import HttpConnection
from gateway.http.head import Heads, Limits
from gateway.http.messages import Request, Responder
from gateway.http.response import PieceCoding, Site
from pool.workers import QueueFullError
from session.steps import Steps, in_one_go
from tests.wire import Clock, Wire

HOST = b"Host: localhost:8080\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"


def post(body: bytes, *fields: bytes, path: bytes = b"/") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n%b\r\n%b" % (
        path,
        HOST,
        len(body),
        lines,
        body,
    )


class Peer:
    """One connection and the handler behind it."""

    def __init__(self, **limits: float) -> None:
        self.clock = Clock()
        self.wire = Wire()
        self.requests: list[Request] = []
        self.responders: list[Responder] = []
        self.observed: list[tuple[int, int]] = []
        self.handler: Callable[[Request, Responder], None] = lambda _r, _s: None
        settings = Limits(**limits)  # type: ignore[arg-type]
        self.site = Site(
            self._handle,
            Heads(settings, Allowlist(AccessSettings(), [8080])),
            settings,
            self.clock.timers,
            self._observe,
        )
        self.http: HttpConnection = self.wire.speak(lambda c: HttpConnection(self.site, c))

    def _handle(self, request: Request, responder: Responder) -> None:
        self.requests.append(request)
        self.responders.append(responder)
        self.handler(request, responder)

    def _observe(self, _method: str, _path: str, status: int, _s: float, size: int) -> None:
        self.observed.append((status, size))

    def send(self, data: bytes, step: int = 0) -> None:
        step = step or len(data) or 1
        for at in range(0, len(data), step):
            if self.wire.is_open:
                self.http.data_received(data[at : at + step])

    @property
    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in self.wire.sent.split(b"HTTP/1.1 ")[1:]]


@pytest.fixture
def peer() -> Peer:
    return Peer()


def echo(request: Request, responder: Responder) -> None:
    responder.respond(200, request.body or request.head.path.encode())


@pytest.mark.parametrize("size", [1024 * 1024, 1024 * 1024 + 1])
def test_a_large_piece_of_a_stream_is_one_chunk(peer: Peer, size: int) -> None:
    peer.send(GET)
    (responder,) = peer.responders
    responder.start_stream(200, b"text/event-stream")
    begun = len(peer.wire.sent)
    responder.send_piece(b"a" * size)
    responder.end_stream()
    assert peer.wire.sent[begun:] == b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"a" * size)
    assert peer.observed == [(200, size)]


class Doubled:
    """A coding of streams that one can read: everything twice, a dot at the end."""

    headers = ((b"Content-Encoding", b"doubled"),)

    def __init__(self) -> None:
        self.closed = 0

    def piece(self, data: bytes) -> bytes:
        return data * 2

    def coding(self, data: bytes) -> Steps[bytes]:
        yield
        yield
        return data * 2

    def end(self) -> bytes:
        return b"."

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("most", [0, 7])
def test_a_stream_is_compressed_piece_by_piece_where_that_is_allowed(most: int) -> None:
    peer = Peer(compressed_streams=most)
    made: list[tuple[bytes | None, int, Doubled]] = []

    def pack(accept: bytes | None, limit: int) -> PieceCoding:
        coding = Doubled()
        made.append((accept, limit, coding))
        return coding

    peer.site.pack_stream = pack
    peer.send(GET.replace(b"\r\n\r\n", b"\r\nAccept-Encoding: x\r\n\r\n"))
    (responder,) = peer.responders
    responder.start_stream(200, b"text/event-stream")
    responder.send_piece(b"ab")
    assert peer.wire.sent.endswith(b"4\r\nabab\r\n" if most else b"2\r\nab\r\n")
    responder.end_stream()
    ((status, size),) = peer.observed
    assert (status, size) == (200, 5 if most else 2)
    assert [(accept, limit) for accept, limit, _ in made] == ([(b"x", most)] if most else [])
    assert peer.wire.sent.endswith(b"1\r\n.\r\n0\r\n\r\n") is bool(most)
    assert (b"Content-Encoding: doubled" in peer.wire.sent) is bool(most)
    # It is closed however the stream ends, and a refusal is not compressed.
    peer.send(GET)
    peer.responders[-1].start_stream(200, b"text/event-stream")
    peer.http.connection_lost()
    assert [coding.closed for _, _, coding in made] == [1, 1][: len(made)]
    assert len(made) == (2 if most else 0)


class Compressed(Peer):
    """One that reads a stream that is compressed, and takes the steps of that."""

    def __init__(self) -> None:
        super().__init__(compressed_streams=1)
        self.work: list[Steps[None]] = []
        self.coding = Doubled()
        self.site.pack_stream = lambda _accept, _most: self.coding
        self.site.in_steps = self.work.append
        self.send(GET)
        (self.responder,) = self.responders
        self.responder.start_stream(200, b"text/event-stream")
        self.wire.taken()


LARGE = b"a" * (16 * 1024 + 1)
CODED = b"%x\r\n%b\r\n" % (2 * len(LARGE), LARGE * 2)


def test_what_comes_behind_a_large_piece_is_sent_behind_it() -> None:
    peer = Compressed()
    for piece in (b"b", LARGE, b"c", b"d"):
        peer.responder.send_piece(piece)
    peer.responder.end_stream()
    assert peer.wire.taken() == b"2\r\nbb\r\n"
    assert peer.responder.is_open
    (work,) = peer.work
    next(work)
    assert peer.wire.sent == b""
    in_one_go(work)
    assert peer.wire.sent == CODED + b"2\r\ncc\r\n2\r\ndd\r\n1\r\n.\r\n0\r\n\r\n"
    assert peer.observed == [(200, 2 * len(b"bcd" + LARGE) + 1)]
    assert peer.coding.closed == 1


def test_a_stream_goes_on_after_a_large_piece() -> None:
    peer = Compressed()
    for piece in (LARGE, b"b"):
        peer.responder.send_piece(piece)
        for work in peer.work:
            in_one_go(work)
    assert peer.wire.sent == CODED + b"2\r\nbb\r\n"


def test_a_large_piece_for_a_peer_that_left_is_not_sent() -> None:
    peer = Compressed()
    peer.responder.send_piece(LARGE)
    peer.responder.send_piece(LARGE[:9])
    (work,) = peer.work
    next(work)
    peer.wire.abort()
    in_one_go(work)
    assert peer.wire.sent == b""
    unstarted = Compressed()
    unstarted.responder.send_piece(LARGE)
    unstarted.wire.abort()
    in_one_go(unstarted.work[0])
    assert unstarted.wire.sent == b""


def test_where_too_much_is_compressed_the_connection_ends() -> None:
    peer = Compressed()

    def refuse(_work: Steps[None]) -> None:
        raise QueueFullError("a", 1, whole=True)

    peer.site.in_steps = refuse
    peer.responder.send_piece(LARGE)
    assert peer.wire.closing


def test_no_more_waits_behind_a_large_piece_than_for_a_peer_that_does_not_read() -> None:
    peer = Compressed()
    for _ in range(2):
        peer.responder.send_piece(LARGE)
        peer.responder.send_piece(bytes(16 * peer.wire.outbox_limit))
        assert peer.responder.is_open
        in_one_go(peer.work.pop())
    peer.responder.send_piece(LARGE)
    peer.responder.send_piece(bytes(16 * peer.wire.outbox_limit))
    peer.responder.send_piece(b"b")
    assert peer.wire.aborted


@pytest.mark.parametrize("step", [0, 1, 7])
def test_a_request_comes_whole_however_it_is_cut(peer: Peer, step: int) -> None:
    peer.handler = echo
    peer.send(post(b"hello world"), step)
    assert peer.requests[0].body == b"hello world"
    assert peer.wire.sent.endswith(b"\r\n\r\nhello world")
    assert peer.wire.is_open


def test_who_sends_the_same_head_again_is_judged_by_the_rules_of_now(peer: Peer) -> None:
    request = post(b"12345678")
    for _ in range(3):
        peer.send(request)
        peer.responders[-1].respond(200, b"")
    assert peer.statuses == [200] * 3
    assert len({id(each.head) for each in peer.requests}) == 1
    peer.site.heads.become(Limits(header_bytes=1024, body_bytes=1024))
    peer.send(request)
    peer.responders[-1].respond(200, b"")
    assert len({id(each.head) for each in peer.requests}) == 2
    peer.site.heads.become(Limits(header_bytes=1024, body_bytes=4))
    peer.send(request)
    assert peer.statuses == [200] * 4 + [413]


def test_a_head_is_known_again_only_whole(peer: Peer) -> None:
    alike = [post(b"12345678", b"X-More: %d" % number) for number in (1, 2, 2, 1, 2)]
    for data in alike:
        peer.send(data)
        peer.responders[-1].respond(200, b"")
    assert b"".join(each.head.headers[b"x-more"] for each in peer.requests) == b"12212"
    peer.requests.clear()
    request = post(b"12345678")
    for data in (request, alike[0], alike[0], request, GET, request):
        peer.send(data)
        peer.responders[-1].respond(200, b"")
    # With a body that is missing, cut or followed by more it is as ever.
    head = request[:-8]
    peer.send(head)
    peer.send(b"1234")
    peer.send(b"5678")
    peer.responders[-1].respond(200, b"")
    peer.send(request + request[:20])
    peer.responders[-1].respond(200, b"")
    peer.send(request[20:])
    peer.responders[-1].respond(200, b"")
    assert [each.body for each in peer.requests] == [b"12345678"] * 4 + [b""] + [b"12345678"] * 4
    # What looks like a head within a body is a part of it.
    peer.send(post(request))
    peer.responders[-1].respond(200, b"")
    peer.send(post(request)[: -len(request)])
    peer.send(request)
    peer.responders[-1].respond(200, b"")
    assert [each.body for each in peer.requests[-2:]] == [request, request]
    assert peer.statuses == [200] * 16


@pytest.mark.parametrize("step", [0, 1, 5])
def test_pipelined_requests_are_answered_in_order(peer: Peer, step: int) -> None:
    peer.handler = echo
    chunked = (
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
    )
    peer.send(post(b"one") + chunked + GET + post(b"four"), step)
    assert [request.body for request in peer.requests] == [b"one", b"two", b"", b"four"]
    assert peer.statuses == [200] * 4


def test_the_next_request_waits_for_the_response_before_it(peer: Peer) -> None:
    peer.send(post(b"one") + post(b"two"))
    assert len(peer.requests) == 1
    peer.responders[0].respond(200, b"1")
    assert len(peer.requests) == 2
    peer.responders[1].respond(200, b"2")
    assert peer.wire.sent.index(b"\r\n1") < peer.wire.sent.index(b"\r\n2")


def test_what_is_pipelined_without_end_stays_with_the_sender(peer: Peer) -> None:
    peer.send(GET)
    for _ in range(40):
        if peer.wire.reading:
            peer.send(GET * 100)
    assert not peer.wire.reading
    peer.handler = echo
    peer.responders[0].respond(200)
    assert peer.wire.reading


def test_head_has_the_length_and_no_body(peer: Peer) -> None:
    peer.handler = echo
    peer.send(GET.replace(b"GET", b"HEAD"))
    assert b"Content-Length: 1\r\n" in peer.wire.sent
    assert peer.wire.sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_body_has_no_length(peer: Peer, status: int) -> None:
    peer.handler = lambda _request, responder: responder.respond(status)
    peer.send(GET)
    assert b"Content-Length" not in peer.wire.sent
    assert peer.wire.sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "request_",
    [b"GET / HTTP/1.0\r\n\r\n", GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")],
)
def test_who_does_not_want_to_stay_is_told_goodbye(peer: Peer, request_: bytes) -> None:
    peer.handler = echo
    peer.send(request_)
    assert b"Connection: close\r\n" in peer.wire.sent
    assert peer.wire.closing


def test_expect_100_gets_its_continue_before_the_body(peer: Peer) -> None:
    peer.handler = echo
    head, _, body = post(b"hello", b"Expect: 100-continue").partition(b"\r\n\r\n")
    peer.send(head + b"\r\n\r\n")
    assert peer.wire.taken() == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.send(body)
    assert peer.wire.sent.endswith(b"hello")


def test_expect_100_with_its_body_needs_no_continue(peer: Peer) -> None:
    peer.handler = echo
    peer.send(post(b"hello", b"Expect: 100-continue"))
    assert peer.statuses == [200]


def test_a_stream_is_chunked_and_the_connection_goes_on(peer: Peer) -> None:
    peer.send(GET)
    responder = peer.responders[0]
    responder.start_stream(200, b"text/event-stream")
    responder.send_piece(b"data: 1\n\n")
    responder.send_piece(b"")
    responder.end_stream()
    assert peer.wire.sent.endswith(b"\r\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n")
    assert peer.wire.is_open
    peer.handler = echo
    peer.send(GET)
    assert peer.statuses == [200, 200]


def test_a_stream_to_an_old_peer_ends_with_the_connection(peer: Peer) -> None:
    peer.send(b"GET / HTTP/1.0\r\n\r\n")
    responder = peer.responders[0]
    responder.start_stream(200, b"text/event-stream")
    responder.send_piece(b"data: 1\n\n")
    responder.end_stream()
    assert peer.wire.sent.endswith(b"\r\n\r\ndata: 1\n\n")
    assert peer.wire.closing


def test_an_answer_after_the_peer_left_does_nothing(peer: Peer) -> None:
    left: list[str] = []
    peer.send(GET)
    responder = peer.responders[0]
    responder.on_disconnect = lambda: left.append("left")
    peer.wire.abort()
    assert left == ["left"]
    assert not responder.is_open
    responder.respond(200, b"late")
    responder.start_stream(200, b"text/event-stream")
    responder.send_piece(b"late")
    responder.end_stream()
    assert peer.wire.sent == b""
    assert peer.observed == [(499, 0)]


def test_an_answer_is_given_once(peer: Peer) -> None:
    peer.send(GET)
    responder = peer.responders[0]
    responder.respond(200, b"first")
    sent = peer.wire.sent
    responder.respond(200, b"second")
    responder.start_stream(200, b"text/plain")
    responder.send_piece(b"third")
    assert peer.wire.sent == sent


def test_on_disconnect_is_not_called_after_a_complete_response(peer: Peer) -> None:
    left: list[str] = []
    peer.send(GET)
    peer.responders[0].on_disconnect = lambda: left.append("left")
    peer.responders[0].respond(200)
    peer.wire.abort()
    assert left == []


def test_who_left_before_anybody_listened_for_it_is_noticed_once(peer: Peer) -> None:
    left: list[str] = []
    peer.send(GET)
    responder = peer.responders[0]
    peer.wire.abort()
    responder.on_disconnect = lambda: left.append("left")
    assert left == []
    responder.notice_leaving()
    responder.notice_leaving()
    assert left == ["left"]


def test_who_sends_no_more_is_noticed_where_that_is_leaving(peer: Peer) -> None:
    peer.send(GET)
    responder = peer.responders[0]
    responder.leaves_at_end = True
    responder.notice_leaving()
    assert peer.wire.is_open
    responder.leaves_at_end = False
    assert peer.http.eof_received()
    responder.notice_leaving()
    assert peer.wire.is_open
    responder.leaves_at_end = True
    responder.notice_leaving()
    assert peer.wire.closing


def test_nobody_leaves_a_response_that_is_complete(peer: Peer) -> None:
    left: list[str] = []
    peer.send(GET)
    assert peer.http.eof_received()
    responder = peer.responders[0]
    responder.on_disconnect = lambda: left.append("left")
    responder.leaves_at_end = True
    responder.respond(200)
    responder.notice_leaving()
    assert left == []
    assert peer.wire.is_open


def test_a_half_closed_peer_gets_its_answer_unless_that_counts_as_leaving(peer: Peer) -> None:
    peer.send(GET)
    assert peer.http.eof_received()
    peer.responders[0].leaves_at_end = True
    assert not peer.http.eof_received()
    idle = Peer()
    assert not idle.http.eof_received()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n", 413),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9999999\r\n\r\n", 413),
        (b"GET /" + b"x" * 9000, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
)
def test_a_refusal_says_why_and_closes(peer: Peer, data: bytes, status: int) -> None:
    peer.send(data)
    assert peer.statuses == [status]
    assert b"Connection: close\r\n" in peer.wire.sent
    assert peer.wire.closing
    assert peer.requests == []


def test_a_refusal_behind_a_good_request_comes_behind_its_response(peer: Peer) -> None:
    peer.send(GET + b"nonsense\r\n\r\n")
    peer.responders[0].respond(200)
    assert peer.statuses == [200, 400]


def test_an_empty_line_before_a_request_is_forgiven(peer: Peer) -> None:
    peer.handler = echo
    peer.send(b"\r\n" + GET)
    assert peer.statuses == [200]


@pytest.mark.parametrize(
    ("sent", "seconds", "status"),
    [
        (b"GET / HTTP/1.1\r\n", 5.1, [408]),
        (post(b"hello")[:-1], 30.1, [408]),
        (b"", 5.1, []),
    ],
)
def test_who_is_too_slow_is_let_go(
    peer: Peer, sent: bytes, seconds: float, status: list[int]
) -> None:
    peer.send(sent)
    peer.clock.pass_time(seconds - 0.3)
    assert peer.wire.is_open
    peer.clock.pass_time(0.4)
    assert peer.statuses == status
    assert peer.wire.closing


def test_one_byte_at_a_time_does_not_stretch_the_deadline(peer: Peer) -> None:
    for byte in b"GET / HTTP/1.1\r\nX: yyy":
        peer.send(bytes([byte]))
        peer.clock.pass_time(0.5)
    assert peer.statuses == [408]


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(peer: Peer) -> None:
    peer.handler = echo
    for _ in range(5):
        peer.send(GET)
        peer.clock.pass_time(50)
        assert peer.wire.is_open
    peer.clock.pass_time(200)
    assert peer.wire.closing


def test_waiting_for_a_response_is_not_idleness(peer: Peer) -> None:
    peer.send(GET)
    peer.clock.pass_time(1000)
    assert peer.wire.is_open


def test_a_lost_connection_leaves_no_timer(peer: Peer) -> None:
    for sent in (b"", b"GET", post(b"hello")[:-1], GET):
        other = Peer()
        other.send(sent)
        other.wire.abort()
        assert len(other.clock.timers) == 0


def test_a_request_in_one_piece_arms_no_further_timer(peer: Peer) -> None:
    peer.handler = echo
    peer.send(GET)
    armed = len(peer.clock.timers)
    for _ in range(100):
        peer.send(GET)
    assert len(peer.clock.timers) == armed == 1


class Taker:
    """The protocol a connection is handed over to."""

    def __init__(self, log: list[bytes]) -> None:
        self.log = log

    def data_received(self, data: bytes) -> None:
        self.log.append(data)

    def eof_received(self) -> bool:
        return False

    def drained(self) -> None:
        """Nothing waits."""

    def connection_lost(self) -> None:
        self.log.append(b"lost")


def test_an_upgrade_takes_the_connection_and_the_bytes_that_came_early(peer: Peer) -> None:
    log: list[bytes] = []
    peer.handler = lambda _request, responder: responder.upgrade(
        b"HTTP/1.1 101 x\r\n\r\n", lambda _c: Taker(log)
    )
    peer.send(GET + b"early")
    assert peer.wire.sent == b"HTTP/1.1 101 x\r\n\r\n"
    assert log == [b"early"]
    assert len(peer.clock.timers) == 0
    peer.wire.abort()
    assert log == [b"early", b"lost"]


@given(
    st.lists(
        st.one_of(st.binary(max_size=80), st.sampled_from([GET, post(b"{}"), b"\r\n", b"GET / "])),
        max_size=6,
    ),
    st.integers(0, 9),
)
def test_any_bytes_end_in_responses_or_a_refusal(pieces: list[bytes], step: int) -> None:
    peer = Peer()
    peer.handler = echo
    peer.send(b"".join(pieces), step)
    peer.clock.pass_time(100)
    assert not peer.wire.is_open or peer.requests
    assert all(200 <= status < 600 for status in peer.statuses)
    peer.wire.abort()
    assert len(peer.clock.timers) == 0


def test_a_large_response_is_packed_once_and_a_small_one_never() -> None:
    peer = Peer(compress_bytes=10)
    asked: list[bytes | None] = []

    def pack(body: bytes, accept: bytes | None) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
        asked.append(accept)
        return body[:1], ((b"Content-Encoding", b"first"),)

    peer.site.pack = pack
    body = b"0123456789"
    for status, headers in ((200, ()), (200, ((b"Content-Encoding", b"x"),)), (404, ())):
        peer.handler = lambda _q, out, s=status, h=headers: out.respond(s, body, headers=h)  # type: ignore[misc]
        peer.send(b"GET / HTTP/1.1\r\n" + HOST + b"Accept-Encoding: gzip\r\n\r\n")
    peer.handler = lambda _request, out: out.respond(200, body[:-1])
    peer.send(GET)
    assert asked == [b"gzip"]
    sent = peer.wire.sent
    assert b"Content-Encoding: first\r\n" in sent
    assert b"Content-Length: 1\r\n" in sent
    assert sent.count(body) == 2
    assert peer.statuses == [200, 200, 404, 200]
