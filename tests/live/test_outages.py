"""What a gateway's log says while its store is away: enough to mend it, and not again and again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from haproxy.redis_cluster import RedisCluster, RedisNode, running_node
from haproxy.redis_node import wait_until
from session.redis.keys import PLACES
from tests.live.caller import caller_at, text_of
from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

# A reply may take longer than usual where the machine stands still for a moment.
HASTY = (*LEAVE_AT_ONCE, "--redis-patience-seconds", "0.1", "--redis-reply-seconds", "4")
# Before a replica takes over.
HASTIER = (*LEAVE_AT_ONCE, "--redis-patience-seconds", "0.1", "--redis-reply-seconds", "0.5")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RedisNode]:
    """A server of a test's own."""
    with running_node(tmp_path / "node") as server:
        yield server


def logged(gateway: GatewayProcess, *names: str) -> list[dict[str, Any]]:
    """Return the events of these names, and no more than was logged by now."""
    return [event for event in gateway.events if event.get("event") in names]


def connections_of(node: RedisNode) -> int:
    return int(node.info("stats")["total_connections_received"])


def test_a_password_that_is_wrong_while_it_runs_is_logged_once(node: RedisNode) -> None:
    with running_gateway("--store", node.url, *HASTY) as gateway:
        node.command("CONFIG", "SET", "requirepass", "canary")
        node.credentials = ("canary",)
        node.command("CLIENT", "KILL", "TYPE", "normal")
        away = gateway.wait_for_event("store_away")
        assert away["level"] == "error"
        assert away["node"] == f"127.0.0.1:{node.port}"
        assert "does not accept the user and password" in away["reason"]
        assert "--redis-password-file" in away["reason"]
        # Who asks at a port of people or callers learns nothing of it.
        for port in (gateway.ws_port, gateway.mcp_port):
            report = httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
            assert report.status_code == 503
            assert f":{node.port}" not in report.text
            assert "password" not in report.text
        # However often it is tried.
        tried = connections_of(node)
        wait_until(lambda: "" if connections_of(node) > tried + 20 else "few", "it is tried again")
        node.command("CONFIG", "SET", "requirepass", "")
        node.credentials = ()
        back = gateway.wait_for_event("store_back")
        assert back["node"] == away["node"]
        assert back["seconds"] > 0
        assert logged(gateway, "store_away", "store_back") == [away, back]
        assert "canary" not in gateway.text()


def test_one_node_of_several_is_named(broken_cluster: RedisCluster) -> None:
    with running_gateway("--store", broken_cluster.url, *HASTIER) as gateway:
        lost = broken_cluster.primary_of(PLACES[0].slot)
        lost.stop()
        away = gateway.wait_for_event("store_away")
        assert away["node"] == f"127.0.0.1:{lost.port}"
        assert away["reason"]
        # Its replica takes over, or it goes on.
        lost.resume()
        assert gateway.wait_for_event("store_back")["node"] == away["node"]


def test_a_missing_permission_is_named_with_what_to_grant(node: RedisNode, tmp_path: Path) -> None:
    node.command("ACL", "SETUSER", "fr", "on", ">secret", "~*", "&*", "+@all", "-ssubscribe")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    store = ("--store", f"redis://fr@127.0.0.1:{node.port}/0", "--redis-password-file", str(secret))
    with running_gateway(*store, *HASTY) as gateway:
        refused = gateway.wait_for_event("store_refuses")
        assert "user fr may not do what is needed" in refused["reason"]
        assert "'ssubscribe'" in refused["reason"]
        assert "Permissions" in refused["reason"]
        assert logged(gateway, "store_away") == []


async def test_a_store_without_room_is_logged_and_told_in_other_words(node: RedisNode) -> None:
    with running_gateway("--store", node.url, *HASTY) as gateway:
        node.command("CONFIG", "SET", "maxmemory", "1mb")
        with trio.fail_after(60):
            async with caller_at(gateway.mcp_port) as caller:
                told = text_of(await caller.call("ask_user", question="?"))
        assert "memory is full" in told
        assert "maxmemory" not in told
        refused = gateway.wait_for_event("store_refuses")
        assert "maxmemory" in refused["reason"]
