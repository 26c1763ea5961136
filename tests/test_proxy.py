"""What the proxy does to a connection, in front of a server that answers in kind."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import pytest
import trio

from haproxy.redis_cluster import RedisCluster, RedisNode
from tests.proxy import ClusterProxy, Proxy
from tests.proxy_traffic import Direction

# Nobody waits this long when all is well.
PATIENCE = 30


class Target(socketserver.ThreadingTCPServer):
    """Answers each line with the same line; what it was told is in `lines`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Line)
        self.lines: list[bytes] = []
        self.told = threading.Condition()

    def wait_for(self, line: bytes) -> None:
        with self.told:
            assert self.told.wait_for(lambda: line in self.lines, PATIENCE), self.lines


class Line(socketserver.StreamRequestHandler):
    """A connection to the target."""

    def handle(self) -> None:
        assert isinstance(self.server, Target)
        with contextlib.suppress(OSError):
            for line in self.rfile:
                with self.server.told:
                    self.server.lines.append(line)
                    self.server.told.notify_all()
                self.wfile.write(line)


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(target: Target) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", target.server_address[1])) as proxy:
        yield proxy


class Client:
    """A client of the proxy, connected and known to be."""

    def __init__(self, proxy: Proxy) -> None:
        self.sock = socket.create_connection(proxy.address, PATIENCE)
        self.stream = self.sock.makefile("rb")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            assert self.ask(b"hello\n") == b"hello\n"
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.stream.close()
        self.sock.close()

    def ask(self, line: bytes) -> bytes:
        self.sock.sendall(line)
        return self.stream.readline()

    def is_silent(self, seconds: float = 0.05) -> bool:
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(1)
        except TimeoutError:
            return True
        else:
            return False
        finally:
            self.sock.settimeout(PATIENCE)

    def is_reset(self) -> bool:
        try:
            self.sock.recv(1)
        except ConnectionError:
            return True
        return False


def test_all_passes_and_is_counted(proxy: Proxy) -> None:
    long = b"x" * 3_000_000 + b"\n"
    with Client(proxy) as client, Client(proxy):
        assert proxy.connections == proxy.open_connections == 2
        # More than any buffer holds: both ways have to move at once.
        sender = threading.Thread(target=client.sock.sendall, args=(long,))
        sender.start()
        assert client.stream.readline() == long
        sender.join()
        size = len(long) + 2 * len("hello\n")
        assert proxy.received == proxy.delivered == {"request": size, "reply": size}


def test_an_end_is_passed_on_and_half_of_one_too(proxy: Proxy) -> None:
    with Client(proxy) as client:
        client.sock.sendall(b"last\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.stream.read() == b"last\n"


def test_a_cut_resets_everybody_and_newcomers_are_served(proxy: Proxy) -> None:
    with Client(proxy) as first, Client(proxy) as second:
        proxy.cut()
        assert proxy.open_connections == 0
        assert first.is_reset()
        assert second.is_reset()
        with Client(proxy):
            assert proxy.connections == 3


def test_newcomers_are_refused_while_the_others_go_on(proxy: Proxy) -> None:
    with Client(proxy) as client:
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(proxy.address, PATIENCE)
        assert client.ask(b"still\n") == b"still\n"
        proxy.accept()
        with Client(proxy):
            pass


def test_a_delay_holds_both_ways(proxy: Proxy) -> None:
    with Client(proxy) as client:
        proxy.delay(0.05)
        begun = time.monotonic()
        assert client.ask(b"slowly\n") == b"slowly\n"
        assert time.monotonic() - begun >= 0.1
        proxy.calm()
        assert client.ask(b"again\n") == b"again\n"


def test_what_a_black_hole_swallows_is_gone_and_so_is_the_connection(
    proxy: Proxy, target: Target
) -> None:
    with Client(proxy) as client, Client(proxy) as quiet:
        proxy.blackhole()
        swallowed = proxy.expect(b"lost\n")
        client.sock.sendall(b"lost\n")
        swallowed.wait()
        assert client.is_silent()
        proxy.heal()
        assert client.is_reset()
        # Who lost nothing goes on.
        assert quiet.ask(b"here\n") == b"here\n"
        assert b"lost\n" not in target.lines


def test_what_a_black_hole_holds_comes_when_it_is_healed(proxy: Proxy, target: Target) -> None:
    with Client(proxy) as client:
        proxy.blackhole(hold=True)
        client.sock.sendall(b"held\n")
        assert client.is_silent()
        assert b"held\n" not in target.lines
        proxy.heal()
        assert client.stream.readline() == b"held\n"


def test_a_black_hole_tells_nobody_of_an_end(proxy: Proxy) -> None:
    with Client(proxy) as client:
        proxy.blackhole(hold=True)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.is_silent()
        proxy.heal()
        assert client.stream.read() == b""


def test_a_lost_reply_is_to_a_request_that_was_done(proxy: Proxy, target: Target) -> None:
    with Client(proxy) as client, Client(proxy) as other:
        proxy.lose_replies(1, lambda request: b"do" in request)
        assert client.ask(b"not this\n") == b"not this\n"
        client.sock.sendall(b"do it\n" + b"and this\n")
        assert client.is_reset()
        target.wait_for(b"and this\n")
        assert target.lines.count(b"do it\n") == 1
        assert proxy.replies_lost == 1
        assert other.ask(b"do that\n") == b"do that\n"


def test_so_many_replies_are_lost(proxy: Proxy, target: Target) -> None:
    with Client(proxy) as first, Client(proxy) as second, Client(proxy) as third:
        proxy.lose_replies(2)
        for client in (first, second):
            client.sock.sendall(b"one\n")
            assert client.is_reset()
        assert third.ask(b"three\n") == b"three\n"
        assert target.lines.count(b"one\n") == 2


def test_a_slice_delivers_tiny_pieces_in_order(proxy: Proxy) -> None:
    text = bytes(range(48, 112)) + b"\n"
    with Client(proxy) as client:
        proxy.slice(1, gap=0.001)
        client.sock.sendall(text)
        pieces = [client.sock.recv(1000)]
        while not pieces[-1].endswith(b"\n"):
            pieces.append(client.sock.recv(1000))
        assert b"".join(pieces) == text
        assert len(pieces) > 1


def test_faults_can_be_timed_by_what_is_seen(proxy: Proxy, target: Target) -> None:
    seen: list[tuple[Direction, bytes]] = []

    def cut_it(direction: Direction, data: bytes) -> None:
        seen.append((direction, data))
        if data == b"now\n":
            proxy.cut()

    with Client(proxy) as client:
        proxy.watch(cut_it)
        assert client.ask(b"later\n") == b"later\n"
        client.sock.sendall(b"now\n")
        assert client.is_reset()
        assert seen == [("request", b"later\n"), ("reply", b"later\n"), ("request", b"now\n")]
        assert b"now\n" not in target.lines


def test_bytes_are_waited_for_across_the_bounds_of_pieces(proxy: Proxy) -> None:
    with Client(proxy) as client:
        first, second = proxy.expect(b"EVALSHA"), proxy.expect(b"EVALSHA", "reply")
        client.sock.sendall(b"EVAL")
        proxy.slice(3)
        assert client.ask(b"SHA 1\n") == b"EVALSHA 1\n"
        first.wait()
        second.wait()
        with pytest.raises(AssertionError, match="no request with b'other'"):
            proxy.wait_for(b"other", seconds=0.01)


async def test_a_test_with_trio_uses_it_alike(proxy: Proxy) -> None:
    with trio.fail_after(PATIENCE):
        stream = await trio.open_tcp_stream(*proxy.address)
        async with stream:
            hello = proxy.expect(b"hello\n", "reply")
            await stream.send_all(b"hello\n")
            await hello.seen()
            assert await stream.receive_some() == b"hello\n"
            proxy.cut()
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()


def test_nobody_at_the_target_is_a_reset(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = unused.getsockname()
    with Proxy(address) as lonely, pytest.raises(ConnectionError), Client(lonely):
        pass


def test_nobody_listens_after_the_end(target: Target) -> None:
    with Proxy(("127.0.0.1", target.server_address[1])) as proxy, Client(proxy) as client:
        proxy.close()
        assert client.is_reset()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(proxy.address, PATIENCE)


@pytest.mark.slow
def test_a_lost_reply_of_a_real_server_leaves_its_effect(redis_node: RedisNode) -> None:
    redis_node.command("DEL", "counted")
    with Proxy(redis_node.address) as proxy:
        behind = RedisNode(redis_node.directory, proxy.port)
        proxy.lose_replies(1, lambda request: b"INCR" in request)
        with pytest.raises(ConnectionError):
            behind.command("INCR", "counted")
        assert behind.command("GET", "counted") == "1"


@pytest.mark.slow
def test_every_node_of_a_cluster_has_a_proxy(redis_cluster: RedisCluster) -> None:
    with ClusterProxy(redis_cluster) as proxies:
        assert list(proxies.addresses) == [node.address for node in redis_cluster.nodes]
        assert proxies.url.count(",") == redis_cluster.url.count(",") == 2
        node = redis_cluster.primary_of(redis_cluster.slot_of("where"))
        _, port = proxies.addresses[node.address]
        # Which nodes are seeds changes with the primaries: each stands there by its proxy.
        expected = redis_cluster.url
        for (name, number), (proxy_name, proxy_number) in proxies.addresses.items():
            expected = expected.replace(f"{name}:{number}", f"{proxy_name}:{proxy_number}")
        assert proxies.url == expected
        behind: Any = RedisNode(node.directory, port)
        assert behind.command("SET", "where", "here") == "OK"
        proxies.of(node).refuse()
        with pytest.raises(ConnectionRefusedError):
            behind.command("GET", "where")
        proxies.calm()
        assert behind.command("GET", "where") == "here"
