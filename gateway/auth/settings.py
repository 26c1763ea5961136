"""Which credentials are accepted, and what their claims mean.

Pure module.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final
from urllib.parse import urlsplit

from pool.settings import setting
from session.model import SCOPES

#: What ``--auth-keys`` says when the keys are in the store.
IN_STORE: Final = "store"
#: Never HS256 here: the secret has a setting of its own, and a public key is no secret.
ASYMMETRIC: Final = ("RS256", "ES256", "EdDSA")

_LOOPBACK: Final = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Without any of keys, jwks and secret_file there are no credentials at all."""

    keys: str = setting(
        "", "API keys: a file that `frontend-router key` writes, or `store` for those in Redis."
    )
    jwks: str = setting(
        "", "Public keys of JWT access tokens: a file, or a URL (https) with a JWK set."
    )
    secret_file: str = setting(
        "",
        "A file with the secret of JWT access tokens (HS256); several lines are several secrets.",
    )
    issuer: str = setting("", "The issuer (iss) of JWT access tokens.")
    audience: str = setting(
        "", "The audience (aud) that JWT access tokens must name; [--auth-resource] if not set."
    )
    algorithms: tuple[str, ...] = setting(
        ASYMMETRIC, "Signatures accepted with the keys of --auth-jwks."
    )
    tenant_claim: str = setting("tenant", "The claim with the tenant.")
    tenant: str = setting("", "The tenant of tokens that name none; without it they are refused.")
    subject_claim: str = setting(
        "sub", "The claim with the subject, who is the user of a frontend."
    )
    groups_claim: str = setting("groups", "The claim with the user's groups.")
    scopes_claim: str = setting("scope", "The claim with the scopes: a list, or words in a text.")
    scopes: tuple[str, ...] = setting(
        (),
        "Scopes of tokens without that claim: ask, answer, notify, list, tools, admin (with ask: "
        "to read and take back every question of the tenant).",
    )
    leeway_seconds: float = setting(
        10.0, "How far the issuer's clock may be off.", unit="seconds", minimum=0.0, maximum=300.0
    )
    refresh_seconds: float = setting(
        5.0, "How often keys, files and the credentials of open connections are looked at again.",
        unit="seconds", minimum=0.05, maximum=15.0,
    )  # fmt: skip
    jwks_seconds: float = setting(
        300.0, "How often a JWK set is fetched; also when a token names a key that is not in it.",
        unit="seconds", minimum=1.0,
    )  # fmt: skip
    stale_seconds: float = setting(
        30.0, "How old API keys may be when they cannot be read; after that, 503.",
        unit="seconds", minimum=1.0, maximum=300.0,
    )  # fmt: skip
    jwks_stale_seconds: float = setting(
        3600.0, "How old a JWK set may be when it cannot be fetched; after that, 503.",
        unit="seconds", minimum=1.0,
    )  # fmt: skip
    resource: str = setting(
        "", "The public URL of the MCP endpoint, as in https://router.example.com/mcp (RFC 9728)."
    )
    authorization_servers: tuple[str, ...] = setting(
        (), "Where callers get access tokens: issuers of OAuth, as in https://login.example.com."
    )
    connect_seconds: float = setting(
        5.0, "How long a WebSocket may take to say who it is.", unit="seconds", minimum=0.1
    )
    unauthenticated: int = setting(
        1_000, "WebSockets that have not said who they are; more displace the oldest.", minimum=1
    )
    unauthenticated_per_address: int = setting(
        500, "Those from one address; more displace the oldest from there.", minimum=1
    )
    failures: int = setting(
        20, "Wrong credentials from one address in a minute; after that, 429.", minimum=1
    )
    ticket_seconds: int = setting(
        30, "How long a ticket for a WebSocket is good.", unit="seconds", minimum=1, maximum=300
    )

    def __post_init__(self) -> None:
        """Refuse what would let in nobody, or anybody."""
        unknown = set(self.scopes) - SCOPES
        if unknown:
            raise ValueError(
                f"auth: there is no scope {min(unknown)!r}; there are {', '.join(sorted(SCOPES))}"
            )
        wrong = set(self.algorithms) - set(ASYMMETRIC)
        if wrong or not self.algorithms:
            raise ValueError(f"auth: algorithms are some of {', '.join(ASYMMETRIC)}")
        if self.has_tokens and not (self.issuer and self.accepted_audience):
            raise ValueError(
                "auth: access tokens need --auth-issuer and --auth-audience (or --auth-resource): "
                "without them a token that was made for somebody else would be good here"
            )
        if self.jwks.startswith("http:") and not _LOOPBACK.match(self.jwks):
            raise ValueError("auth: a JWK set from elsewhere is fetched by https:// only")
        if self.jwks.startswith(("http:", "https:")) and "@" in urlsplit(self.jwks).netloc:
            raise ValueError("auth: the URL of a JWK set has no user and no password")

    @property
    def has_tokens(self) -> bool:
        """Whether JWT access tokens are accepted."""
        return bool(self.jwks or self.secret_file)

    @property
    def is_on(self) -> bool:
        """Whether anybody needs a credential."""
        return bool(self.keys or self.has_tokens)

    @property
    def accepted_audience(self) -> str:
        """What a token's ``aud`` must have."""
        return self.audience or self.resource
