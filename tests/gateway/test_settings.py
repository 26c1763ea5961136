"""Where settings come from, which source wins, and what is refused."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from gateway.setting_names import SettingsError
from gateway.settings import Settings, add_arguments, changed, load, names


def refusal(flags: dict[str, str | None], environment: dict[str, str] | None = None) -> str:
    """Return the words in which these settings are refused."""
    with pytest.raises(SettingsError) as refused:
        load(flags, environment or {})
    return str(refused.value)


def test_nothing_given_is_every_default() -> None:
    settings = load({}, {"PATH": "/bin", "HOME": "/"})
    assert settings == Settings()
    assert settings.host == "127.0.0.1"
    assert (settings.ws_port, settings.mcp_port, settings.monitoring_port) == (8080, 8081, 8082)
    assert changed(settings) == []


def test_every_default_is_one_that_may_be_given() -> None:
    for name in names():
        assert name.check(name.default, name.flag) == name.default


def test_every_number_with_a_bound_below_is_refused_under_it() -> None:
    """Nothing that counts or lasts can be negative."""
    for name in names():
        if name.kind in (int, float):
            assert name.declaration.minimum is not None, name.flag
            assert name.declaration.minimum >= 0, name.flag


@pytest.mark.parametrize(
    ("flag", "most"),
    [
        ("questions_question_bytes", 16 * 1024 * 1024),
        ("questions_answer_bytes", 16 * 1024 * 1024),
        ("http_body_bytes", 32 * 1024 * 1024),
        ("frontends_message_bytes", 32 * 1024 * 1024),
    ],
)
def test_nothing_may_be_longer_than_what_steps_are_measured_with(flag: str, most: int) -> None:
    load({flag: str(most)}, {})
    assert f"at most {most:,}" in refusal({flag: str(most + 1)})


def test_no_two_settings_share_a_name() -> None:
    assert len({name.flag for name in names()}) == len(names())
    assert len({name.variable for name in names()}) == len(names())


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(
        "ws_port = 1\nmcp_port = 2\nmonitoring_port = 3\n"
        "[access]\norigins = ['https://app.example']\n"
        "[frontends]\nheartbeat_seconds = 20\n"
    )
    environment = {
        "FRONTEND_ROUTER_CONFIG": str(file),
        "FRONTEND_ROUTER_MCP_PORT": "12",
        "FRONTEND_ROUTER_MONITORING_PORT": "13",
    }
    settings = load({"monitoring_port": "23", "ws_port": None}, environment)
    assert (settings.ws_port, settings.mcp_port, settings.monitoring_port) == (1, 12, 23)
    assert settings.access.origins == ("https://app.example",)
    assert settings.frontends.heartbeat_seconds == 20.0
    assert changed(settings) == [
        ("--ws-port", "1"),
        ("--mcp-port", "12"),
        ("--monitoring-port", "23"),
        ("--access-origins", "https://app.example"),
        ("--frontends-heartbeat-seconds", "20.0"),
    ]


def test_the_file_of_the_flag_is_read_and_that_of_the_environment_is_not(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("ws_port = 9")
    settings = load({"config": str(file)}, {"FRONTEND_ROUTER_CONFIG": "/nowhere.toml"})
    assert settings.ws_port == 9


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("ws_prot = 1", "there is no setting ws_prot; the nearest is ws_port"),
        ("[conections]\nmaximum = 1", "there is no setting conections; the nearest is connections"),
        (
            "[connections]\nmaximun = 1",
            "there is no setting connections.maximun; the nearest is connections.maximum",
        ),
        ("connections = 5", "connections is a table: write [connections] and its settings below"),
        ("ws_port = '1'", "ws_port takes a whole number, not '1'"),
        ("ws_port = 70000", "ws_port is at most 65,535, not 70,000"),
        ("[host]\nname = 'x'", "host takes a text, not {'name': 'x'}"),
        ("[access]\norigins = 'https://a'", "access.origins takes a list of texts"),
    ],
)
def test_a_file_is_refused_where_it_is_wrong(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(content)
    assert refusal({"config": str(file)}).startswith(f"{file}: {complaint}")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"ws_port", "is not TOML: "), (b"\xff", "is not TOML: "), (None, "cannot be read: No such")],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    file = tmp_path / "gateway.toml"
    if content is not None:
        file.write_bytes(content)
    assert refusal({"config": str(file)}).startswith(f"{file} {complaint}")


@pytest.mark.parametrize(
    ("variable", "text", "complaint"),
    [
        (
            "FRONTEND_ROUTER_WS_PROT",
            "1",
            (
                "there is no environment variable FRONTEND_ROUTER_WS_PROT; "
                "the nearest is FRONTEND_ROUTER_WS_PORT"
            ),
        ),
        ("FRONTEND_ROUTER_WS_PORT", "", "FRONTEND_ROUTER_WS_PORT takes a whole number, not ''"),
        (
            "FRONTEND_ROUTER_CONNECTIONS_MAXIMUM",
            "0",
            "FRONTEND_ROUTER_CONNECTIONS_MAXIMUM is at least 1 connections, not 0",
        ),
    ],
)
def test_the_environment_is_refused_where_it_is_wrong(
    variable: str, text: str, complaint: str
) -> None:
    assert refusal({}, {variable: text}) == complaint


def test_a_pod_beside_a_service_of_our_name_starts() -> None:
    """Kubernetes adds these by itself; some are spelled like settings."""
    load(
        {},
        {
            "FRONTEND_ROUTER_SERVICE_HOST": "10.0.0.7",
            "FRONTEND_ROUTER_SERVICE_PORT": "8080",
            "FRONTEND_ROUTER_SERVICE_PORT_WS": "8080",
            "FRONTEND_ROUTER_PORT": "tcp://10.0.0.7:8080",
            "FRONTEND_ROUTER_PORT_8080_TCP": "tcp://10.0.0.7:8080",
            "FRONTEND_ROUTER_PORT_8080_TCP_PROTO": "tcp",
            "FRONTEND_ROUTER_PORT_8080_TCP_PORT": "8080",
            "FRONTEND_ROUTER_PORT_8080_TCP_ADDR": "10.0.0.7",
            # A Service called frontend-router-mcp.
            "FRONTEND_ROUTER_MCP_PORT": "tcp://10.0.0.8:8081",
        },
    )


@pytest.mark.parametrize(
    "store",
    ["hunter2", "mysql://u:hunter2@h", "redis://u:hunter2@a:1,b:2", "redis+cluster://:hunter2@a/3"],
)
def test_a_store_that_cannot_be_is_refused_without_its_password(store: str) -> None:
    complaint = refusal({"store": store})
    assert complaint.startswith("--store: ")
    assert "redis" in complaint or "cluster" in complaint
    assert "hunter2" not in complaint


def test_a_password_comes_by_the_environment_or_a_file_and_never_by_a_flag() -> None:
    url = "redis://gateway:hunter2@localhost"
    complaint = refusal({"store": url})
    assert complaint.startswith("--store has a password in it")
    assert "FRONTEND_ROUTER_STORE" in complaint
    assert "hunter2" not in complaint
    settings = load({}, {"FRONTEND_ROUTER_STORE": url})
    assert ("--store", "redis://gateway@localhost:6379/0") in changed(settings)
    user: dict[str, str | None] = {"store": "redis://gateway@localhost"}
    assert refusal(user).startswith("--store names the user gateway and no password")
    load(user | {"redis_password_file": "redis.secret"}, {})


def test_several_processes_need_a_store_they_can_share() -> None:
    assert "--workers 4 needs a store that processes can share" in refusal({"workers": "4"})
    assert load({"workers": "4", "store": "redis://localhost"}, {}).workers == 4


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_credentials(host: str) -> None:
    assert load({"host": host}, {}).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "192.0.2.1", "2001:db8::1"])
def test_another_address_is_refused_with_a_way_on(host: str) -> None:
    complaint = refusal({"host": host})
    assert complaint.startswith(f"--host {host} would let everybody who reaches it ask and answer")
    for way in ("frontend-router key create", "--auth-jwks", "SSH tunnel"):
        assert way in complaint
    load({"host": host, "auth_keys": "keys.json"}, {})


@pytest.mark.parametrize("host", ["", "example.org", "[::1]", "127.0.0.1:80"])
def test_a_host_that_is_no_address_is_refused(host: str) -> None:
    assert refusal({"host": host}) == f"--host takes an IP address, not {host!r}"


def test_two_ports_cannot_be_one_but_several_may_be_any() -> None:
    assert "--ws-port and --mcp-port are both 9000" in refusal(
        {"ws_port": "9000", "mcp_port": "9000"}
    )
    assert "--ws-port and --monitoring-port are both 8080" in refusal({"monitoring_port": "8080"})
    load({"ws_port": "0", "mcp_port": "0", "monitoring_port": "0"}, {})


def test_values_that_do_not_go_together_are_refused_by_their_part() -> None:
    complaint = refusal({"nursery_minimum": "10", "nursery_maximum": "2"})
    assert "minimum (10) must not exceed maximum (2)" in complaint


def test_every_setting_has_a_flag_with_its_default_in_help() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_arguments(parser)
    text = " ".join(parser.format_help().split())
    for name in names():
        assert f"{name.flag} {name.value_word()}" in text
        assert f"[{name.shown_default()}]" in text


def test_what_a_flag_is_given_arrives() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_arguments(parser)
    for name in names():
        if name.kind in (int, float) and not name.field.endswith("_port"):
            shared = ["--store", "redis://localhost"]
            flags = vars(parser.parse_args([name.flag, str(name.default + 1), *shared]))
            settings: Any = load(flags, {})
            part = getattr(settings, name.part) if name.part else settings
            assert getattr(part, name.field) == name.default + 1


def test_an_audit_record_in_a_store_that_nobody_can_read_is_refused() -> None:
    said = refusal({"audit_to": "store"})
    assert "with --store memory:// the audit record is the log: --audit-to log" in said
    kept = load({"audit_to": "both", "store": "redis://127.0.0.1/0"}, {})
    assert kept.audit.to == "both"
