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
from session.model import SCOPES


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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "all of the 16,384 connections: set --connections-per-address, unless all"),
        ({"connections_per_address": "100"}, "One address may have 100 of the 16,384 connections."),
        (
            {"access_proxies": "10.0.0.5", "access_proxy_protocol": "on"},
            "all of the 16,384 connections: set --connections-per-address.",
        ),
        ({"access_proxies": "10.0.0.5"}, "limits WebSockets only; agents are the proxy's to limit"),
    ],
)
def test_it_is_said_what_one_address_may_have(changes: dict[str, str], words: str) -> None:
    """Nothing of it where nobody from elsewhere can connect."""
    said = described(load({"auth_keys": "store", "store": "redis://127.0.0.1/0", **changes}, {}))
    assert words in said
    assert ("WebSockets only" in said) == (changes == {"access_proxies": "10.0.0.5"})
    assert "One address" not in described(load(changes, {}))


@pytest.mark.parametrize(
    ("workers", "words"), [("2", "workers    on port 8083\n"), ("4", "on ports 8083 to 8085\n")]
)
def test_it_is_said_where_each_worker_is_monitored(workers: str, words: str) -> None:
    store = {"store": "redis://127.0.0.1/0"}
    assert words in described(load({"workers": workers, **store}, {}))
    assert "workers " not in described(load(store, {}))


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


def test_what_is_limited_is_said(tmp_path: Path) -> None:
    assert "may use" not in described(load({}, {}))
    said = described(load({"quotas_pending": "5", "quotas_subject_frontends": "2"}, {}))
    assert "A tenant may use: pending 5." in said
    assert "A subject may use: frontends 2." in said
    file = tmp_path / "quotas.toml"
    file.write_text("[acme]\npending = 1\n")
    assert "come the quotas of acme." in described(load({"quotas_file": str(file)}, {}))
    file.write_text("")
    assert "of nobody." in described(load({"quotas_file": str(file)}, {}))


def test_a_wrong_file_of_quotas_is_no_good_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "quotas.toml"
    file.write_text("[acme]\npendin = 1\n")
    assert main(["check", "--quotas-file", str(file)]) == 2
    assert "the nearest is pending" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({}, "Who asked and who answered is not recorded (--audit-to)."),
        ({"audit_to": "log"}, "is recorded in the log: ids and times."),
        (
            {"audit_to": "both", "audit_content": "text", "store": "redis://127.0.0.1/0"},
            "is recorded in the log and the store: ids, times and texts.",
        ),
    ],
)
def test_it_is_said_what_is_recorded_and_where(flags: dict[str, str | None], words: str) -> None:
    assert words in described(load(flags, {}))


def test_a_load_test_without_its_parts_says_where_they_come_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("loadtest", "hdrh")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("hdrh", "hdrh.histogram"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["loadtest", "baseline"]) == 1
    told = capsys.readouterr().err
    assert "`make load` in a checkout" in told
    assert "pip install 'frontend-router[loadtest]'" in told


TOKENS = ("--auth-issuer", "https://login.example", "--auth-audience", "us")


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize(
    ("flag", "content", "complaint"),
    [
        ("--auth-keys", None, "it cannot be read: No such file or directory"),
        ("--auth-keys", "{", "this is no file of keys"),
        ("--auth-secret-file", "12345", "a secret for HS256 has at least 32 bytes"),
        ("--auth-jwks", '{"keys":[]}', "no key in this JWK set is for verifying"),
        ("--auth-jwks", None, "it cannot be read: No such file or directory"),
    ],
)
def test_what_nobody_could_serve_with_are_no_good_settings(
    flag: str,
    content: str | None,
    complaint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What serving refuses is refused by the check before it, in the same words."""
    file = tmp_path / "kept"
    if content is not None:
        file.write_text(content)
    flags = [flag, str(file), *(() if flag == "--auth-keys" else TOKENS)]
    assert main(["check", *flags]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith(f"frontend-router: {flag} {file}: {complaint}")
    assert said.count("\n") == 1
    ports = ["--ws-port", "0", "--mcp-port", "0", "--monitoring-port", "0"]
    assert main(["serve", *ports, *flags]) == 1
    assert capsys.readouterr().err == said


def test_files_that_are_good_are_good_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys.json").write_text("[]")
    (tmp_path / "secret").write_text("s" * 32)
    flags = ["--auth-keys", str(tmp_path / "keys.json"), *TOKENS]
    flags += ["--auth-secret-file", str(tmp_path / "secret")]
    # What is elsewhere is asked by who serves, and may come later.
    flags += ["--auth-jwks", "https://login.example/jwks"]
    assert main(["check", *flags]) == 0
    assert capsys.readouterr().out.startswith("The settings are good.")


def test_a_password_of_redis_that_is_not_there_is_no_good_setting(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--store", "redis://127.0.0.1/0", "--redis-password-file", "/nowhere/password"]
    assert main(["check", *flags]) == 2
    err = capsys.readouterr().err
    assert "--redis-password-file /nowhere/password cannot be read: No such file" in err


def test_it_is_said_what_each_scope_is_for() -> None:
    lines = described(load({"auth_keys": "keys.json"}, {})).splitlines()
    for scope in SCOPES:
        assert any(line.startswith(f"  {scope} ") for line in lines), scope
    (at,) = (at for at, line in enumerate(lines) if line.startswith("  admin "))
    assert " ".join(" ".join(lines[at : at + 2]).split()) == (
        "admin with ask: to read, await and take back every question of the tenant, "
        "and not only one's own"
    )


def test_large_numbers_are_readable() -> None:
    said = described(load({"auth_keys": "keys.json"}, {}))
    assert "bytes_per_minute 1,073,741,824" in said
    assert "e+" not in said
    assert "asks_per_second 0.5" in described(load({"quotas_asks_per_second": "0.5"}, {}))


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["check", "check --help", "key list --keys keys.json"])
def test_a_reader_who_has_seen_enough_is_no_error(typed: str, tmp_path: Path) -> None:
    """As `head` is: here nobody reads at all, so the first byte that is written finds that."""
    (tmp_path / "keys.json").write_text("[]")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *typed.split()],
            cwd=tmp_path, env={}, stdout=writing, stderr=subprocess.PIPE, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
