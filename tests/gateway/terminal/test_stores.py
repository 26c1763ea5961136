"""Commands find the Redis that gateways use, told as they are."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.terminal.stores import StoreError, add_store_arguments, store_address
from haproxy.redis_node import running_node

_PASSWORD = "s3same:/?#"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORE", "REDIS_PASSWORD_FILE", "AUTH_KEYS"):
        monkeypatch.delenv(f"FRONTEND_ROUTER_{name}", raising=False)


def options(*said: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_store_arguments(parser, "it is in")
    return parser.parse_args(said)


@pytest.mark.parametrize("said", [(), ("--store", "memory://")])
def test_memory_is_no_redis(said: tuple[str, ...]) -> None:
    assert store_address(options(*said)) is None


def test_the_command_line_counts_then_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("one\n")
    other.write_text("other\n")
    monkeypatch.setenv("FRONTEND_ROUTER_STORE", "redis://a")
    monkeypatch.setenv("FRONTEND_ROUTER_REDIS_PASSWORD_FILE", str(one))
    found = store_address(options())
    assert found is not None
    assert (str(found), found.password) == ("redis://a:6379/0", "one")
    found = store_address(options("--store", "redis://b", "--redis-password-file", str(other)))
    assert found is not None
    assert (str(found), found.password) == ("redis://b:6379/0", "other")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (("--store", "http://x"), "--store: 'http' is no kind of Redis URL"),
        (("--store", "redis://x", "--redis-password-file", "/no/such"), "No such file"),
    ],
)
def test_what_cannot_be_used_is_said(said: tuple[str, ...], why: str) -> None:
    with pytest.raises(StoreError, match=why):
        store_address(options(*said))


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match="not UTF-8"):
        store_address(options("--store", "redis://x", "--redis-password-file", str(file)))


@pytest.fixture
def closed_redis(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """A Redis with a password; what to say to a command that uses it."""
    (tmp_path / "password").write_text(_PASSWORD + "\n")
    with running_node(tmp_path / "redis", 0, "--requirepass", _PASSWORD) as node:
        url = f"redis://127.0.0.1:{node.port}"
        yield ("--store", url, "--redis-password-file", str(tmp_path / "password"))


@pytest.mark.slow
def test_keys_and_the_record_of_a_redis_with_a_password(
    closed_redis: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    made = ("--tenant", "acme", "--subject", "ci", "--scope", "ask")
    assert main(["key", "create", *made, *closed_redis]) == 0
    assert capsys.readouterr().out.startswith("fr_")
    assert main(["audit", "--tenant", "acme", *closed_redis]) == 0
    assert "key_created" in capsys.readouterr().out
    assert main(["key", "list", *closed_redis[:2]]) == 1
    assert "Authentication required" in capsys.readouterr().err
