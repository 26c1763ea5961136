"""Credentials, tickets and headers that somebody made up (A11, A14, B13, E13).

Nothing of them is believed or fetched, and nothing of what is secret is told.
"""

from __future__ import annotations

import base64
import binascii
import json
import random  # noqa: TID251 - with a seed
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.live.caller import MODERN
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.credentials import new_key
from tests.live.peer import Answer, Peer, assert_serves, frame, host, upgrade_request, websocket
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

_SECRET = "a-secret-that-is-long-enough-for-HS256-canary"
_CLAIMS = {
    "iss": "https://issuer.example", "aud": "https://router.example/mcp", "exp": 4_000_000_000,
    "sub": "agent", "tenant": "acme", "scope": "ask answer list notify",
}  # fmt: skip


class Guarded(NamedTuple):
    """A gateway that wants credentials, and good ones for it."""

    gateway: GatewayProcess
    key: str
    person: str
    token: str
    private: ec.EllipticCurvePrivateKey


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """It never gives up on an address that is wrong, or nothing would be tried after a while."""
    folder = tmp_path_factory.mktemp("credentials")
    private = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private.public_key()))
    (folder / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "known"}]}))
    (folder / "secret").write_text(_SECRET)
    key = new_key(str(folder / "keys.json"), "acme", "agent", "ask", "list", "notify")
    person = new_key(str(folder / "keys.json"), "acme", "ann", "answer")
    flags = (
        *("--auth-keys", str(folder / "keys.json"), "--auth-jwks", str(folder / "jwks.json")),
        *("--auth-secret-file", str(folder / "secret"), "--auth-failures", "1000000"),
        *("--auth-issuer", str(_CLAIMS["iss"]), "--auth-audience", str(_CLAIMS["aud"])),
    )
    with running_gateway(*LEAVE_AT_ONCE, "--log-level", "debug", *flags) as gateway:
        token = jwt.encode(_CLAIMS, _SECRET, "HS256")
        yield Guarded(gateway, key, person, token, private)


def call_of(port: int, tool: str, arguments: dict[str, Any], *lines: bytes) -> bytes:
    meta = "io.modelcontextprotocol/"
    described = {f"{meta}protocolVersion": MODERN, f"{meta}clientCapabilities": {}}
    params = {"name": tool, "arguments": arguments, "_meta": described}
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    ).encode()
    return (
        b"POST /mcp HTTP/1.1\r\n%bContent-Type: application/json\r\nMCP-Protocol-Version: %b\r\n"
        b"Accept: application/json, text/event-stream\r\nMcp-Method: tools/call\r\n"
        b"Mcp-Name: %b\r\nContent-Length: %d\r\n%b\r\n%b"
    ) % (host(port), MODERN.encode(), tool.encode(), len(body), b"".join(lines), body)


def bearer(credential: str | bytes) -> bytes:
    shown = credential if isinstance(credential, bytes) else credential.encode()
    return b"Authorization: Bearer %b\r\n" % shown


def listed(peer: Peer, *lines: bytes) -> Answer:
    """Ask who is there, on a connection that is kept."""
    peer.send(call_of(peer.port, "list_frontends", {}, *lines))
    return peer.answer()


# -- headers that a proxy might set, said by somebody else

CLAIMS_OF_HEADERS = [
    b"X-Tenant: globex\r\n",
    b"X-Tenant-Id: globex\r\nX-User: root\r\nX-Scopes: admin\r\n",
    b"X-Forwarded-User: root\r\nX-Remote-User: root\r\nRemote-User: root\r\n",
    b"X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nForwarded: for=10.0.0.1;by=x\r\n",
    b"X-Forwarded-Host: router.example\r\nX-Forwarded-Proto: https\r\n",
    b"X-Original-URL: /health\r\nX-Rewrite-URL: /health\r\n",
    b"X-HTTP-Method-Override: GET\r\nX-Method-Override: GET\r\n",
    b"Proxy-Authorization: Bearer x\r\nCookie: token=x; session=x\r\n",
]


@pytest.mark.parametrize("lines", CLAIMS_OF_HEADERS)
def test_what_a_header_claims_lets_nobody_in_and_makes_nobody_somebody_else(
    guarded: Guarded, lines: bytes
) -> None:
    port = guarded.gateway.mcp_port
    with Peer(port) as peer, websocket(guarded.gateway.ws_port) as person:
        person.send(frame(1, json.dumps({"type": "connect", "token": guarded.person}).encode()))
        assert json.loads(person.frame().payload)["type"] == "connect_ack"
        assert listed(peer, lines).status == 401
        plain = listed(peer, bearer(guarded.key))
        assert b"ann" in plain.body
        claimed = listed(peer, bearer(guarded.key), lines)
        assert (claimed.status, claimed.body) == (plain.status, plain.body)
    guarded.gateway.wait_for_event("denied")
    denied = [each for each in guarded.gateway.events if each.get("event") == "denied"]
    assert {each["peer"] for each in denied} == {"127.0.0.1"}


# -- places to fetch from


@contextmanager
def canary_listener() -> Iterator[socket.socket]:
    """Listen where nobody has any business."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def nobody_came(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        sock.accept()[0].close()
    except BlockingIOError:
        return True
    return False


def test_nothing_that_a_credential_or_a_schema_names_is_fetched(guarded: Guarded) -> None:
    with canary_listener() as trap, Peer(guarded.gateway.mcp_port) as peer:
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/keys.json"
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(guarded.private.public_key()))
        for names in (
            {"jku": url}, {"x5u": url}, {"jku": url, "kid": "unknown"}, {"jwk": public},
            {"x5c": ["MIIB"], "x5u": url}, {"kid": url}, {"kid": "../../../../etc/passwd"},
        ):  # fmt: skip
            stranger = ec.generate_private_key(ec.SECP256R1())
            token = jwt.encode(_CLAIMS, stranger, "ES256", headers=names)
            assert listed(peer, bearer(token)).status == 401, names
        token = jwt.encode({**_CLAIMS, "iss": url}, guarded.private, "ES256")
        assert listed(peer, bearer(token)).status == 401
        # What is signed by a known key is good, and what it names is fetched no more for that.
        headers = {"kid": "known", "jku": url}
        token = jwt.encode(_CLAIMS, guarded.private, "ES256", headers=headers)
        assert listed(peer, bearer(token)).status == 200
        schemas: list[dict[str, Any]] = [
            {"$ref": url},
            {"$schema": url, "type": "object"},
            {"$id": url, "properties": {"x": {"$ref": "#"}}},
            {"properties": {"x": {"$ref": url}}},
            {"properties": {"x": {"$ref": f"{url}#/a"}}, "$id": url},
            {"$dynamicRef": url},
            {"allOf": [{"$id": url, "$ref": "other.json"}]},
        ]
        for schema in schemas:
            more = {"question": "?", "wait": "return", "schema": schema, "context": url}
            peer.send(call_of(peer.port, "ask_user", more, bearer(guarded.key)))
            answer = peer.answer()
            assert answer.status == 200
        assert nobody_came(trap)


# -- whatever somebody may make of a good credential


def mutations(good: str, chance: random.Random, count: int) -> Iterator[bytes]:
    """Yield strings close to a credential, none of which is it."""
    alphabet = "ABCXYZabcxyz0189-_.=+/ \t\x00\x7f\xff,;\"'{}%"
    for _ in range(count):
        made = list(good)
        for _ in range(chance.choice((1, 1, 1, 2, 8))):
            at = chance.randrange(len(made) + 1)
            match chance.randrange(5):
                case 0:
                    made[at : at + 1] = chance.choice(alphabet)
                case 1:
                    made.insert(at, chance.choice(alphabet))
                case 2:
                    del made[at : at + chance.randrange(1, 20)]
                case 3:
                    made[at:at] = made[:at]
                case _:
                    made = made[:at] or ["x"]
        text = "".join(made)[:7000]
        # Blanks around a credential belong to the header; the end of a base64url text has
        # bits that mean nothing, and a token's are not a secret's.
        if text.strip(" \t") != good and not _means(good, text):
            yield text.encode("latin-1")


def _means(good: str, text: str) -> bool:
    """Whether two tokens are the same to whoever decodes them."""
    if text.count(".") != 2 or good.count(".") != 2:
        return False
    return [_decoded(each) for each in text.split(".")] == [
        _decoded(each) for each in good.split(".")
    ]


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part.strip(" \t").encode("latin-1") + b"==")
    except binascii.Error:
        return part.encode("latin-1")


def refused_statuses(peer_port: int, requests: Sequence[bytes]) -> set[int]:
    """Send requests; return the statuses, each on a connection that is still good."""
    statuses = set()
    peer = Peer(peer_port)
    for request in requests:
        peer.send(request)
        answer = peer.answer()
        statuses.add(answer.status)
        if answer.headers.get("connection") == "close":
            peer.sock.close()
            peer = Peer(peer_port)
    peer.sock.close()
    return statuses


@pytest.mark.parametrize("kind", ["key", "token", "scheme"])
def test_no_variation_of_a_good_credential_is_one(guarded: Guarded, kind: str) -> None:
    port = guarded.gateway.mcp_port
    chance = random.Random(kind)
    good = guarded.key if kind == "key" else guarded.token
    if kind == "scheme":
        lines = [
            b"Authorization: %b\r\n" % each
            for each in mutations(f"Basic {good}", chance, 600)
            if not each.lower().lstrip().startswith(b"bearer")
        ]
    else:
        lines = [bearer(each) for each in mutations(good, chance, 600)]
    requests = [call_of(port, "list_frontends", {}, each) for each in lines]
    # A control character is no header at all.
    assert refused_statuses(port, requests) <= {400, 401}
    with Peer(port) as peer:
        assert listed(peer, bearer(good)).status == 200
    assert_serves(port)


def test_no_variation_of_a_ticket_is_one_and_a_ticket_is_good_once(guarded: Guarded) -> None:
    port = guarded.gateway.ws_port
    ask_for_one = b"POST /ticket HTTP/1.1\r\n%bContent-Length: 0\r\n%b\r\n"
    with Peer(port) as peer:
        peer.send(ask_for_one % (host(port), bearer(guarded.person)))
        subprotocol = json.loads(peer.answer().body)["subprotocol"]
    prefix, _, ticket = subprotocol.rpartition(".")
    requests = [
        upgrade_request(port, b"Sec-WebSocket-Protocol: %b.%b\r\n" % (prefix.encode(), each))
        for each in mutations(ticket, random.Random(7), 300)
        # Nothing behind the prefix is no ticket; what comes after one is not looked at.
        if each.split(b",")[0].strip() and not each.startswith(ticket.encode())
    ]
    assert refused_statuses(port, requests) <= {400, 401}
    offered = b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode()
    with websocket(port, offered) as peer:
        peer.send(frame(1, b'{"type":"connect"}'))
        assert json.loads(peer.frame().payload)["type"] == "connect_ack"
    assert refused_statuses(port, [upgrade_request(port, offered)] * 3) == {401}


def test_no_variation_of_a_connect_lets_anybody_in(guarded: Guarded) -> None:
    """The first message of a frontend, with a token of every kind and type."""
    odd: list[Any] = [None, 1, True, [], {}, "", " ", "\x00"]
    said: list[Any] = [
        *({"type": "connect", "token": each} for each in odd),
        {"type": "connect", "token": guarded.person[:-1]},
        {"type": "connect", "token": f"Bearer {guarded.person}"},
        {"type": "connect", "token": "\U0001f511" * 2000},
        {"type": "connect", "user": "ann", "principal": {"tenant": "acme"}, "tenant": "acme"},
        {"type": "connect", "Token": guarded.person},
        {"type": "user_response", "request_id": "x", "answer": "y", "token": guarded.person},
        {"type": "seen", "request_id": "x"},
        {"type": "draft", "request_id": "x", "text": "y"},
        *(
            {"type": "connect", "token": each.decode("latin-1")}
            for each in mutations(guarded.person, random.Random(8), 60)
            if each.decode("latin-1").strip() != guarded.person
        ),
    ]
    for message in said:
        with websocket(guarded.gateway.ws_port) as peer:
            peer.send(frame(1, json.dumps(message).encode()))
            heard = json.loads(peer.frame().payload)
            assert heard["type"] == "error", message
    assert_serves(guarded.gateway.ws_port)


def test_no_secret_of_a_credential_is_told_to_anybody(guarded: Guarded) -> None:
    """Good, wrong, in a URL, in a message: not in logs, metrics, health, or any response."""
    gateway = guarded.gateway
    credentials = {
        "key": guarded.key, "person": guarded.person, "token": guarded.token,
        "wrong key": f"{guarded.key[:-8]}canary77", "wrong token": f"{guarded.token[:-8]}canary77",
    }  # fmt: skip
    heard = []
    for credential in credentials.values():
        with Peer(gateway.mcp_port) as peer:
            heard.append(listed(peer, bearer(credential)).body)
        for port in (gateway.ws_port, gateway.mcp_port):
            for name in ("access_token", "token", "api_key", "ticket"):
                for path in ("/", "/ws", "/mcp", "/ticket", "/nothing", "/health"):
                    # The good one is known by now, and changes nothing.
                    for shown in (b"", f"Authorization: Bearer {guarded.key}\r\n".encode()):
                        start = f"GET {path}?{name}={credential} HTTP/1.1\r\n".encode()
                        with Peer(port) as peer:
                            peer.send(start + host(port) + shown + b"\r\n")
                            answer = peer.answer()
                        assert answer.status == 401, path
                        heard.append(answer.body + repr(answer.headers).encode())
        with websocket(gateway.ws_port) as peer:
            peer.send(frame(1, json.dumps({"type": "connect", "token": credential}).encode()))
            heard.append(peer.frame().payload)
    for path in ("/metrics", "/health", "/ready", "/live"):
        with Peer(gateway.monitoring_port) as peer:
            peer.send(f"GET {path} HTTP/1.1\r\n".encode() + host(gateway.monitoring_port) + b"\r\n")
            heard.append(peer.answer().body)
    told = b"".join(heard).decode() + gateway.text()
    for name, credential in credentials.items():
        # What is secret of a key may have a _ itself.
        is_key = name.endswith(("key", "person"))
        secret = credential.split("_", 2)[2] if is_key else credential.rpartition(".")[2]
        assert secret not in told, name
    assert _SECRET not in told
