"""A server that is no Redis, or one that refuses: it says the same to everybody."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def _answer(client: socket.socket, reply: bytes) -> None:
    """Say it once, and stay until the client has left; who has nothing to say leaves at once."""
    with client, suppress(OSError):
        client.recv(4096)
        if reply:
            client.sendall(reply)
            while client.recv(4096):
                pass


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """Be a server that says the same to everybody, on the port that is returned."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=_answer, args=(client, reply), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
