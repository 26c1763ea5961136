"""What those hear who may not go on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.auth.refusals import Challenges, forbidden
from gateway.auth.settings import Settings
from gateway.http.messages import Head
from tests.gateway.mcp.recording import Recorder

PLAIN = Settings(keys="keys.json")
OAUTH = Settings(
    keys="keys.json",
    resource="https://router.example/mcp",
    authorization_servers=("https://login.example",),
)
METADATA = "/.well-known/oauth-protected-resource"


def head(host: bytes = b"127.0.0.1:8081", **more: bytes) -> Head:
    headers = {b"host": host} | {name.encode(): value for name, value in more.items()}
    return Head("POST", "/mcp", "", headers, keep_alive=True, body_length=0)


def challenge(settings: Settings, how: str, *more: Any) -> tuple[Recorder, str]:
    said = Recorder()
    getattr(Challenges(settings), how)(head(), said, *more)
    assert said.headers["cache-control"] == "no-store"
    assert said.json["status"] == said.status
    return said, said.headers.get("www-authenticate", "")


def test_who_shows_nothing_hears_what_to_send_and_no_error() -> None:
    """RFC 6750 section 3.1: no error code for who did not know."""
    said, words = challenge(PLAIN, "missing", "ask")
    assert said.status == 401
    assert words == 'Bearer realm="frontend-router", scope="ask"'
    assert "Authorization: Bearer" in said.json["error"]


def test_who_is_wrong_hears_why() -> None:
    said, words = challenge(PLAIN, "wrong", "ask", "It has expired.")
    assert (said.status, said.json["error"]) == (401, "It has expired.")
    assert 'error="invalid_token", error_description="It has expired."' in words


def test_who_may_not_hears_what_it_takes() -> None:
    said, words = challenge(PLAIN, "forbidden", "answer")
    assert said.status == 403
    assert 'error="insufficient_scope"' in words
    assert 'scope="answer"' in words
    assert said.json["error"] == forbidden("answer")


@pytest.mark.parametrize(
    ("seconds", "wait"), [(0.0, "1"), (0.2, "1"), (1.0, "2"), (10.0, "10"), (4.6, "5")]
)
def test_who_comes_at_the_wrong_time_hears_when_to_come_back(seconds: float, wait: str) -> None:
    said = Recorder()
    Challenges.later(head(), said, 503, "Not now.", seconds)
    assert (said.status, said.headers["retry-after"]) == (503, wait)
    assert said.json == {"error": "Not now.", "status": 503}


def test_a_page_of_another_origin_reads_when_to_come_back() -> None:
    said = Recorder()
    Challenges.later(head(origin=b"https://app.example"), said, 429, "Not now.", 3.0)
    assert said.headers["access-control-allow-origin"] == "https://app.example"
    assert "Retry-After" in said.headers["access-control-expose-headers"]


@pytest.mark.parametrize("how", ["missing", "wrong", "forbidden"])
def test_where_there_is_oauth_the_metadata_is_named(how: str) -> None:
    more = ("ask", "Why.") if how == "wrong" else ("ask",)
    _, words = challenge(OAUTH, how, *more)
    assert f'resource_metadata="https://router.example{METADATA}/mcp"' in words
    assert "resource_metadata" not in challenge(PLAIN, how, *more)[1]


@pytest.mark.parametrize(
    ("resource", "url"),
    [
        ("https://a.example/mcp", f"https://a.example{METADATA}/mcp"),
        ("https://a.example/deep/er/mcp", f"https://a.example{METADATA}/deep/er/mcp"),
        ("https://a.example/", f"https://a.example{METADATA}"),
        ("https://a.example", f"https://a.example{METADATA}"),
        ("https://a.example:8443/mcp", f"https://a.example:8443{METADATA}/mcp"),
    ],
)
def test_the_metadata_is_where_rfc_9728_puts_it(resource: str, url: str) -> None:
    settings = Settings(keys="keys.json", resource=resource)
    words = Challenges(settings).header(head(), "ask").decode()
    assert f'resource_metadata="{url}"' in words


def test_the_metadata_says_where_tokens_come_from() -> None:
    assert json.loads(Challenges(OAUTH).metadata(head())) == {
        "resource": "https://router.example/mcp",
        "authorization_servers": ["https://login.example"],
        "bearer_methods_supported": ["header"],
        "resource_name": "frontend-router",
        "scopes_supported": ["answer", "ask", "list", "notify", "tools"],
    }


def test_without_a_public_url_the_host_that_was_asked_for_is_named() -> None:
    """It was compared with those that are allowed before it got here."""
    document = json.loads(Challenges(PLAIN).metadata(head(b"localhost:8081")))
    assert document["resource"] == "http://localhost:8081/mcp"
    assert "authorization_servers" not in document


def test_a_challenge_is_one_line_of_ascii() -> None:
    settings = Settings(keys="keys.json", resource="https://röuter.example/mcp")
    for words in (b"ask", b""):
        header = Challenges(settings).header(head(), words.decode(), "invalid_token", "Why.")
        assert b"\r" not in header
        assert b"\n" not in header
