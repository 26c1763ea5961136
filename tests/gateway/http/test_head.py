"""The verdict on a request's head, as tables of bytes and statuses (B8, B15)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.access import Allowlist
from gateway.http.access import Settings as AccessSettings
from gateway.http.head import Heads, Limits, RefusedError, check_unfinished, parse_head

LIMITS = Limits(header_bytes=4096, header_count=20, target_bytes=1024, body_bytes=10_000)
ALLOWED = Allowlist(AccessSettings(), [8080])
HOST = b"Host: localhost:8080\r\n"


def status_of(data: bytes) -> int:
    try:
        parse_head(data, LIMITS, ALLOWED)
    except RefusedError as refused:
        assert refused.message
        return refused.status
    return 200


TABLE = [
    (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    (b"GET / HTTP/1.0\r\n\r\n", 200),
    (b"GET / HTTP/1.0\r\nOrigin: http://evil.example\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
    (b"GET / HTTP/1.1\r\n" + HOST + b"Origin: http://localhost:8080\r\n\r\n", 200),
    (b"GET / HTTP/1.1\r\n" + HOST + b"Origin: http://evil.example\r\n\r\n", 403),
    (b"GET / HTTP/1.1\r\n" + HOST + b"Origin: null\r\n\r\n", 403),
    (b"GET / HTTP/1.1\r\n" + HOST + b"Origin: http://localhost:8080\r\nOrigin: x\r\n\r\n", 400),
    (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: localhost:8080\n\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost : localhost:8080\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X\x80: a\r\n\r\n", 400),
    (b"FETCH / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    (b"PRI * HTTP/2.0\r\n\r\n", 505),
    (b"GET http://localhost:8080/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET /" + b"x" * 1024 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 20 + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 4096 + b"\r\n\r\n", 431),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10000\r\n\r\n", 200),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10001\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5, 5\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", 200),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: Chunked\r\n\r\n", 200),
    (
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", 200),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Expect: more\r\n\r\n", 417),
]


@pytest.mark.parametrize(("data", "status"), TABLE)
def test_each_head_has_its_verdict(data: bytes, status: int) -> None:
    assert status_of(data) == status


def test_values_lose_their_blanks_and_repeats_are_joined() -> None:
    data = b"GET /a?b=c HTTP/1.1\r\n" + HOST + b"X-A:  one \t\r\nx-a: two\r\n\r\n"
    head = parse_head(data, LIMITS, ALLOWED)
    assert head.headers[b"x-a"] == b"one, two"
    assert (head.method, head.path, head.query) == ("GET", "/a", "b=c")


def test_keep_alive_is_for_http_1_1_that_does_not_say_close() -> None:
    assert parse_head(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", LIMITS, ALLOWED).keep_alive
    close = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    assert not parse_head(close, LIMITS, ALLOWED).keep_alive
    old = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    assert not parse_head(old, LIMITS, ALLOWED).keep_alive


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (b"G" * 1025, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 4096, 431),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    ],
)
def test_what_can_never_become_a_head_is_refused_before_it_ends(
    received: bytes, status: int
) -> None:
    with pytest.raises(RefusedError) as refused:
        check_unfinished(received, LIMITS)
    assert refused.value.status == status


def test_the_same_bytes_are_judged_once() -> None:
    heads = Heads(LIMITS, ALLOWED)
    data = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    assert heads.judge(data) is heads.judge(bytes(data))


def test_a_refusal_is_not_kept_and_is_the_same_again() -> None:
    heads = Heads(LIMITS, ALLOWED)
    for _ in range(2):
        with pytest.raises(RefusedError):
            heads.judge(b"GET / HTTP/1.1\r\n\r\n")
    assert len(heads) == 0


def test_kept_heads_are_bounded_and_the_used_ones_stay() -> None:
    heads = Heads(LIMITS, ALLOWED)
    used = b"GET /used HTTP/1.1\r\n" + HOST + b"\r\n"
    kept = heads.judge(used)
    for number in range(10_000):
        heads.judge(b"GET /%d HTTP/1.1\r\n" % number + HOST + b"\r\n")
        if number % 1000 == 0:
            assert heads.judge(used) is kept
    assert len(heads) <= 2 * 2048
    large = b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 3000 + b"\r\n\r\n"
    assert heads.judge(large) is not heads.judge(large)


@given(st.binary(max_size=300))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    assert 200 <= status_of(data + b"\r\n\r\n") < 600


@given(
    st.lists(
        st.sampled_from(
            [
                b"Host: localhost:8080",
                b"A: b",
                b"Content-Length: 5",
                b"\x00",
                b" x",
                b"Transfer-Encoding: chunked",
                b"Expect: 100-continue",
                b"Upgrade: websocket",
                b":",
                b"x:",
            ]
        ),
        max_size=8,
    )
)
def test_any_combination_of_fields_gets_a_verdict(fields: list[bytes]) -> None:
    status_of(b"POST /mcp HTTP/1.1\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n")
