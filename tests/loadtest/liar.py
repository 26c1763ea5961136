"""A server on real sockets that answers its questions itself, and can lie about them."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from loadtest import places
from loadtest.places import Target

#: What is done with the reply to the question of this number, on its connection.
Lie = Callable[[socket.socket, int, bytes], None]


def honest(sock: socket.socket, number: int, reply: bytes) -> None:
    """Send it."""
    sock.sendall(reply)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, handler: type[socketserver.BaseRequestHandler], lie: Lie) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.lie = lie
        self.lock = threading.Lock()
        self.asked = 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the load leaves when it is done."""


class _Frontends(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        request = self.request.recv(65536)
        assert b"Upgrade: websocket" in request
        self.request.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        self.request.recv(65536)
        payload = b'{"type":"connect_ack","status":"connected"}'
        self.request.sendall(b"\x81%c%b" % (len(payload), payload))
        while self.request.recv(65536):
            pass


class _Callers(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        data = b""
        while chunk := self.request.recv(65536):
            data += chunk
            while (end := _end(data)) is not None:
                message = json.loads(data[:end].partition(b"\r\n\r\n")[2])
                data = data[end:]
                self._reply(message)

    def _reply(self, message: dict[str, Any]) -> None:
        method = message["method"]
        if method != "tools/call":
            self.request.sendall(
                response({"jsonrpc": "2.0", "id": message.get("id"), "result": {}})
            )
            return
        with self.server.lock:
            self.server.asked += 1
            number = self.server.asked
        text = message["params"]["arguments"]["question"]
        self.server.lie(self.request, number, answer(message["id"], text))


def response(message: dict[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    head = b"HTTP/1.1 200 OK\r\nMcp-Session-Id: s\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


def answer(number: int, text: str) -> bytes:
    """Return the reply that says this text."""
    content = {"content": [{"type": "text", "text": text}]}
    return response({"jsonrpc": "2.0", "id": number, "result": content})


def _end(data: bytes) -> int | None:
    head, found, _ = data.partition(b"\r\n\r\n")
    if not found:
        return None
    length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
    end = len(head) + 4 + length
    return end if len(data) >= end else None


@contextmanager
def lying_server(lie: Lie = honest) -> Iterator[Target]:
    """Run one until the end of the block."""
    servers = [_Server(_Frontends, lie), _Server(_Callers, lie)]
    threads = [threading.Thread(target=each.serve_forever, args=(0.01,)) for each in servers]
    for thread in threads:
        thread.start()
    ws, mcp = (each.server_address[1] for each in servers)
    try:
        yield Target(places.ws_place(ws), places.mcp_place(mcp))
    finally:
        for each, thread in zip(servers, threads, strict=True):
            each.shutdown()
            thread.join()
            each.server_close()
