"""Who serves a JWK set on the loopback address, well or badly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class JwksServer(ThreadingHTTPServer):
    """Answers every GET with what it was told last."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Answer)
        self.body = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        #: The paths that were asked for, with their headers.
        self.asked: list[tuple[str, dict[str, str]]] = []
        #: Nobody is answered before this is set.
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/jwks"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.may_answer.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: who gives up early is what is tested."""


class _Answer(BaseHTTPRequestHandler):
    server: JwksServer

    def do_GET(self) -> None:
        told = self.server
        told.asked.append((self.path, {name.lower(): text for name, text in self.headers.items()}))
        told.may_answer.wait()
        self.send_response(told.status)
        for name, text in told.headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(told.body)

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@contextmanager
def jwks_server(body: bytes, port: int = 0) -> Iterator[JwksServer]:
    """Serve a JWK set."""
    with JwksServer(port) as server:
        server.body = body
        yield server
