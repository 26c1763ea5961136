"""Nothing of a credential is told to anybody, and nothing of a question to logs and metrics.

Credentials that occur nowhere else are used well and badly in every way that there is; then
all that came out of the gateway is searched for them.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
import trio

from gateway.clock import WallClock
from haproxy.redis_cluster import RedisNode, running_node
from tests.gateway.auth.signing import AUDIENCE, ISSUER, SECRET
from tests.live.admission import (
    PATIENCE,
    bearer,
    frontend_at,
    new_key,
    new_ticket,
    request,
    run_key,
)
from tests.live.caller import MODERN, caller_at
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.peer import Peer, frame, host
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

CONTENT: Final = (
    "canary-question",
    "canary-context",
    "canary-answer",
    "canary-draft",
    "canary-word",
)
META: Final = "io.modelcontextprotocol/"


class Secrets:
    """The credentials, and what of them must be found nowhere."""

    def __init__(self, store: str) -> None:
        self.where = ("--store", store)
        self.key = new_key(self.where, "ann", "ask", "answer", "notify")
        self.revoked = new_key(self.where, "bob", "ask", "answer")
        run_key("revoke", self.revoked, *self.where)
        self.unknown = f"fr_{'0' * 16}_{'canary' * 7}c"
        self.token = self._token(600.0)
        self.expired = self._token(-600.0)
        self.forged = self.token[:-8] + "canaryAA"
        self.tickets: list[str] = []

    @staticmethod
    def _token(lifetime: float) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "ann",
            "tenant": "acme",
            "scope": "ask answer",
            "exp": WallClock().now() + lifetime,
            "jti": "canary-token",
        }
        return jwt.encode(claims, SECRET, "HS256")

    def all(self) -> list[str]:
        return [self.key, self.revoked, self.unknown, self.token, self.expired, self.forged]

    def traces(self) -> list[str]:
        """Return what gives them away: their ends, which nothing else has."""
        return [each[-20:] for each in (*self.all(), *self.tickets)] + [SECRET.decode()]


def requests_with(credential: str, port: int) -> Iterator[bytes]:
    """Return requests that show a credential where it does not belong, or beside what is bad."""
    good = f"Authorization: Bearer {credential}\r\n"
    kind = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    modern = f"MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\nMcp-Name: ask_user\r\n"

    def sent(line: str, headers: str = good, body: str = "", named: str = "") -> bytes:
        place = named or host(port).decode()
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        end = "Connection: close\r\n"
        return f"{line} HTTP/1.1\r\n{place}{end}{headers}{length}\r\n{body}".encode()

    for body in (
        "{",
        credential,
        f'{{"{credential}"',
        f'["{credential}"]',
        "7",
        "[" * 5000,
        "\x00",
    ):
        yield sent("POST /mcp", good + kind + modern, body)
        yield sent("POST /mcp", kind + modern, body)
    for path in ("/mcp", "/ws", "/ticket", "/", "/health", "/metrics", "/config.json", "/nowhere"):
        for method in ("GET", "POST", "OPTIONS", "DELETE", "PUT"):
            yield sent(f"{method} {path}", good)
        for query in ("token", "access_token", "api_key", "x", "ticket"):
            yield sent(f"GET {path}?{query}={credential}", "")
        yield sent(f"GET {path}/{credential}", "")
        yield sent(f"GET {path}#{credential}", "")
    yield sent(f"GET /{credential}", good)
    yield sent(f"GET {credential}", good)
    yield sent(f"{credential} /mcp", good)
    yield f"GET /mcp {credential}\r\n\r\n".encode()
    yield sent("GET /mcp", "", named=f"Host: {credential}\r\n")
    for name in (
        *("X-Api-Key", "Cookie", "Origin", "Referer", "Proxy-Authorization", "Mcp-Session-Id"),
        *("MCP-Protocol-Version", "Mcp-Method", "Mcp-Name", "Last-Event-ID", "Expect", "Accept"),
        *("Sec-WebSocket-Protocol", "Content-Length", "Transfer-Encoding", "Content-Type"),
        *("Authorization", "If-None-Match", "Range", "Upgrade", "Content-Encoding", credential),
    ):
        for path in ("/mcp", "/ws", "/ticket"):
            yield sent(f"POST {path}", f"{name}: {credential}\r\n")
            yield sent(f"GET {path}", f"{name}: {credential}\r\n{good * (name != 'Authorization')}")
    for value in (
        f"Basic {credential}",
        f"Bearer {credential} x",
        f"bearer\t{credential}",
        "Bearer",
    ):
        yield sent("POST /mcp", f"Authorization: {value}\r\n", "{}")
    yield sent("POST /mcp", good * 2, "{}")
    yield sent("POST /mcp", good + f"A: {'a' * 40_000}\r\n", "{}")
    yield sent("POST /mcp", f"Authorization: Bearer {credential}{'a' * 10_000}\r\n", "{}")
    yield sent(f"GET /{'a' * 9_000}{credential}", "")
    yield sent("POST /mcp", good + "Content-Length: 99999999\r\n")
    yield sent("POST /mcp", good + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")
    for arguments in (
        {"question": 7, credential: 1},
        {"question": "?", "audience": credential},
        {"question": "?", "timeout_seconds": credential},
        {"question": "?", "schema": credential},
        {"question": "?", "choices": credential},
    ):
        yield sent("POST /mcp", good + kind + modern, _call(arguments))
    for method, params in (
        (credential, {}),
        ("tools/call", {"name": credential}),
        ("resources/read", {"uri": credential}),
        ("prompts/get", {"name": credential}),
        ("tools/list", {"cursor": credential}),
        ("logging/setLevel", {"level": credential}),
        ("initialize", {"protocolVersion": credential}),
        ("tools/call", {"name": "collect_answer", "arguments": {"question_id": credential}}),
    ):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        yield sent("POST /mcp", good + kind, body)


def _call(arguments: dict[str, Any]) -> str:
    meta = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": {}}
    params = {"name": "ask_user", "arguments": arguments, "_meta": meta}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


def messages_with(credential: str) -> Iterator[bytes]:
    """Return what a frontend may say with a credential in the wrong place."""
    yield credential.encode()
    yield f'{{"type":"connect","token":"{credential}"'.encode()
    for message in (
        {"type": credential},
        {"type": "connect", "token": [credential]},
        {"type": "connect", "token": {credential: 1}},
        {"type": "connect", credential: 1, "token": 7},
        {"type": "connect", "user": credential * 10},
        {"type": "user_response", "request_id": 7, "answer": credential},
        {"type": "user_response", "request_id": "1", "content": credential},
        {"type": "connect", "token": credential + "x"},
    ):
        yield json.dumps(message).encode()


def upgrade(port: int, offered: str) -> bytes:
    """Return a WebSocket's handshake that offers a subprotocol."""
    return (
        f"GET /ws HTTP/1.1\r\n{host(port).decode()}Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Sec-WebSocket-Protocol: {offered}\r\n\r\n"
    ).encode()


def responses_of(port: int, sent: bytes) -> bytes:
    """Send a request, and return all that came back until the gateway closed."""
    with Peer(port) as peer:
        peer.send(sent)
        return peer.read_to_end()


async def use_well(gateway: GatewayProcess, it: Secrets) -> None:
    """Ask, draft, answer and tell with every kind of credential."""
    for credential in (it.key, it.token):
        async with (
            frontend_at(gateway.ws_port, credential) as person,
            caller_at(gateway.mcp_port, credential=credential) as caller,
        ):
            question = {"question": CONTENT[0], "context": CONTENT[1]}
            await caller.send("tools/call", {"name": "ask_user", "arguments": question})
            response = await caller.response()
            shown = await person.question()
            await person.say(type="draft", request_id=shown["request_id"], text=CONTENT[3])
            assert await person.answer(shown, CONTENT[2]) == "accepted"
            assert await person.answer(shown, CONTENT[2]) == "duplicate"
            await response.result()
            await caller.send(
                "tools/call", {"name": "notify_user", "arguments": {"message": CONTENT[4]}}
            )
            await (await caller.response()).result()
        it.tickets.append((await new_ticket(gateway.ws_port, credential)).json()["ticket"])


def use_badly(gateway: GatewayProcess, it: Secrets) -> Iterator[bytes]:
    """Show every credential in every wrong way; return what is said to that."""
    for credential in it.all():
        for port in gateway.ports.values():
            for sent in requests_with(credential, port):
                yield responses_of(port, sent)
        for message in messages_with(credential):
            handshake = upgrade(gateway.ws_port, "frontend-router.v1")
            yield responses_of(gateway.ws_port, handshake + frame(1, message) + frame(8))
    for ticket in it.tickets:
        for offered in (f"frontend-router.ticket.{ticket}x", ticket, f"x.{ticket}"):
            yield responses_of(gateway.ws_port, upgrade(gateway.ws_port, offered) + frame(8))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisNode]:
    """One whose values can be read as they are."""
    with running_node(tmp_path / "redis", 0, "--rdbcompression", "no") as node:
        yield node


def found(traces: list[str], texts: list[str]) -> list[str]:
    """Return where a trace is, with what stands around it."""
    return [
        text[max(0, text.index(trace) - 200) : text.index(trace) + 60]
        for text in texts
        for trace in traces
        if trace in text
    ]


async def test_nothing_is_told_that_nobody_should_hear(redis: RedisNode, tmp_path: Path) -> None:
    it = Secrets(redis.url)
    secret = trio.Path(tmp_path / "secret")
    await secret.write_bytes(SECRET)
    flags = (
        *("--log-level", "debug", "--auth-failures", "1000000", "--auth-refresh-seconds", "0.2"),
        *("--auth-keys", "store", "--store", redis.url),
        *("--auth-secret-file", str(secret), "--auth-issuer", ISSUER),
        *("--auth-audience", AUDIENCE, "--http-idle-seconds", "5"),
    )
    with running_gateway(*LEAVE_AT_ONCE, *flags) as gateway:
        # All of what is logged counts here, not only the end of it.
        gateway.log = deque(gateway.log)
        with trio.fail_after(PATIENCE):
            await use_well(gateway, it)
        said = [
            answer.decode("latin-1")
            for answer in await trio.to_thread.run_sync(lambda: list(use_badly(gateway, it)))
        ]
        assert {200, 400, 401, 404, 405, 413, 431} <= {int(each[9:12]) for each in said if each}
        assert not [each for each in said if " 500 " in each[:20]]
        kept = [str(name) for name in redis.command("KEYS", "*")]
        values = [redis.command("DUMP", name) for name in kept]
        told = [
            (await request(port, path, headers=bearer(it.key))).text
            for port in gateway.ports.values()
            for path in ("/metrics", "/health", "/ready", "/live", "/config.json")
        ]
        # Something wrong while it is at work is told as well.
        redis.kill()
        await trio.to_thread.run_sync(gateway.wait_for_event, "credentials_unreadable")
        told += [
            (await request(port, path, headers=bearer(it.key))).text
            for port in gateway.ports.values()
            for path in ("/metrics", "/health", "/mcp", "/ws")
        ]
        redis.start()
    logged = gateway.text()
    assert len(it.tickets) == 2
    assert '"denied"' in logged
    # What is kept can be read here: the question is in it.
    assert found([CONTENT[0]], list(map(str, values)))
    assert found(it.traces(), said) == []
    assert found(it.traces(), [logged, *told, *kept, *map(str, values)]) == []
    assert found([*CONTENT, "canary"], [logged, *told, *kept]) == []
