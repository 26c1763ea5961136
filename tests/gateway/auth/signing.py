"""Who signs access tokens in tests, well or badly; keys are made once."""

from __future__ import annotations

import base64
import functools
import json
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gateway.auth.settings import Settings

ISSUER: Final = "https://login.example"
AUDIENCE: Final = "https://router.example/mcp"
#: When tests happen.
NOW: Final = 1_800_000_000.0
SECRET: Final = b"a-secret-of-more-than-thirty-two-bytes"
WITH_SET: Final = Settings(jwks="/jwks.json", issuer=ISSUER, audience=AUDIENCE)


@functools.cache
def key(name: str) -> Any:
    """Return a private key, the same one for the same name: "rsa", "es-2", "rsa1024" ..."""
    kind = name.partition("-")[0]
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("rsa") or 2048))
    if kind == "ed":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP384R1() if kind == "es384" else ec.SECP256R1())


def jwk(name: str, **more: Any) -> dict[str, Any]:
    """Return the public half of a key as a JWK, whose id is its name."""
    public = key(name).public_key()
    algorithms = jwt.algorithms
    if name.startswith("rsa"):
        member = algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    elif name.startswith("ed"):
        member = algorithms.OKPAlgorithm.to_jwk(public, as_dict=True)
    else:
        member = algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    member = {**member, "kid": name, **more}
    return {field: value for field, value in member.items() if value is not None}


def jwk_set(*members: Any) -> bytes:
    """Return a JWK set of keys, by their names or as they are."""
    keys = [jwk(each) if isinstance(each, str) else each for each in members]
    return json.dumps({"keys": keys}).encode()


def claims(**more: Any) -> dict[str, Any]:
    """Return what a good token claims; `None` leaves one out."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ann",
        "tenant": "acme",
        "groups": ["doctors"],
        "scope": "ask answer",
        "exp": int(NOW) + 60,
        **more,
    }
    return {name: value for name, value in good.items() if value is not None}


def token(
    by: str = "rsa",
    algorithm: str = "",
    *,
    header: dict[str, Any] | None = None,
    payload: object = None,
    **more: Any,
) -> str:
    """Return a token that ``by`` has signed, with any header and payload it likes."""
    algorithm = algorithm or {"rs": "RS256", "es": "ES256", "ed": "EdDSA"}[by[:2]]
    fields = {"alg": algorithm, "typ": "JWT", "kid": by, **(header or {})}
    fields = {name: value for name, value in fields.items() if value is not None}
    signed = b".".join(map(part, (fields, claims(**more) if payload is None else payload)))
    if algorithm == "none":
        return signed.decode() + "."
    signer = jwt.get_algorithm_by_name(algorithm)
    secret = SECRET if by == "secret" else key(by)
    return b".".join((signed, _encoded(signer.sign(signed, secret)))).decode()


def part(value: object) -> bytes:
    """Return a part of a token: bytes as they are, all else as JSON."""
    return _encoded(value if isinstance(value, bytes) else json.dumps(value).encode())


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
