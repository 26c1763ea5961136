"""One real redis-server: how it is started, asked, killed, and known again."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from haproxy import redis_node
from haproxy.redis_node import (
    BUS,
    PortInUseError,
    RedisNode,
    RedisReplyError,
    RedisServerError,
    free_port,
    running_node,
    started,
)

pytestmark = pytest.mark.slow


def test_replies_are_values(redis_node: RedisNode, redis_url: str) -> None:
    assert redis_url == f"redis://127.0.0.1:{redis_node.port}/0"
    assert redis_node.command("SET", "a", b"\xff\r\n") == "OK"
    assert redis_node.command("GET", "a").encode(errors="surrogateescape") == b"\xff\r\n"
    assert redis_node.command("INCRBY", "n", 7) == 7
    assert redis_node.command("MGET", "n", "none") == ["7", None]
    assert redis_node.command("KEYS", "x*") == []
    with pytest.raises(RedisReplyError, match="WRONGTYPE"):
        redis_node.command("LPUSH", "n", "1")
    assert redis_node.is_primary


def test_a_node_forgets_when_it_is_killed_and_keeps_its_port(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        port, pid = node.port, node.pid
        node.command("SET", "a", "1")
        node.kill()
        assert not node.is_alive
        with pytest.raises(ConnectionRefusedError):
            node.command("PING")
        with pytest.raises(RedisServerError, match="does not run"):
            node.stop()
        node.restart()
        assert (node.port, node.command("GET", "a")) == (port, None)
        assert node.pid not in (0, pid)
    assert not node.is_alive


def test_a_stopped_node_answers_nobody_until_it_is_resumed(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        node.stop()
        assert node.is_alive
        with pytest.raises(TimeoutError):
            node.command("PING", timeout=0.1)
        node.resume()
        assert node.command("PING") == "PONG"
        node.stop()
    assert not node.is_alive


def test_flags_are_passed_on_and_a_password_is_said(tmp_path: Path) -> None:
    user = ("--user", "ann", "on", ">secret", "~ann:*", "+@all")
    with running_node(tmp_path, 0, "--requirepass", "p4ss", *user) as node:
        assert node.command("CONFIG", "GET", "requirepass") == ["requirepass", "p4ss"]
        node.credentials = ("ann", "secret")
        with pytest.raises(RedisReplyError, match="NOPERM"):
            node.command("GET", "bob:1")
        node.credentials = ()
        with pytest.raises(RedisReplyError, match="NOAUTH"):
            node.command("PING")
        node.credentials = ("p4ss",)


def test_another_program_knows_a_node_by_its_directory(tmp_path: Path) -> None:
    # A space, as in a folder of somebody's.
    with running_node(tmp_path / "a folder") as node:
        known = RedisNode.read(node.directory)
        assert (known.port, known.pid) == (node.port, node.pid)
        known.kill()
        assert not known.is_alive
        # The system may give the id to somebody else, who is left alone.
        (node.directory / "redis.pid").write_text(f"{os.getpid()}\n", encoding="ascii")
        assert known.pid == 0
        known.kill()


def test_a_port_in_use_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    port = free_port()
    said = f"port {port} .* choose other ports"
    for taken in (port, port + BUS):
        with (
            socket.create_server(("127.0.0.1", taken)),
            pytest.raises(PortInUseError, match=said),
        ):
            started(tmp_path / str(taken), port, cluster=True)


def test_a_node_that_does_not_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(RedisServerError, match=r"(?s)ended.*no-such-setting"):
        running_node(tmp_path, 0, "--no-such-setting", "1").__enter__()


def test_a_directory_of_others_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "redis.conf").write_text("bind 127.0.0.1\n", encoding="utf-8")
    with pytest.raises(RedisServerError, match="names no port"):
        RedisNode.read(tmp_path)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("", "there is no redis-server on PATH: install Redis 7.0"),
        ("Redis server v=6.2.14 sha=0", "too old .*6.2.14.*install Redis 7.0"),
        ("something else", "too old .*something else"),
    ],
)
def test_a_redis_that_will_not_do_is_said_before_anything_is_done(
    tmp_path: Path, version: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if version:
        program = tmp_path / "redis-server"
        program.write_text(f"#!/bin/sh\necho '{version}'\n", encoding="ascii")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    redis_node.redis_server.cache_clear()
    try:
        with pytest.raises(RedisServerError, match=said):
            redis_node.redis_server()
    finally:
        redis_node.redis_server.cache_clear()


def test_all_ends_with_the_context_also_when_the_test_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), running_node(tmp_path) as node:
        _ = 1 / 0
    assert not node.is_alive


def test_ctrl_c_of_a_terminal_does_not_reach_it(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        assert os.getpgid(node.pid) != os.getpgid(0)
