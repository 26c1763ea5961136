"""Connections through proxies: who the client is, and who may have how many."""

from __future__ import annotations

from functools import partial

import pytest

from gateway.http.access import Allowlist
from gateway.http.access import Settings as AccessSettings
from gateway.http.head import Heads, Limits
from gateway.http.messages import Request, Responder
from gateway.http.proxied import opened
from gateway.http.proxies import Proxies
from gateway.http.response import Site
from tests.wire import Clock, Wire

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
HEADER = b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 80\r\n"
REFUSAL = b"HTTP/1.1 503 No\r\n\r\n"


class Peer:
    """A connection from an address, with what was asked on it."""

    def __init__(self, address: str, *, protocol: bool) -> None:
        self.clock = Clock()
        self.wire = Wire()
        self.wire.peer = address
        self.requests: list[Request] = []
        limits = Limits()
        site = Site(
            self._handle,
            Heads(limits, Allowlist(AccessSettings(), [8080])),
            limits,
            self.clock.timers,
            lambda *_: None,
            proxies=Proxies(["10.0.0.0/8"], speaks_proxy_protocol=protocol),
        )
        self.wire.speak(partial(opened, site, REFUSAL))

    def _handle(self, request: Request, responder: Responder) -> None:
        self.requests.append(request)
        responder.respond(200)

    def send(self, data: bytes, step: int = 0) -> None:
        for at in range(0, len(data), step or len(data)):
            if self.wire.is_open:
                self.wire.protocol.data_received(data[at : at + (step or len(data))])

    @property
    def told(self) -> list[str]:
        """The address of each request."""
        return [request.peer for request in self.requests]


def asking(*lines: str) -> bytes:
    return GET + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def test_a_proxys_word_counts_for_each_request_of_its_own() -> None:
    peer = Peer("10.0.0.1", protocol=False)
    for field in ("X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 4.3.2.1", "Forwarded: for=1.1.1.1"):
        peer.send(asking(field))
        # From the heads that are kept, too.
        peer.send(asking(field))
    peer.send(asking())
    clients = ["1.2.3.4", "1.2.3.4", "4.3.2.1", "4.3.2.1", "1.1.1.1", "1.1.1.1"]
    assert peer.told == [*clients, "10.0.0.1"]
    assert peer.wire.peer == "10.0.0.1"


@pytest.mark.parametrize("protocol", [False, True])
def test_a_strangers_word_counts_for_nothing(protocol: bool) -> None:
    peer = Peer("6.6.6.6", protocol=protocol)
    peer.send(asking("X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4"))
    assert peer.told == ["6.6.6.6"]
    peer.send(HEADER + asking())
    assert peer.wire.sent.count(b"HTTP/1.1 400 ") == 1


@pytest.mark.parametrize("step", [0, 1, 7])
def test_a_connection_is_the_clients_once_its_header_is_there(step: int) -> None:
    peer = Peer("10.0.0.1", protocol=True)
    peer.send(HEADER + asking("X-Forwarded-For: 9.9.9.9"), step)
    peer.send(asking())
    # It is a stranger's from then on, who may say what it wants.
    assert peer.told == ["1.2.3.4", "1.2.3.4"]
    assert peer.wire.peer == "1.2.3.4"
    assert peer.wire.sent.count(b"HTTP/1.1 200 ") == 2


def test_a_proxy_that_speaks_for_itself_keeps_its_address() -> None:
    peer = Peer("10.0.0.1", protocol=True)
    peer.send(b"PROXY UNKNOWN\r\n" + asking())
    assert peer.told == ["10.0.0.1"]


def test_a_proxy_without_its_header_is_told_so() -> None:
    peer = Peer("10.0.0.1", protocol=True)
    peer.send(asking())
    assert peer.told == []
    head, _, body = peer.wire.sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert peer.wire.closing


def test_half_a_header_is_not_waited_for_for_long() -> None:
    peer = Peer("10.0.0.1", protocol=True)
    for byte in HEADER:
        peer.send(bytes([byte]))
        peer.clock.pass_time(1.0)
    assert peer.wire.aborted
    assert peer.told == []
    silent = Peer("10.0.0.1", protocol=True)
    silent.clock.pass_time(5.2)
    assert silent.wire.aborted
    gone = Peer("10.0.0.1", protocol=True)
    gone.send(HEADER[:5])
    assert gone.wire.protocol.eof_received() is False
    gone.wire.protocol.drained()
    gone.wire.abort()
    gone.clock.pass_time(10)


def test_a_client_that_has_all_it_may_have_is_refused_by_its_own_address() -> None:
    peer = Peer("10.0.0.1", protocol=True)
    peer.wire.may_be_named = False
    peer.send(HEADER + asking())
    assert (peer.told, peer.wire.sent, peer.wire.closing) == ([], REFUSAL, True)


def test_what_is_upgraded_counts_as_the_clients() -> None:
    upgrade = asking("X-Forwarded-For: 1.2.3.4", "Upgrade: websocket", "Connection: Upgrade")
    peer = Peer("10.0.0.1", protocol=False)
    peer.send(upgrade)
    assert (peer.told, peer.wire.peer) == (["1.2.3.4"], "1.2.3.4")
    full = Peer("10.0.0.1", protocol=False)
    full.wire.may_be_named = False
    full.send(upgrade)
    assert (full.told, full.wire.closing) == ([], True)
    assert full.wire.sent.startswith(b"HTTP/1.1 503 ")
