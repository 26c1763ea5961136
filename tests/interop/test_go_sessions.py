"""Go services and this gateway share callers' sessions, through one cluster and byte by byte."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from gateway.ids import Ids
from haproxy.redis_cluster import RedisCluster
from session.model import McpSession
from session.redis.keys import session as key_of
from session.redis.keys import slot_of
from tests.session.redis.instances import PATIENCE, instances, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("go") is None,
        reason="Go is not installed: sessions shared with Go are not shown",
    ),
]
SOURCES = Path(__file__).parent / "go"
BUILD_SECONDS = 300
ids = Ids()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, compiled."""
    made = tmp_path_factory.mktemp("go") / "session_goredis"
    built = subprocess.run(
        ["go", "build", "-o", made, "./session_goredis"],
        cwd=SOURCES,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    assert built.returncode == 0, built.stderr
    return made


async def _run(program: Path, cluster: RedisCluster, session_id: str, *flags: str) -> bytes:
    addresses = cluster.url.partition("://")[2]
    command = [str(program), f"-addrs={addresses}", f"-id={session_id}", *flags]
    with trio.fail_after(PATIENCE):
        done = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False
        )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _stored(cluster: RedisCluster, session_id: str) -> bytes:
    key = key_of(session_id)
    text: str = cluster.primary_of(slot_of(key)).command("GET", key)
    return text.encode()


def _fields(data: bytes) -> dict[str, bytes]:
    """Return an object's fields, each as the bytes it was written as."""
    raw = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    return {name: bytes(value) for name, value in raw.items()}


async def test_a_session_that_go_wrote_is_used_here_and_keeps_what_only_go_knows(
    program: Path, redis_cluster: RedisCluster
) -> None:
    session_id = ids.uuid()
    written = await _run(program, redis_cluster, session_id, "-write")
    async with instances(redis_cluster.url) as open_instance:
        here = (await open_instance()).store
        found = await here.find_session(session_id)
        assert found is not None
        assert (found.id, found.tenant, found.subject) == (session_id, "default", "anonymous")
        assert found.revision == "2025-11-25"
        assert found.created_at == 1767323045.123456
        # Go let it live for two hours; an hour without a request is no end to that.
        await here.ping()
        key = key_of(session_id)
        left = redis_cluster.primary_of(slot_of(key)).command("TTL", key)
        assert left > 7000
        await here.save_session(msgspec.structs.replace(found, log_level="debug"))
    theirs, ours = _fields(written), _fields(_stored(redis_cluster, session_id))
    assert theirs.keys() >= {"user_id", "created_at", "metadata", "attempts"}
    assert {name: ours[name] for name in theirs} == theirs
    assert ours["log_level"] == b'"debug"'
    # And Go reads that again: its own as it wrote it, with what is ours.
    again = json.loads(await _run(program, redis_cluster, session_id))
    assert again == json.loads(written) | {
        "tenant": "default",
        "subject": "anonymous",
        "protocol_version": "2025-11-25",
        "log_level": "debug",
    }


async def test_a_session_that_was_written_here_is_read_by_go(
    program: Path, redis_cluster: RedisCluster
) -> None:
    kept = McpSession(
        id=ids.uuid(),
        tenant="acme <1>",
        subject="ann\u2028",
        revision="2025-06-18",
        created_at=1767323045.25,
        client_name="a & b",
        capabilities={"sampling": {}, "x": [1.0, 1e21, None]},
        log_level="info",
    )
    async with instances(redis_cluster.url) as open_instance:
        await (await open_instance()).store.save_session(kept)
    read: dict[str, Any] = json.loads(await _run(program, redis_cluster, kept.id))
    assert read == {
        "id": kept.id,
        "user_id": "",
        "created_at": "2026-01-02T03:04:05.25Z",
        "attempts": 0,
        "tenant": kept.tenant,
        "subject": kept.subject,
        "protocol_version": kept.revision,
        "client_name": kept.client_name,
        "capabilities": kept.capabilities,
        "log_level": kept.log_level,
    }


async def test_what_go_writes_again_is_seen_here_before_a_second_is_over(
    program: Path, redis_cluster: RedisCluster
) -> None:
    session_id = ids.uuid()
    mine = McpSession(session_id, "acme", "ann", "2025-06-18", 1767323045.25)
    async with instances(redis_cluster.url) as open_instance:
        one, other = await open_instance(), await open_instance()
        await one.store.save_session(mine)
        assert await other.store.find_session(session_id) == mine
        subjects = [mine.subject]

        async def look() -> None:
            found = await other.store.find_session(session_id)
            assert found is not None
            subjects.append(found.subject)

        await _run(program, redis_cluster, session_id, "-write")
        misses = other.store.statistics().session_misses
        await until(lambda: subjects[-1] == "anonymous", look)
        # Redis said so: it was read once more, and not because a second was over.
        assert other.store.statistics().session_misses == misses + 1
