"""The command line as it is typed."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path

import pytest
import structlog

from gateway.cli import described, main
from gateway.settings import load, names


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("FRONTEND_ROUTER_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def _restored() -> Iterator[None]:
    """Leave signals and logs as they were before a gateway began to start here."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("srve", "there is no command srve; the nearest is serve"),
        ("check --ws-prot 1", "there is no flag --ws-prot; the nearest is --ws-port"),
        ("--ws-prot=1", "there is no flag --ws-prot; the nearest is --ws-port"),
        ("--ws", "there is no flag --ws; the nearest is --"),
        ("-wsport 1", "there is no flag -wsport; the nearest is --ws-port"),
        ("ask why --chioce a", "there is no flag --chioce; the nearest is --choice"),
        ("answer --usr ann", "there is no flag --usr; the nearest is --user"),
        ("serve now", "serve takes no 'now'"),
        ("--ws-port 0 check", "the command comes first: frontend-router check ..."),
        ("--ws-port many", "--ws-port takes a whole number, not 'many'"),
        ("check --host 0.0.0.0", "--host 0.0.0.0 would let everybody who reaches it ask"),
        ("check --config /nowhere.toml", "/nowhere.toml cannot be read: No such file"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    typed: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"frontend-router: {complaint}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("typed", ["ask", "check --ws-port", "ask why --timeout soon"])
def test_what_is_incomplete_is_refused_with_the_usage(
    typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(typed.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(
        f"usage: frontend-router {typed.split(maxsplit=1)[0]}"
    )


def test_a_bad_variable_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRONTEND_ROUTER_LOG_LEVEL", "loud")
    assert main(["check"]) == 2
    assert "FRONTEND_ROUTER_LOG_LEVEL is one of debug, info, warn" in capsys.readouterr().err


def test_check_says_in_words_what_would_be_served(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--ws-port", "9000", "--host", "::1", "--delivery", "one"]) == 0
    said = capsys.readouterr().out
    for words in (
        "http://[::1]:9000/ and /ws",
        "http://[::1]:8081/mcp",
        "http://[::1]:8082/health",
        "nobody else can reach it",
        "one frontend after the other",
        "kept in memory",
        "  --ws-port 9000\n",
    ):
        assert words in said


def test_what_is_as_by_default_is_not_repeated() -> None:
    said = described(load({}, {}))
    assert "Other than by default" not in said
    assert "everybody it is for" in said
    assert "other origins that may connect: none." in said


@pytest.mark.parametrize("typed", ["check -ws-port 9000", "check -ws-port=9000"])
def test_flags_are_understood_as_go_writes_them(
    typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed.split()) == 0
    assert ":9000/" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("--help", ["ask_user", "serve", "answer", "examples:", "frontend-router check --config"]),
        ("serve --help", ["[--SETTING VALUE ...]", "FRONTEND_ROUTER_WS_PORT", "The process:"]),
        ("check --help", [name.flag for name in names()]),
        ("ask --help", ["--choice", "0 answered", "\nexamples:\n"]),
        ("answer --help", ["--user"]),
    ],
)
def test_help_is_worth_reading(
    typed: str,
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main(typed.split())
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert [word for word in words if word not in said] == []
    assert max(len(line) for line in said.splitlines()) <= 90


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"frontend-router {metadata.version('frontend-router')}\n"


def test_asking_where_no_gateway_is_fails_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with closing(socket.socket()) as taken:
        # Bound and not listening: nobody answers there, and nobody else gets it.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/mcp"
        assert main(["ask", "Why?", "--url", url]) == 1
    assert "frontend-router serve" in capsys.readouterr().err


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("flag", ["--ws-port", "--mcp-port", "--monitoring-port"])
def test_a_port_in_use_is_told_with_what_to_do(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = dict.fromkeys(("--ws-port", "--mcp-port", "--monitoring-port"), "0")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        ports[flag] = str(taken.getsockname()[1])
        assert main([word for pair in ports.items() for word in pair]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"frontend-router: cannot listen on 127.0.0.1:{ports[flag]} (")
    assert f"choose another port with {flag}" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_the_package_is_the_command(tmp_path: Path) -> None:
    """Started by ``python -m gateway`` anywhere, with nothing around it."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "check"],
        cwd=tmp_path, env={}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The settings are good.")
