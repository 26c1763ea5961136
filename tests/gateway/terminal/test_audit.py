"""The command that reads the record, on a record in a real Redis."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.clock import WallClock
from gateway.terminal.operator import operator
from haproxy.redis_cluster import RedisNode
from session import parse_store_address
from session.redis.trail import RedisTrail

CANARY = "canary-4711"


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("FRONTEND_ROUTER_")]:
        monkeypatch.delenv(variable)


class Record:
    """A record in Redis, and the command that reads it."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self.now = WallClock().now()
        self.trail = RedisTrail(parse_store_address(url))
        self._capsys = capsys

    def write(self, kind: str, ago: float, tenant: str = "acme", **more: Any) -> None:
        entry = {"at": self.now - ago, "kind": kind, "instance": "a", **more}
        self.trail.append(tenant, json.dumps(entry).encode())

    def run(self, *arguments: str) -> tuple[int, str, str]:
        status = main(["audit", *arguments, "--store", self.url])
        return status, *self._capsys.readouterr()

    def entries(self, *arguments: str) -> list[dict[str, Any]]:
        status, out, err = self.run("--tenant", "acme", "--json", *arguments)
        assert (status, err) == (0, "")
        return [json.loads(line) for line in out.splitlines()]

    def kinds(self, *arguments: str) -> list[str]:
        return [entry["kind"] for entry in self.entries(*arguments)]


@pytest.fixture
def record(redis_url: str, capsys: pytest.CaptureFixture[str]) -> Record:
    """A record in which what happened first arrived second."""
    record = Record(redis_url, capsys)
    record.write("offered", 99, subject="ann", question="q1", frontend="tab")
    record.write("asked", 100, subject="ci", question="q1", audience="everyone")
    record.write("answered", 50, subject="ann", question="q1", frontend="tab")
    record.write("asked", 7300, subject="ci", question="q0")
    record.write("denied", 10, tenant="", reason="wrong", status=401, claimed="key:00")
    return record


def test_entries_are_shown_by_their_times(record: Record) -> None:
    assert record.kinds() == ["asked", "asked", "offered", "answered"]
    first = record.entries("--question", "q1")[0]
    assert first.pop("at").endswith("Z")
    assert first.pop("position")
    assert first == {
        "kind": "asked",
        "tenant": "acme",
        "instance": "a",
        "subject": "ci",
        "question": "q1",
        "audience": "everyone",
    }


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        ("--since 2h", ["asked", "offered", "answered"]),
        ("--until 75s", ["asked", "asked", "offered"]),
        ("--since 2h --until 75s", ["asked", "offered"]),
        ("--subject ann", ["offered", "answered"]),
        ("--kind answered --kind offered", ["offered", "answered"]),
        ("--question q0", ["asked"]),
        ("--question q2", []),
        ("--since 2999-01-01T00:00Z", []),
    ],
)
def test_entries_are_picked(record: Record, arguments: str, kinds: list[str]) -> None:
    assert record.kinds(*arguments.split()) == kinds


def test_those_whom_nobody_knew_have_a_record_of_their_own(record: Record) -> None:
    status, out, _ = record.run("--strangers")
    assert status == 0
    (line,) = out.splitlines()
    assert "denied" in line
    assert "reason=wrong status=401 claimed=key:00" in line


def test_a_line_commands_no_terminal_and_passes_for_no_other(record: Record) -> None:
    record.write("told", 1, tenant="evil", subject="\x1b[2Jann\n", frontend="a b\r\nkind=\x9b")
    status, out, _ = record.run("--tenant", "evil")
    assert status == 0
    assert out.count("\n") == 2
    assert "\x1b" not in out
    assert "\x9b" not in out
    assert 'frontend="a b\\r\\nkind=\\x9b"' in out


def test_what_another_version_wrote_is_passed_over(record: Record) -> None:
    for raw in (b"?", b"[]", b'{"kind":"asked"}', b'{"at":"now","kind":"asked"}'):
        record.trail.append("acme", raw)
    assert len(record.kinds()) == 4


def test_what_was_said_is_taken_out_and_that_is_said(record: Record, redis_node: RedisNode) -> None:
    record.write("asked", 5, question="q7", text=CANARY)
    record.write("answered", 4, question="q7", answer=CANARY, content={"a": CANARY})
    record.write("answered", 3, question="q8", answer="stays")
    assert record.run("redact", "q7", "--tenant", "acme")[:2] == (
        0,
        "What was said is taken out of 2 entries.\n",
    )
    assert CANARY not in str(redis_node.command("XRANGE", "audit:acme", "-", "+"))
    story = record.entries("--question", "q7")
    assert [(entry["kind"], entry.get("redacted")) for entry in story] == [
        ("asked", True),
        ("answered", True),
        ("redacted", None),
    ]
    assert (story[2]["by"], story[2]["count"]) == (operator(), 2)
    (other,) = record.entries("--question", "q8")
    assert other["answer"] == "stays"
    assert "nothing is to be taken out" in record.run("--tenant", "acme", "redact", "q7")[1]
    assert len(record.entries("--question", "q7")) == 3


def test_what_is_told_can_be_redacted_too(record: Record) -> None:
    record.write("notified", 5, notification="n1", text=CANARY, told=1)
    assert record.run("--tenant", "acme", "redact", "n1")[0] == 0
    assert [entry["kind"] for entry in record.entries() if "notification" in entry] == [
        "notified",
        "redacted",
    ]
    assert CANARY not in str(record.entries())


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("audit", "say which Redis the record is in: --store redis://..."),
        ("audit --store memory://", "has its record in its log, a line for each entry"),
        ("audit --store mysql://x", "--store:"),
        ("audit --store redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0 cannot be reached"),
        ("audit --since then --store redis://127.0.0.1:1/0", "--since takes a time as in"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_to_do(
    typed: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed.split()) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err


def test_a_record_that_is_not_there_is_no_empty_one(record: Record) -> None:
    assert "no record of the tenant 'nobody'" in record.run("--tenant", "nobody")[2]
    assert "no entry about 'q9'" in record.run("redact", "q9", "--tenant", "acme")[2]


def test_who_changes_keys_is_recorded_and_no_secret_is(record: Record) -> None:
    arguments = ["--tenant", "acme", "--subject", "ci", "--scope", "ask", "--store", record.url]
    assert main(["key", "create", *arguments]) == 0
    secret = record._capsys.readouterr().out.strip()
    key_id = secret.split("_")[1]
    assert main(["key", "revoke", key_id, "--store", record.url]) == 0
    assert main(["key", "revoke", key_id, "--store", record.url]) == 0
    record._capsys.readouterr()
    changes = record.entries("--kind", "key_created", "--kind", "key_revoked")
    assert [entry["kind"] for entry in changes] == ["key_created", "key_revoked"]
    assert {entry["by"] for entry in changes} == {operator()}
    assert {entry["credential"] for entry in changes} == {f"key:{key_id}"}
    assert changes[0]["scopes"] == ["ask"]
    assert secret.split("_", 2)[2] not in str(changes)


def test_keys_in_a_file_have_their_record_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.json"
    arguments = ["--tenant", "acme", "--subject", "ci", "--scope", "ask", "--keys", str(file)]
    assert main(["key", "create", *arguments]) == 0
    secret = capsys.readouterr().out.strip()
    assert main(["key", "revoke", secret.split("_")[1], "--keys", str(file)]) == 0
    record = tmp_path / "keys.json.audit"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [(line["tenant"], line["kind"], line["by"]) for line in lines] == [
        ("acme", "key_created", operator()),
        ("acme", "key_revoked", operator()),
    ]
    assert secret.split("_", 2)[2] not in record.read_text()


def test_a_key_that_cannot_be_recorded_is_shown_to_nobody(
    record: Record, redis_node: RedisNode
) -> None:
    redis_node.command("DEL", "audit:acme")
    redis_node.command("SET", "audit:acme", "no record")
    arguments = ["--tenant", "acme", "--subject", "ci", "--scope", "ask", "--store", record.url]
    assert main(["key", "create", *arguments]) == 1
    out, err = record._capsys.readouterr()
    assert out == ""
    assert "not recorded, so it is not shown: revoke it" in err
    key_id = err.split("the key ")[1].split(" ")[0]
    assert main(["key", "revoke", key_id, "--store", record.url]) == 1
    assert "is revoked, but that is not recorded" in record._capsys.readouterr().err
