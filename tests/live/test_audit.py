"""The audit record of real gateways: the whole story, nobody's secrets, and no flood."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
import pytest
from websockets.sync.client import connect

from gateway.quotas.denials import MOST_OF_TENANT
from haproxy.redis_cluster import RedisNode
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.peer import Peer, host
from tests.live.process import GatewayProcess, running_gateway

# Longer than anything takes when all is well.
_PATIENCE_SECONDS: Final = 30
_MODERN: Final = "2026-07-28"
CANARY: Final = "canary-4711"


def typed(*arguments: str) -> str:
    """Run a command; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def new_key(subject: str, *scopes: str, where: tuple[str, ...]) -> str:
    wanted = [word for scope in scopes for word in ("--scope", scope)]
    return typed("key", "create", "--tenant", "acme", "--subject", subject, *wanted, *where).strip()


def id_of(key: str) -> str:
    return "key:" + key.split("_")[1]


@contextmanager
def followed(*arguments: str) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Follow the record; give a function that returns the next entry of a kind."""
    command = [sys.executable, "-m", "gateway", "audit", "--follow", "--json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:

        def until(kind: str) -> dict[str, Any]:
            assert process.stdout is not None
            for line in process.stdout:
                entry: dict[str, Any] = json.loads(line)
                if entry["kind"] == kind:
                    return entry
            raise AssertionError(f"it ended without {kind}")

        try:
            yield until
        finally:
            process.kill()


class Caller:
    """An agent with a credential."""

    def __init__(
        self, gateway: GatewayProcess, key: str, client: httpx.Client | None = None
    ) -> None:
        self._post = partial(httpx.post, trust_env=False) if client is None else client.post
        self._url = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
        self._key = key

    def call(self, tool: str, **arguments: Any) -> httpx.Response:
        described = "io.modelcontextprotocol/"
        meta = {f"{described}protocolVersion": _MODERN, f"{described}clientCapabilities": {}}
        return self._post(
            self._url,
            json={
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": tool, "arguments": arguments, "_meta": meta},
            },
            headers={
                "Authorization": f"Bearer {self._key}",
                # However slow the machine is, it is not told on a stream.
                "Accept": "application/json",
                "MCP-Protocol-Version": _MODERN,
                "Mcp-Method": "tools/call",
                "Mcp-Name": tool,
            },
            timeout=_PATIENCE_SECONDS,
        )

    def ask(self, **more: Any) -> str:
        """Ask, and do not wait; return the question's id."""
        asked = self.call("ask_user", question=CANARY, context=CANARY, wait="return", **more)
        assert asked.status_code == 200, asked.text
        question: str = asked.json()["result"]["structuredContent"]["question_id"]
        return question


@contextmanager
def frontend_of(gateway: GatewayProcess, key: str) -> Iterator[Any]:
    """Connect a frontend; give what it says and hears."""
    with connect(
        f"ws://127.0.0.1:{gateway.ws_port}/ws", proxy=None, open_timeout=_PATIENCE_SECONDS
    ) as socket:
        socket.send(json.dumps({"type": "connect", "token": key, "frontend_id": "tab-1"}))
        yield socket


def heard(socket: Any, kind: str) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(socket.recv(timeout=_PATIENCE_SECONDS))
        if message["type"] == kind:
            return message


def respond(socket: Any, question: str, **what: Any) -> None:
    socket.send(json.dumps({"type": "user_response", "request_id": question, **what}))
    assert heard(socket, "response_ack")["status"] == "accepted"


@pytest.fixture
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("FRONTEND_ROUTER_")]:
        monkeypatch.delenv(variable)


@pytest.mark.slow
@pytest.mark.usefixtures("_no_settings_around")
def test_what_is_asked_here_and_answered_there_is_one_story_without_secrets(
    redis_url: str, redis_node: RedisNode
) -> None:
    where = ("--store", redis_url)
    agent = new_key("ci", "ask", "notify", where=where)
    person = new_key("ann", "answer", where=where)
    flags = (*LEAVE_AT_ONCE, *where, "--auth-keys", "store")
    with running_gateway(*flags) as here, running_gateway(*flags) as there:
        caller = Caller(here, agent)
        of_acme = (*where, "--tenant", "acme")
        with followed(*of_acme) as until, frontend_of(there, person) as tab:
            heard(tab, "connect_ack")
            answered = caller.ask()
            assert heard(tab, "ask_user")["request_id"] == answered
            respond(tab, answered, answer=CANARY)
            rejected = caller.ask()
            heard(tab, "ask_user")
            respond(tab, rejected, rejected=True, reason=CANARY)
            cancelled = caller.ask()
            heard(tab, "ask_user")
            assert caller.call("cancel_question", question_id=cancelled).status_code == 200
            late = caller.ask(timeout_seconds=4)
            caller.call("notify_user", message=CANARY)
            heard(tab, "notify_user")
            assert until("timed_out")["question"] == late
            assert caller.call("list_frontends").status_code == 403
            assert until("denied")["credential"] == id_of(agent)
        with followed(*where, "--strangers") as until:
            wrong = agent[:-4] + "AAAA"
            assert Caller(there, wrong).call("ask_user", question=CANARY).status_code == 401
            entry = until("denied")
            assert (entry["reason"], entry["status"]) == ("wrong", 401)
            assert entry["claimed"] == id_of(agent)
        typed("key", "revoke", agent.split("_")[1], *where)

        def story(question: str) -> list[dict[str, Any]]:
            shown = typed("audit", *of_acme, "--question", question, "--json")
            return [json.loads(line) for line in shown.splitlines()]

        asked, offered, ended = story(answered)
        assert (asked["kind"], asked["subject"], asked["credential"]) == (
            "asked",
            "ci",
            id_of(agent),
        )
        for entry in (offered, ended):
            assert (entry["subject"], entry["credential"]) == ("ann", id_of(person))
            assert entry["frontend"] == "tab-1"
        assert (offered["kind"], ended["kind"]) == ("offered", "answered")
        assert asked["instance"] != ended["instance"] == offered["instance"]
        for question, kind in (
            (rejected, "rejected"),
            (cancelled, "cancelled"),
            (late, "timed_out"),
        ):
            assert [entry["kind"] for entry in story(question)] == ["asked", "offered", kind]
        changes = typed("audit", *of_acme, "--kind", "key_created", "--kind", "key_revoked")
        assert [line.split()[1:3] for line in changes.splitlines()] == [
            ["key_created", "ci"],
            ["key_created", "ann"],
            ["key_revoked", "ci"],
        ]
        told = typed("audit", *of_acme, "--kind", "told", "--kind", "notified", "--json")
        assert {json.loads(line)["kind"] for line in told.splitlines()} == {"told", "notified"}
        kept = "".join(
            str(redis_node.command("XRANGE", key, "-", "+")) for key in ("audit:acme", "audit:")
        )
        logs = here.text() + there.text()
    for secret in (CANARY, *(key.split("_", 2)[2] for key in (agent, person, wrong))):
        assert secret not in kept
        assert secret not in logs


@pytest.mark.slow
@pytest.mark.usefixtures("_no_settings_around")
def test_what_happened_just_before_the_end_is_in_the_record(redis_url: str) -> None:
    where = ("--store", redis_url)
    agent = new_key("ci", "ask", where=where)
    flags = (*where, "--auth-keys", "store", "--audit-content", "text")
    with running_gateway(*LEAVE_AT_ONCE, *flags) as gateway:
        question = Caller(gateway, agent).ask()
    shown = typed("audit", *where, "--tenant", "acme", "--question", question, "--json")
    assert json.loads(shown)["text"] == CANARY
    typed("audit", "redact", question, *where, "--tenant", "acme")
    assert CANARY not in typed("audit", *where, "--tenant", "acme")


@pytest.mark.slow
@pytest.mark.usefixtures("_no_settings_around")
def test_without_a_store_the_log_is_the_record_and_strangers_do_not_fill_it(
    tmp_path: Path,
) -> None:
    keys = str(tmp_path / "keys.json")
    agent = new_key("ci", "ask", where=("--keys", keys))
    with running_gateway(*LEAVE_AT_ONCE, "--auth-keys", keys) as gateway:
        question = Caller(gateway, agent).ask()
        port = gateway.mcp_port
        with Peer(port) as stranger:
            # All at once, so that they are many in a second however slow the machine is.
            stranger.send(b"POST /mcp HTTP/1.1\r\n%bContent-Length: 2\r\n\r\n{}" % host(port) * 300)
            for _ in range(300):
                assert stranger.answer().status == 401
        held_back = gateway.wait_for_event("denials_not_logged")
    lines = [event for event in gateway.events if event["event"] == "audit"]
    (asked,) = [line for line in lines if line.get("question") == question]
    assert (asked["tenant"], asked["kind"], asked["subject"]) == ("acme", "asked", "ci")
    logged = [event for event in gateway.events if event["event"] == "denied"]
    assert held_back["reason"] == "missing"
    assert held_back["count"] >= 10
    assert 10 <= len(logged) <= 100
    recorded = [line for line in lines if line["kind"] == "denied" and "peer" in line]
    assert len(recorded) == len(logged)
    assert any(line.get("count") == held_back["count"] for line in lines)
    assert CANARY not in gateway.text()


@pytest.mark.slow
@pytest.mark.usefixtures("_no_settings_around")
def test_who_is_over_a_quota_is_in_the_record_once_however_often(tmp_path: Path) -> None:
    keys = str(tmp_path / "keys.json")
    agent = new_key("ci", "ask", where=("--keys", keys))
    flags = ("--auth-keys", keys, "--quotas-subject-pending", "1")
    with running_gateway(*LEAVE_AT_ONCE, *flags) as gateway:
        caller = Caller(gateway, agent)
        caller.ask()
        for _ in range(5):
            refused = caller.call("ask_user", question="?", wait="return").json()["error"]
            assert refused["data"]["quota"] == "subject_pending"
    lines = [event for event in gateway.events if event["event"] == "audit"]
    (denied,) = [line for line in lines if line["kind"] == "denied"]
    assert (denied["tenant"], denied["subject"]) == ("acme", "ci")
    assert (denied["reason"], denied["status"]) == ("subject_pending", 429)
    assert denied["credential"] == id_of(agent)


@pytest.mark.slow
@pytest.mark.usefixtures("_no_settings_around")
def test_how_many_were_over_a_quota_and_not_recorded_is_said_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(CANARY * 4)
    claims = {"iss": "issuer", "aud": "here", "exp": 4_000_000_000, "tenant": "acme"}
    flags = (
        *("--auth-secret-file", str(tmp_path / "secret")),
        *("--auth-issuer", "issuer", "--auth-audience", "here", "--quotas-pending", "1"),
    )
    with (
        running_gateway(*LEAVE_AT_ONCE, *flags) as gateway,
        httpx.Client(trust_env=False) as client,
    ):
        for number in range(MOST_OF_TENANT + 4):
            who = claims | {"sub": f"agent-{number}", "scope": "ask"}
            caller = Caller(gateway, jwt.encode(who, CANARY * 4, "HS256"), client)
            said = caller.call("ask_user", question="?", wait="return").json()
            assert ("error" in said) == (number > 0)
    lines = [event for event in gateway.events if event["event"] == "audit"]
    denied = [line for line in lines if line["kind"] == "denied"]
    assert {line["reason"] for line in denied} == {"pending"}
    # Each has an entry, or is counted among those who have none.
    others = [line["count"] for line in denied if line["tenant"] == ""]
    assert others
    assert len(denied) - len(others) + sum(others) == MOST_OF_TENANT + 3
