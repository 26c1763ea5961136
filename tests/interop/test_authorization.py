"""The official Python SDK's OAuth client gets itself a token, asks, and a person answers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import pytest
import trio
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from mcp.shared.exceptions import MCPError
from pydantic import AnyUrl

from haproxy.redis_node import free_port
from tests.interop.authorization_server import AuthorizationServer, authorization_server
from tests.interop.person import person_at
from tests.live.process import GatewayProcess, running_gateway

pytestmark = [
    pytest.mark.slow,
    # The SDK leaves generators of its HTTP client to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*Async generator:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]
BOTH_ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
# Nobody waits this long when all is well.
PATIENCE = 60
METADATA = "/.well-known/oauth-protected-resource/mcp"
CALLBACK = "http://127.0.0.1:1/callback"


class Protected(NamedTuple):
    """A gateway, and who hands out tokens for it."""

    gateway: GatewayProcess
    server: AuthorizationServer
    resource: str

    def token(self, subject: str, scope: str) -> str:
        return self.server.token(self.resource, subject, scope)


@pytest.fixture(scope="module", params=["rsa", "es"])
def running(request: pytest.FixtureRequest) -> Iterator[Protected]:
    """Both, with either kind of key."""
    port = free_port()
    resource = f"http://127.0.0.1:{port}/mcp"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(authorization_server(request.param))
        gateway = stack.enter_context(
            running_gateway(
                *("--drain-settle-seconds", "0", "--drain-wait-seconds", "0.5"),
                *("--mcp-port", str(port), "--auth-resource", resource),
                *("--auth-jwks", server.jwks_url, "--auth-issuer", server.issuer),
                *("--auth-authorization-servers", server.issuer),
            )
        )
        yield Protected(gateway, server, resource)


@pytest.fixture
def protected(running: Protected) -> Protected:
    """Both, as they were at the beginning."""
    running.server.consents = None
    running.server.asked.clear()
    return running


class Memory:
    """Where the SDK keeps what it got; see `mcp.client.auth.TokenStorage`."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Browser:
    """Goes where the SDK sends its user, and brings back the code."""

    def __init__(self) -> None:
        self._back: dict[str, list[str]] = {}

    async def go(self, url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(url)
        assert answer.status_code == 302
        assert answer.headers["location"].startswith(CALLBACK + "?")
        self._back = parse_qs(urlsplit(answer.headers["location"]).query)

    async def back(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(**{name: text for name, (text,) in self._back.items()})


@asynccontextmanager
async def client_of(protected: Protected, mode: str, memory: Memory) -> AsyncIterator[Client]:
    """Connect as an agent that knows nothing but the address."""
    browser = Browser()
    metadata = OAuthClientMetadata(client_name="tester", redirect_uris=[AnyUrl(CALLBACK)])
    provider = OAuthClientProvider(protected.resource, metadata, memory, browser.go, browser.back)
    async with httpx2.AsyncClient(auth=provider, timeout=PATIENCE) as http:
        transport: Any = streamable_http_client(protected.resource, http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


def _text(result: Any) -> str:
    text: str = result.content[0].text
    return text


@BOTH_ERAS
async def test_a_client_that_knows_only_the_address_asks_and_is_answered(
    protected: Protected, mode: str
) -> None:
    memory = Memory()
    with trio.fail_after(PATIENCE):
        async with (
            person_at(protected.gateway.ws_port, token=protected.token("ann", "answer")) as person,
            client_of(protected, mode, memory) as client,
            trio.open_nursery() as nursery,
        ):

            async def answer() -> None:
                question = await person.question()
                assert question["from"]["subject"] == "agent"
                assert await person.answer(question, "blue") == "accepted"

            nursery.start_soon(answer)
            result = await client.call_tool("ask_user", {"question": "Which colour?"})
    assert _text(result) == "blue"
    assert result.structured_content is not None
    assert result.structured_content["answered_by"]["user"] == "ann"
    assert memory.tokens is not None
    assert memory.tokens.scope == "ask"
    paths = [path for path, _ in protected.server.asked if path != "/jwks"]
    assert paths == [
        "/.well-known/oauth-authorization-server",
        "/register",
        "/authorize",
        "/token",
    ]
    # The token was asked for by the resource's name (RFC 8707).
    asked = dict(protected.server.asked)
    assert asked["/authorize"]["resource"] == asked["/token"]["resource"] == protected.resource


@BOTH_ERAS
async def test_a_client_whose_token_allows_too_little_asks_for_more(
    protected: Protected, mode: str
) -> None:
    """403 and insufficient_scope: the SDK asks its user again, for what the challenge names."""
    memory = Memory()
    protected.server.consents = {"list"}
    with trio.fail_after(PATIENCE):
        async with (
            person_at(protected.gateway.ws_port, token=protected.token("ann", "answer")) as person,
            client_of(protected, mode, memory) as client,
            trio.open_nursery() as nursery,
        ):
            # Looking around needs a credential, and no scope.
            assert (await client.list_tools()).tools
            tokens = await memory.get_tokens()
            assert tokens is not None
            assert not tokens.scope
            protected.server.consents = None

            async def answer() -> None:
                await person.answer(await person.question(), "blue")

            nursery.start_soon(answer)
            result = await client.call_tool("ask_user", {"question": "Which colour?"})
    assert _text(result) == "blue"
    tokens = await memory.get_tokens()
    assert tokens is not None
    assert tokens.scope == "ask"
    assert [path for path, _ in protected.server.asked].count("/token") == 2


@BOTH_ERAS
async def test_a_client_whose_user_refuses_is_refused(protected: Protected, mode: str) -> None:
    protected.server.consents = {"list"}
    with trio.fail_after(PATIENCE):
        async with (
            person_at(protected.gateway.ws_port, token=protected.token("ann", "answer")) as person,
            client_of(protected, mode, Memory()) as client,
        ):
            with pytest.raises(MCPError) as refused:
                await client.call_tool("ask_user", {"question": "Which colour?"})
            assert "scope ask" in str(refused.value)
            # And nobody was asked.
            await person.say(type="user_response", request_id="none", answer="x")
            assert (await person.frame("response_ack"))["status"] == "unknown"


async def test_what_clients_are_told_is_what_the_standards_say(protected: Protected) -> None:
    base = f"http://127.0.0.1:{protected.gateway.mcp_port}"
    async with httpx.AsyncClient(trust_env=False, base_url=base) as client:
        refused = await client.post("/mcp", json={})
        assert refused.status_code == 401
        challenge = refused.headers["www-authenticate"]
        assert challenge.startswith("Bearer ")
        assert f'resource_metadata="{base}{METADATA}"' in challenge
        assert 'scope="ask"' in challenge
        assert "error=" not in challenge
        for path in (METADATA, METADATA.removesuffix("/mcp")):
            found = await client.get(path)
            assert found.status_code == 200
            document = found.json()
            assert document["resource"] == protected.resource
            assert document["authorization_servers"] == [protected.server.issuer]
            assert document["bearer_methods_supported"] == ["header"]
            assert {"ask", "answer"} <= set(document["scopes_supported"])
        # Whoever answers may not ask; and what was made for others is for others.
        for token, status in (
            (protected.token("ann", "answer"), 403),
            (protected.server.token(protected.resource + "2", "agent", "ask"), 401),
            (protected.server.token(f"{base}/", "agent", "ask"), 401),
            (protected.server.token(protected.resource, "agent", "ask", iss=base), 401),
        ):
            said = await client.post(
                "/mcp",
                headers={
                    "Authorization": f"Bearer {token}",
                    "Accept": "application/json, text/event-stream",
                    "MCP-Protocol-Version": "2026-07-28",
                    "Mcp-Method": "tools/call",
                    "Mcp-Name": "ask_user",
                },
                json=_call("ask_user"),
            )
            assert said.status_code == status
            error = "insufficient_scope" if status == 403 else "invalid_token"
            challenge = said.headers["www-authenticate"]
            assert f'error="{error}"' in challenge
            assert 'scope="ask"' in challenge
            assert f'resource_metadata="{base}{METADATA}"' in challenge
            assert token not in said.text + challenge


def _call(tool: str) -> dict[str, Any]:
    meta = "io.modelcontextprotocol/"
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": tool,
            "arguments": {"question": "?"},
            "_meta": {f"{meta}protocolVersion": "2026-07-28", f"{meta}clientCapabilities": {}},
        },
    }
