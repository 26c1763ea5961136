"""What those hear who may not go on: in HTTP's words, and in a sentence.

Pure module. RFC 6750 section 3 has the challenge, RFC 9728 where callers learn how to get
a token (MCP, "Authorization").
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from gateway.auth.settings import Settings
from gateway.http.messages import Head, Headers, Responder
from gateway.ownership import ADMIN
from session import gojson
from session.model import NOBODY, SCOPES, Principal

#: Under which path the metadata of a resource is (RFC 9728 section 3.1).
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
_MCP: Final = "/mcp"
_NO_STORE: Final = (b"Cache-Control", b"no-store")
_IN_URL: Final = (
    "A credential does not belong into a URL, where logs and histories have it: "
    "take it for known by others, revoke it, and"
)
# What a browser asks for beside a page, as its icon, would have the page's address with it.
_TOLD_TO_NOBODY: Final = (b"Referrer-Policy", b"no-referrer")


class Denial(NamedTuple):
    """Somebody was refused, for those who count, log and record it.

    ``reason`` is one of few words, ``status`` HTTP's or what would be it. ``credential``
    is what the credential calls itself, if nobody is known to have it: never a part of
    what is secret, and true only as far as strangers tell the truth.
    """

    reason: str
    status: int
    peer: str
    principal: Principal = NOBODY
    credential: str = ""


class Challenges:
    """Refuses, and says how to be let in."""

    __slots__ = ("_settings",)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def resource(self, head: Head) -> str:
        """Return the public URL of the MCP endpoint, as far as it is known."""
        if self._settings.resource:
            return self._settings.resource
        host = head.headers.get(b"host", b"").decode("latin-1")
        return f"http://{host}{_MCP}"

    def metadata(self, head: Head) -> bytes:
        """Return the metadata of the MCP endpoint (RFC 9728 section 2)."""
        settings = self._settings
        document: dict[str, object] = {
            "resource": self.resource(head),
            "bearer_methods_supported": ["header"],
            "resource_name": "frontend-router",
            # A client that knows no better asks for all that is named here; it has use for each
            # of them but the one that is for other callers' questions (MCP, "Scope Selection").
            "scopes_supported": sorted(SCOPES - {ADMIN}),
        }
        if settings.authorization_servers:
            document["authorization_servers"] = list(settings.authorization_servers)
        return gojson.encode(document)

    def missing(self, head: Head, responder: Responder, scope: str) -> None:
        """Refuse somebody who showed no credential."""
        words = "Send a credential: Authorization: Bearer with an API key or an access token."
        self._refuse(head, responder, 401, words, self.header(head, scope))

    def wrong(self, head: Head, responder: Responder, scope: str, why: str) -> None:
        """Refuse somebody whose credential is not good."""
        self._refuse(head, responder, 401, why, self.header(head, scope, "invalid_token", why))

    def in_url(self, head: Head, responder: Responder, scope: str) -> None:
        """Refuse a credential in the URL, good or not: it is in logs (RFC 6750 section 2.3)."""
        if b"text/html" in head.headers.get(b"accept", b""):
            # A person, who opened a link.
            words = f"{_IN_URL} open this page without it. The inbox asks for another."
            challenge = (b"WWW-Authenticate", self.header(head, scope, "invalid_token", words))
            headers = (challenge, _NO_STORE, _TOLD_TO_NOBODY)
            responder.respond(401, f"{words}\n".encode(), b"text/plain; charset=utf-8", headers)
        else:
            self.wrong(head, responder, scope, f"{_IN_URL} send another as a header.")

    def forbidden(self, head: Head, responder: Responder, scope: str) -> None:
        """Refuse somebody whose credential does not allow this."""
        why = forbidden(scope)
        challenge = self.header(head, scope, "insufficient_scope", why)
        self._refuse(head, responder, 403, why, challenge)

    @staticmethod
    def later(head: Head, responder: Responder, status: int, why: str, seconds: float) -> None:
        """Refuse for now."""
        wait = b"%d" % max(1, round(seconds + 0.5))
        body = gojson.encode({"error": why, "status": status})
        responder.respond(status, body, headers=((b"Retry-After", wait), _NO_STORE, *cors(head)))

    def header(self, head: Head, scope: str, error: str = "", why: str = "") -> bytes:
        """Return the challenge, ``WWW-Authenticate``."""
        parts = ['realm="frontend-router"']
        if error:
            parts += [f'error="{error}"', f'error_description="{why}"']
        if self._settings.resource or self._settings.authorization_servers:
            parts.append(f'resource_metadata="{metadata_url(self.resource(head))}"')
        if scope:
            parts.append(f'scope="{scope}"')
        return b"Bearer " + ", ".join(parts).encode("latin-1", "replace")

    @staticmethod
    def _refuse(head: Head, responder: Responder, status: int, why: str, challenge: bytes) -> None:
        # A page of another origin has to know a wrong credential from a lost connection.
        headers: Headers = ((b"WWW-Authenticate", challenge), _NO_STORE, *cors(head))
        responder.respond(status, gojson.encode({"error": why, "status": status}), headers=headers)


def cors(head: Head) -> Headers:
    """Return the headers that let a page read the response; its Origin was checked before."""
    origin = head.headers.get(b"origin")
    if origin is None:
        return ()
    return (
        (b"Access-Control-Allow-Origin", origin),
        (b"Access-Control-Expose-Headers", b"Retry-After, WWW-Authenticate"),
        (b"Vary", b"Origin"),
    )


def metadata_url(resource: str) -> str:
    """Return where the metadata of a resource is (RFC 9728 section 3.1)."""
    where = urlsplit(resource)
    return f"{where.scheme}://{where.netloc}{WELL_KNOWN}{where.path.rstrip('/')}"


def forbidden(scope: str) -> str:
    """Return what somebody hears whose credential lacks a scope."""
    return f"This credential does not have the scope {scope}; ask for one that has."
