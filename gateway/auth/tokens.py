"""JWT access tokens: whose they are, if they are good (RFC 7519, RFC 8725, RFC 9068).

Each key has one algorithm, which the token cannot choose. What a token says of where its
key may be found (``jku``, ``x5u``, ``jwk``) is never looked at. No clock: time arrives as
an argument.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, final

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.auth.settings import Settings
from gateway.errors import CredentialError, UnknownKeyError
from session.model import SCOPES, Principal

_LONGEST: Final = 8 * 1024
_MOST_KEYS: Final = 100
_RSA_BITS: Final = 2048
_SECRET_BYTES: Final = 32
_SYMMETRIC: Final = "HS256"
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,128}")
_GROUPS: Final = 64
# At most as many as SCOPES has subsets.
_SETS_OF_SCOPES: Final[dict[frozenset[str], frozenset[str]]] = {}
# What a library raises for bytes that strangers chose; whatever it is, it is a refusal.
_UNREADABLE: Final = (
    jwt.PyJWTError,
    UnsupportedAlgorithm,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)


class JwksError(ValueError):
    """A JWK set, or a secret, that cannot be used; the message never has a part of it."""


class VerificationKey(NamedTuple):
    """A key and the one algorithm it is used with.

    ``name`` is another one for another key, whatever both are called by those who have
    them: so what was opened with a key ends with it, also when its id is used again.
    """

    id: str
    algorithm: str
    key: Any
    name: str

    def __repr__(self) -> str:
        """Return what may be in logs: a secret is not."""
        return f"VerificationKey({self.name})"


def keys_of_set(data: bytes, algorithms: Sequence[str]) -> tuple[VerificationKey, ...]:
    """Read a JWK set (RFC 7517 section 5); keys for other purposes are passed over.

    Raises:
        JwksError: it is none, or has no key that could be used.
    """
    try:
        found = msgspec.json.decode(data)
        members = found["keys"]
        keys = [_key(member, algorithms) for member in members[:_MOST_KEYS]]
    except (*_UNREADABLE, msgspec.DecodeError):
        raise JwksError("this is no JWK set (RFC 7517)") from None
    usable = tuple(key for key in keys if key is not None)
    if not usable:
        raise JwksError(f"no key in this JWK set is for verifying {' or '.join(algorithms)}")
    return usable


def keys_of_secrets(data: bytes) -> tuple[VerificationKey, ...]:
    """Read a file with secrets, one a line.

    Raises:
        JwksError: there is none, or one is too short to be safe (RFC 7518 section 3.2).
    """
    secrets = [line.strip() for line in data.splitlines() if line.strip()]
    if not secrets:
        raise JwksError("there is no secret in it")
    if any(len(secret) < _SECRET_BYTES for secret in secrets):
        raise JwksError(f"a secret for HS256 has at least {_SECRET_BYTES} bytes")
    return tuple(map(_secret_key, secrets))


def _secret_key(secret: bytes) -> VerificationKey:
    name = _named(_SYMMETRIC, hmac.digest(secret, b"", "sha256"))
    return VerificationKey("", _SYMMETRIC, secret, name)


def _key(member: Mapping[str, Any], algorithms: Sequence[str]) -> VerificationKey | None:
    if member.get("use", "sig") != "sig" or "verify" not in member.get("key_ops", ["verify"]):
        return None
    if member.get("kty") not in ("RSA", "EC", "OKP"):
        # A symmetric key in a set that others can read is no secret.
        return None
    try:
        key = jwt.PyJWK.from_dict({**member, "alg": _algorithm_of(member)}).key
    except _UNREADABLE:
        return None
    algorithm = ""
    if isinstance(key, RSAPublicKey) and key.key_size >= _RSA_BITS:
        algorithm = "RS256"
    elif isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        algorithm = "ES256"
    elif isinstance(key, Ed25519PublicKey):
        algorithm = "EdDSA"
    said = member.get("alg", algorithm)
    if not algorithm or said != algorithm or algorithm not in algorithms:
        return None
    kid = member.get("kid")
    written = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = _named(algorithm, hashlib.sha256(written).digest())
    return VerificationKey(kid if isinstance(kid, str) else "", algorithm, key, name)


def _algorithm_of(member: Mapping[str, Any]) -> str:
    kind: str = member["kty"]
    return {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[kind]


@final
class Tokens:
    """Judges tokens by the keys it was given last."""

    __slots__ = ("_algorithms", "_keys", "_names", "_settings")

    def __init__(self, settings: Settings, keys: Sequence[VerificationKey] = ()) -> None:
        self._settings = settings
        self._keys = tuple(keys)
        self._names = frozenset(key.name for key in keys)
        self._algorithms = (
            *(settings.algorithms if settings.jwks else ()),
            *([_SYMMETRIC] if settings.secret_file else []),
        )

    def find(self, token: str, now: float) -> Principal:
        """Return whose token this is.

        Raises:
            UnknownKeyError: it names a key that is not among ours.
            CredentialError: it is not good here; the message says why, and no part of it.
        """
        if len(token) > _LONGEST:
            raise CredentialError("This access token is too long.")
        try:
            header = jwt.get_unverified_header(token)
            if "crit" in header:
                # We understand none of the extensions it could name (RFC 7515 section 4.1.11).
                raise CredentialError("This access token has critical extensions.")
            candidates = self._candidates(header.get("kid"), header.get("alg"))
            key, claims = self._verified(token, candidates)
            return self._principal(key, claims, now)
        except _UNREADABLE:
            raise CredentialError("This is no access token that is good here.") from None

    def has(self, credential: str) -> bool:
        """Whether the key by which a `Principal` was known is among ours still."""
        return credential in self._names

    def _candidates(self, kid: object, algorithm: object) -> list[VerificationKey]:
        if algorithm not in self._algorithms:
            raise CredentialError("This access token is signed in a way that is not accepted here.")
        candidates = [
            key
            for key in self._keys
            # Secrets have no ids.
            if key.algorithm == algorithm and (kid is None or not key.id or key.id == kid)
        ]
        if not candidates:
            raise UnknownKeyError
        return candidates

    def _verified(
        self, token: str, candidates: Sequence[VerificationKey]
    ) -> tuple[VerificationKey, dict[str, Any]]:
        settings = self._settings
        for key in candidates:
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key=key.key,
                    algorithms=[key.algorithm],
                    audience=settings.accepted_audience,
                    issuer=settings.issuer,
                    options={
                        "require": ["exp", "iss", "aud"],
                        # By our clock, below.
                        "verify_exp": False,
                        "verify_nbf": False,
                        "verify_iat": False,
                    },
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
                raise CredentialError("This access token was made for somebody else.") from None
            return key, claims
        raise CredentialError("The signature of this access token is wrong.")

    def _principal(self, key: VerificationKey, claims: dict[str, Any], now: float) -> Principal:
        settings = self._settings
        expires_at = _time(claims["exp"]) + settings.leeway_seconds
        if not now < expires_at:
            raise CredentialError("This access token has expired.")
        if "nbf" in claims and not now >= _time(claims["nbf"]) - settings.leeway_seconds:
            raise CredentialError("This access token is not good yet.")
        return Principal(
            # Many are of one tenant, and in the same groups: these are kept once.
            sys.intern(_name(claims.get(settings.tenant_claim, settings.tenant), "tenant")),
            _name(claims.get(settings.subject_claim), "subject"),
            _groups(claims.get(settings.groups_claim, ())),
            self._scopes(claims.get(settings.scopes_claim)),
            key.name,
            expires_at,
        )

    def _scopes(self, claim: object) -> frozenset[str]:
        if claim is None:
            return frozenset(self._settings.scopes)
        words = claim.split() if isinstance(claim, str) else claim
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise CredentialError("The scopes of this access token cannot be read.")
        # Those of other services are none of our business. There are few sets of ours, and
        # many who have the same.
        scopes = SCOPES & frozenset(words)
        return _SETS_OF_SCOPES.setdefault(scopes, scopes)


def _named(algorithm: str, digest: bytes) -> str:
    return f"token:{algorithm}:{digest[:8].hex()}"


def _time(claim: object) -> float:
    """Return a NumericDate (RFC 7519 section 2)."""
    if isinstance(claim, bool) or not isinstance(claim, int | float) or not math.isfinite(claim):
        raise CredentialError("A time in this access token is no number.")
    return float(claim)


def _name(claim: object, what: str) -> str:
    if not isinstance(claim, str) or not _NAME.fullmatch(claim):
        raise CredentialError(f"This access token names no {what} that could be used.")
    return claim


def _groups(claim: object) -> tuple[str, ...]:
    groups = claim if isinstance(claim, list | tuple) else None
    if groups is None or len(groups) > _GROUPS:
        raise CredentialError(f"The groups of this access token are no list of up to {_GROUPS}.")
    return tuple([sys.intern(_name(group, "group")) for group in groups])
