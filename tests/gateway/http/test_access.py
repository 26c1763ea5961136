"""Names are compared whole: what only looks like ours is refused (DNS rebinding, A1 and B1)."""

import pytest

from gateway.http.access import Allowlist, Settings

ALLOWED = Allowlist(
    Settings(hosts=("router.example", "other.example:8443"), origins=("https://app.example",)),
    [8080, 8081],
)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8080", True),
        ("localhost:8081", True),
        ("LOCALHOST:8080", True),
        ("[::1]:8080", True),
        ("localhost", True),
        ("router.example", True),
        ("router.example:8080", True),
        ("other.example:8443", True),
        ("other.example", False),
        ("localhost:9999", False),
        ("127.0.0.1:8080.evil.example", False),
        ("127.0.0.1.evil.example:8080", False),
        ("localhost@evil.example", False),
        ("evil.example", False),
        ("", False),
        ("localhost:8080, evil.example", False),
        (" localhost", False),
    ],
)
def test_hosts(host: str, allowed: bool) -> None:
    assert ALLOWED.allows_host(host) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8081", True),
        ("HTTP://LocalHost:8080", True),
        ("https://app.example", True),
        ("https://app.example:443", True),
        ("http://app.example", False),
        ("https://app.example:444", False),
        ("https://localhost:8080", False),
        ("http://localhost:8082", False),
        ("http://localhost", False),
        ("null", False),
        ("", False),
        ("http://127.0.0.1:8080.evil.example", False),
        ("http://localhost@evil.example", False),
        ("http://localhost:8080@evil.example", False),
        ("http://localhost:8080/", False),
        ("http://evil.example/?http://localhost:8080", False),
        ("file://", False),
        ("http://127.0.0.1:8080 http://evil.example", False),
    ],
)
def test_origins(origin: str, allowed: bool) -> None:
    assert ALLOWED.allows_origin(origin) is allowed


@pytest.mark.parametrize(
    "origin",
    ["https://app.example/", "app.example", "https://*.example", "null", "ftp://app.example", ""],
)
def test_an_origin_that_no_page_has_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="is no origin; write scheme://host"):
        Settings(origins=("https://fine.example", origin))


@pytest.mark.parametrize("host", ["https://app.example", "app.example/", "*.example", "a b", ""])
def test_a_host_that_no_request_names_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="is no host; write a name"):
        Settings(hosts=("fine.example", host))
