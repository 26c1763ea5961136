"""What would let in nobody, or anybody, is refused with a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.auth.settings import ASYMMETRIC, Settings

TOKENS: dict[str, Any] = {"issuer": "https://login.example", "audience": "https://a/mcp"}


def refusal(**more: Any) -> str:
    with pytest.raises(ValueError, match=r"^auth: ") as refused:
        Settings(**more)
    return str(refused.value)


def test_without_any_there_are_no_credentials() -> None:
    settings = Settings()
    assert not settings.is_on
    assert not settings.has_tokens


@pytest.mark.parametrize(
    ("more", "has_tokens"),
    [
        ({"keys": "keys.json"}, False),
        ({"keys": "store"}, False),
        ({"jwks": "jwks.json", **TOKENS}, True),
        ({"secret_file": "secret", **TOKENS}, True),
        ({"keys": "store", "jwks": "https://login.example/jwks", **TOKENS}, True),
    ],
)
def test_any_of_them_makes_everybody_need_one(more: dict[str, Any], has_tokens: bool) -> None:
    settings = Settings(**more)
    assert settings.is_on
    assert settings.has_tokens is has_tokens


@pytest.mark.parametrize("missing", ["issuer", "audience"])
@pytest.mark.parametrize("source", ["jwks", "secret_file"])
def test_tokens_of_anybody_or_for_anybody_are_not_accepted(missing: str, source: str) -> None:
    assert "for somebody else" in refusal(**{source: "file", **TOKENS, missing: ""})


def test_the_resource_is_the_audience_unless_another_is_named() -> None:
    more: dict[str, Any] = {"jwks": "file", "issuer": "i", "resource": "https://r/mcp"}
    assert Settings(**more).accepted_audience == "https://r/mcp"
    assert Settings(**more, audience="a").accepted_audience == "a"


@pytest.mark.parametrize("algorithms", [(), ("HS256",), ("none",), ("RS256", "HS256"), ("rs256",)])
def test_a_public_key_never_verifies_what_a_secret_signs(algorithms: tuple[str, ...]) -> None:
    assert "algorithms are some of RS256, ES256, EdDSA" in refusal(algorithms=algorithms)
    assert Settings(algorithms=ASYMMETRIC[:1]).algorithms == ("RS256",)


def test_a_scope_that_there_is_not_is_refused() -> None:
    assert "no scope 'everything'" in refusal(scopes=("ask", "everything"))
    assert Settings(scopes=("ask", "answer")).scopes == ("ask", "answer")


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example/jwks",
        "http://127.0.0.1.evil.example/jwks",
        "http://127.0.0.1@evil.example/jwks",
        "http://localhost:80@evil.example/jwks",
        "http://localhost.evil.example/",
        "http:///jwks",
        "http:jwks",
    ],
)
def test_keys_from_elsewhere_do_not_come_in_the_clear(url: str) -> None:
    assert "https:// only" in refusal(jwks=url, **TOKENS)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/jwks",
        "http://localhost/jwks",
        "http://[::1]:9000/jwks",
        "https://login.example/jwks?p=policy",
    ],
)
def test_keys_from_here_or_encrypted_are_fetched(url: str) -> None:
    assert Settings(jwks=url, **TOKENS).jwks == url


def test_a_password_in_the_url_of_keys_is_refused_and_not_repeated() -> None:
    words = refusal(jwks="https://user:canary@login.example/jwks", **TOKENS)
    assert "no password" in words
    assert "canary" not in words
