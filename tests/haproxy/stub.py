"""Servers that stand where gateways would: one that tells what it was sent, one that is rude."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from haproxy.balancer import Balancer
from haproxy.gateways import Gateway
from haproxy.redis_node import free_port


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Checks that are cut off when HAProxy ends are no news."""


class Stub:
    """Answers with the headers of the request; or takes it and hangs up, when it is rude."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.is_rude = False
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                if self.path != "/ready":
                    stub.requests.append(f"{self.command} {self.path}")
                    self.rfile.read(int(self.headers.get("Content-Length", "0")))
                    if stub.is_rude:
                        self.close_connection = True
                        return
                body = json.dumps(self.headers.items()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def __getattr__(self, name: str) -> object:
                if name in {"do_GET", "do_POST"}:
                    return self._answer
                raise AttributeError(name)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def balanced(
    directory: Path, gateways: Sequence[Gateway], variables: Mapping[str, str]
) -> Iterator[Balancer]:
    """Run HAProxy with the operators' file in front of three gateways."""
    ports = [free_port() for _ in range(3)]
    balancer = Balancer(directory / "haproxy", directory / "haproxy.log", ports)
    balancer.up({**balancer.variables(gateways), **variables})
    try:
        yield balancer
    finally:
        balancer.down()


@contextmanager
def balanced_stubs(directory: Path, **variables: str) -> Iterator[tuple[Balancer, list[Stub]]]:
    """Run HAProxy in front of three stubs."""
    with ExitStack() as stack:
        stubs = [Stub() for _ in range(3)]
        for stub in stubs:
            stack.callback(stub.close)
        gateways = [
            Gateway(f"gateway{n}", directory / str(n), directory / "log", [stub.port] * 3)
            for n, stub in enumerate(stubs, 1)
        ]
        yield stack.enter_context(balanced(directory, gateways, variables)), stubs


def asked(port: int, request: bytes) -> bytes:
    """Return all that comes back for some bytes, until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def got(method: str, path: str, *lines: str, body: bytes = b"") -> bytes:
    """Return a request after which the connection closes."""
    fields = "".join(f"{line}\r\n" for line in lines)
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
