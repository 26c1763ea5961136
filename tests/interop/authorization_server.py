"""A small OAuth authorization server on the loopback address, as MCP wants them.

It publishes its metadata (RFC 8414) and keys, registers whoever asks (RFC 7591), grants
codes for PKCE (RFC 7636) and hands out access tokens for one resource (RFC 8707, RFC 9068).
Its user consents to whatever ``consents`` says.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt

from gateway.clock import WallClock
from tests.gateway.auth.signing import jwk_set, key

_METADATA = "/.well-known/oauth-authorization-server"


class AuthorizationServer(ThreadingHTTPServer):
    """Knows its clients, its codes and one user for each."""

    daemon_threads = True

    def __init__(self, signs_with: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self._signs_with = signs_with
        #: Of the scopes that are asked for, those that the user grants; all if `None`.
        self.consents: set[str] | None = None
        self.clients: dict[str, list[str]] = {}
        self._codes: dict[str, dict[str, str]] = {}
        #: What was asked for at each endpoint, in order.
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def jwks_url(self) -> str:
        return f"{self.issuer}/jwks"

    def token(self, audience: str, subject: str, scope: str, **more: Any) -> str:
        """Return an access token."""
        claims = {
            "iss": self.issuer,
            "aud": audience,
            "sub": subject,
            "tenant": "acme",
            "scope": scope,
            "exp": WallClock().now() + 300,
            "jti": secrets.token_hex(8),
            **more,
        }
        algorithm = {"rs": "RS256", "es": "ES256"}[self._signs_with[:2]]
        headers = {"kid": self._signs_with, "typ": "at+jwt"}
        return jwt.encode(claims, key(self._signs_with), algorithm, headers=headers)

    # -- what each endpoint answers

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "registration_endpoint": f"{self.issuer}/register",
            "jwks_uri": self.jwks_url,
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": True,
        }

    def keys(self) -> bytes:
        return jwk_set(self._signs_with)

    def register(self, wanted: dict[str, Any]) -> dict[str, Any]:
        client_id = secrets.token_hex(8)
        self.clients[client_id] = wanted["redirect_uris"]
        return {**wanted, "client_id": client_id, "token_endpoint_auth_method": "none"}

    def authorize(self, query: dict[str, str]) -> str:
        """Return where the user's browser is sent back to."""
        assert query["redirect_uri"] in self.clients[query["client_id"]]
        assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        back = {"code": code, "state": query["state"], "iss": self.issuer}
        return f"{query['redirect_uri']}?{urlencode(back)}"

    def exchange(self, form: dict[str, str]) -> dict[str, Any] | None:
        """Return a token for a code, once, to whoever began."""
        granted = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if granted is None or granted["code_challenge"] != challenge:
            return None
        if any(granted[name] != form[name] for name in ("client_id", "redirect_uri", "resource")):
            return None
        wanted = granted.get("scope", "").split()
        scope = " ".join(each for each in wanted if self.consents is None or each in self.consents)
        token = self.token(form["resource"], "agent", scope, client_id=form["client_id"])
        return {"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": scope}


class _Answer(BaseHTTPRequestHandler):
    server: AuthorizationServer

    def do_GET(self) -> None:
        path, query = self._asked(urlsplit(self.path).query)
        if path == _METADATA:
            self._say(200, self.server.metadata())
        elif path == "/jwks":
            self._say(200, json.loads(self.server.keys()))
        elif path == "/authorize":
            self._say(302, {}, Location=self.server.authorize(query))
        else:
            self._say(404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if urlsplit(self.path).path == "/register":
            self._asked("")
            self._say(201, self.server.register(json.loads(body)))
            return
        _, form = self._asked(body)
        token = self.server.exchange(form)
        self._say(400 if token is None else 200, token or {"error": "invalid_grant"})

    def _asked(self, text: str) -> tuple[str, dict[str, str]]:
        asked = urlsplit(self.path).path, dict(parse_qsl(text))
        self.server.asked.append(asked)
        return asked

    def _say(self, status: int, document: dict[str, Any], **headers: str) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in (headers | {"Content-Type": "application/json"}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@contextmanager
def authorization_server(signs_with: str) -> Iterator[AuthorizationServer]:
    """Run one; its key is one of `tests.gateway.auth.signing`."""
    with AuthorizationServer(signs_with) as server:
        yield server
