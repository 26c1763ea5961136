"""Nothing crosses from one tenant, or one subject, to another, at whichever instance (A3, E2).

Three gateways with API keys in a real Redis Cluster. Whatever somebody may try with ids that
are not theirs, they hear what they would hear of ids that nobody has.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest
import redis
import trio
from trio_websocket import open_websocket_url

from haproxy.redis_cluster import RedisCluster
from tests.cluster.instances import PATIENCE, Instance, running_instances
from tests.interop.person import Person, person_at
from tests.live.caller import WITH_TASKS, Response, caller_at, open_session, text_of
from tests.live.credentials import new_key

pytestmark = pytest.mark.slow

_TENANTS = ("acme", "globex")


class Keys(NamedTuple):
    """The keys of one tenant: of two agents and of two people."""

    agent: str
    other_agent: str
    person: str
    other_person: str


@pytest.fixture(scope="module")
def keys(shared_cluster: RedisCluster) -> dict[str, Keys]:
    """Keys of two tenants whose subjects have the same names."""
    shared_cluster.wait_until_healthy()
    agent = ("ask", "notify", "list")
    return {
        tenant: Keys(
            new_key(shared_cluster.url, tenant, "agent", *agent),
            new_key(shared_cluster.url, tenant, "other-agent", *agent),
            new_key(shared_cluster.url, tenant, "ann", "answer"),
            new_key(shared_cluster.url, tenant, "bob", "answer"),
        )
        for tenant in _TENANTS
    }


@pytest.fixture(scope="module")
def guarded(shared_cluster: RedisCluster, keys: dict[str, Keys]) -> Iterator[list[Instance]]:
    """Three gateways that know those keys."""
    assert keys
    with running_instances(shared_cluster.url, 3, "--auth-keys", "store") as three:
        yield three


async def call(instance: Instance, key: str, tool: str, **arguments: Any) -> dict[str, Any]:
    async with caller_at(instance.mcp_port, credential=key) as caller:
        return await caller.call(tool, **arguments)


async def whole(response: Response) -> tuple[int, str, bytes]:
    """Return all of a response that can differ."""
    kind = response.headers.get("content-type", "")
    return response.status, kind, await response.body()


class Owned(NamedTuple):
    """What somebody has whom the thief is not."""

    session: str
    event_id: str
    waiting: str
    left_open: str


def unowned(like: Owned) -> Owned:
    """Ids of the same form that nobody has."""
    stream = re.sub(r"[0-9a-f]{32}", uuid.uuid4().hex, like.event_id)
    return Owned(str(uuid.uuid4()), stream, uuid.uuid4().hex, uuid.uuid4().hex)


async def reply_to(
    instance: Instance, key: str, method: str, session: str = "", **params: Any
) -> tuple[int, dict[str, Any]]:
    """Send one request; return its status and the whole of its reply."""
    async with caller_at(instance.mcp_port, session=session, credential=key) as caller:
        await caller.send(method, params)
        response = await caller.response()
        return response.status, await response.result()


async def looks(instance: Instance, key: str, question_id: str, session: str) -> list[Any]:
    """Look at a question as a task and as a resource, in both eras; return what is heard."""
    task: dict[str, Any] = {"taskId": f"question-{question_id}", **WITH_TASKS}
    uri = f"question://{question_id}"
    return [
        await reply_to(instance, key, "tasks/get", **task),
        await reply_to(instance, key, "tasks/update", **task, inputResponses={}),
        await reply_to(instance, key, "resources/read", uri=uri),
        await reply_to(instance, key, "resources/read", session, uri=uri),
    ]


async def attempts(instance: Instance, key: str, ids: Owned) -> list[Any]:
    """Try everything a caller can with ids; return what it hears, without the ids."""
    heard: list[Any] = []
    mine = await open_session(instance.mcp_port, credential=key)
    for method, more in [
        ("GET", f"Last-Event-ID: {ids.event_id}\r\nAccept: text/event-stream\r\n"),
        ("GET", "Accept: text/event-stream\r\n"),
        ("DELETE", ""),
    ]:
        async with caller_at(instance.mcp_port, credential=key) as caller:
            await caller.stream.send_all(
                f"{method} /mcp HTTP/1.1\r\nHost: 127.0.0.1:{instance.mcp_port}\r\n"
                f"Authorization: Bearer {key}\r\nMcp-Session-Id: {ids.session}\r\n"
                f"MCP-Protocol-Version: 2025-11-25\r\n{more}\r\n".encode()
            )
            heard.append(await whole(await caller.response()))
    for method, params in [
        ("tools/list", {}),
        ("ping", {}),
        ("tools/call", {"name": "ask_user", "arguments": {"question": "?", "wait": "return"}}),
    ]:
        async with caller_at(instance.mcp_port, session=ids.session, credential=key) as caller:
            await caller.send(method, params)
            heard.append(await whole(await caller.response()))
    for question_id in (ids.waiting, ids.left_open):
        heard += [
            await call(instance, key, "collect_answer", question_id=question_id),
            await call(instance, key, "collect_answer", question_id=question_id, wait_seconds=1),
            await call(instance, key, "cancel_question", question_id=question_id),
            *await looks(instance, key, question_id, mine),
            await reply_to(
                instance, key, "tasks/cancel", taskId=f"question-{question_id}", **WITH_TASKS
            ),
        ]
    text = repr(heard)
    for each in ids:
        text = text.replace(each, "(id)")
    return [text, len(heard)]


async def meddling(person: Person, ids: Owned) -> str:
    """Try everything a frontend can with ids; return what it hears, without the ids."""
    heard = []
    for question_id in (ids.waiting, ids.left_open):
        await person.say(type="seen", request_id=question_id)
        await person.say(type="draft", request_id=question_id, text="stolen")
        await person.say(type="user_response", request_id=question_id, answer="stolen")
        heard.append(await person.frame("response_ack"))
        await person.say(type="user_response", request_id=question_id, rejected=True)
        heard.append(await person.frame("response_ack"))
    text = json.dumps(heard)
    for each in ids:
        text = text.replace(each, "(id)")
    return text


@pytest.mark.parametrize("thief", ["another subject", "another tenant"])
async def test_foreign_ids_are_as_unknown_ones_and_their_owner_notices_nothing(
    guarded: list[Instance], keys: dict[str, Keys], thief: str
) -> None:
    here, there, _ = guarded
    owner = keys["acme"]
    stealing_agent = owner.other_agent if thief == "another subject" else keys["globex"].agent
    # The same name in the other tenant; another one in the same.
    stealing_person = owner.other_person if thief == "another subject" else keys["globex"].person
    for_ann = {"audience": {"kind": "user", "name": "ann"}}
    with trio.fail_after(PATIENCE):
        session = await open_session(here.mcp_port, credential=owner.agent)
        async with caller_at(here.mcp_port, session=session, credential=owner.agent) as caller:
            arguments = {"question": "Waited for?", "idempotency_key": f"before {thief}", **for_ann}
            await caller.send("tools/call", {"name": "ask_user", "arguments": arguments}, 7)
            event_id, _ = await (await caller.response()).event()
        left = await call(here, owner.agent, "ask_user", question="Left?", wait="return", **for_ann)
        async with person_at(here.ws_port, token=owner.person) as ann:
            waiting = await ann.question()
            assert waiting["question"] == "Waited for?"
            left_open = await ann.question()
            assert left_open["request_id"] == left["structuredContent"]["question_id"]
            ids = Owned(session, event_id, waiting["request_id"], left_open["request_id"])

            # Their owner sees all of it there: who does not is refused for no other reason.
            mine = await open_session(there.mcp_port, credential=owner.agent)
            for question_id in (ids.waiting, ids.left_open):
                for status, reply in await looks(there, owner.agent, question_id, mine):
                    assert (status, "error" in reply) == (200, False), reply
            stolen = await attempts(there, stealing_agent, ids)
            assert stolen == await attempts(there, stealing_agent, unowned(ids))
            async with person_at(there.ws_port, token=stealing_person) as eve:
                assert await meddling(eve, ids) == await meddling(eve, unowned(ids))
            # The same key is another one for somebody else.
            again = await call(there, stealing_agent, "ask_user", **{**arguments, "wait": "return"})
            assert again["structuredContent"]["question_id"] not in ids
            await call(
                there, stealing_agent, "cancel_question",
                question_id=again["structuredContent"]["question_id"],
            )  # fmt: skip

            assert await ann.answer(waiting, "mine") == "accepted"
            assert await ann.answer(left_open, "mine, too") == "accepted"
        async with caller_at(here.mcp_port, session=session, credential=owner.agent) as caller:
            reply = await (await caller.resume(event_id)).result()
            assert (reply["id"], text_of(reply["result"])) == (7, "mine")
        collected = await call(
            here, owner.agent, "collect_answer", question_id=left_open["request_id"]
        )
        assert text_of(collected) == "mine, too"


class Tenant:
    """All that the agents and people of one tenant say and hear; each word has its canary."""

    def __init__(self, name: str, keys: Keys) -> None:
        self.name = name
        self.canary = f"canary-{name}-{uuid.uuid4().hex[:8]}"
        self.keys = keys
        self.heard: list[str] = []
        self.questions: list[str] = []

    def word(self, what: str) -> str:
        return f"{what} {self.canary}"

    async def ask(self, instance: Instance, number: int, **more: Any) -> None:
        result = await call(
            instance, self.keys.agent, "ask_user", question=self.word(f"Question {number}?"),
            context=self.word("context"), idempotency_key=self.word(f"key {number}"),
            wait="return", **more,
        )  # fmt: skip
        self.heard.append(json.dumps(result))
        self.questions.append(result["structuredContent"]["question_id"])

    async def collect(self, instance: Instance) -> None:
        for tool in ("list_frontends", "notify_user"):
            more = {"message": self.word("message")} if tool == "notify_user" else {}
            self.heard.append(json.dumps(await call(instance, self.keys.agent, tool, **more)))
        for question_id in self.questions:
            result = await call(
                instance, self.keys.agent, "collect_answer",
                question_id=question_id, wait_seconds=30,
            )  # fmt: skip
            assert self.canary in text_of(result)
            self.heard.append(json.dumps(result))

    async def be_there(self, instance: Instance, *, task_status: Any) -> None:
        """Answer everything, in one of three ways, at one instance."""
        async with open_websocket_url(f"ws://127.0.0.1:{instance.ws_port}/ws") as connection:
            person = Person(connection)
            # The same names in both tenants.
            await person.say(
                type="connect", token=self.keys.person, frontend_id="desk", name=self.word("name")
            )
            while True:
                raw = str(await connection.get_message())
                self.heard.append(raw)
                frame = json.loads(raw)
                if frame["type"] == "connect_ack":
                    task_status.started()
                if frame["type"] == "ask_user":
                    await self._respond(person, frame)

    async def _respond(self, person: Person, frame: dict[str, Any]) -> None:
        question_id = frame["request_id"]
        await person.say(type="draft", request_id=question_id, text=self.word("draft"))
        if "schema" in frame:
            said: dict[str, Any] = {"content": {"x": self.word("field")}}
        elif " 1?" in frame["question"]:
            said = {"rejected": True, "reason": self.word("reason")}
        else:
            said = {"answer": self.word("answer")}
        await person.say(type="user_response", request_id=question_id, **said)


def everything_in(cluster: RedisCluster) -> Iterator[tuple[str, str]]:
    """Yield every key of a cluster, and all that is in it, as a client that is not ours reads."""
    for node in cluster.primaries:
        with redis.Redis(port=node.port) as client:
            for key in client.scan_iter(count=1000):
                kind = client.type(key).decode()
                if kind == "none":
                    # It ended since it was listed.
                    continue
                value = {
                    "string": client.get,
                    "hash": client.hgetall,
                    "list": lambda key: client.lrange(key, 0, -1),
                    "set": client.smembers,
                    "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
                    "stream": client.xrange,
                }[kind](key)
                yield key.decode("latin-1"), repr(value)


async def test_nothing_crosses_tenants_in_what_anybody_hears_or_redis_has(
    guarded: list[Instance], keys: dict[str, Keys], shared_cluster: RedisCluster
) -> None:
    tenants = [Tenant(name, keys[name]) for name in _TENANTS]
    kinds: list[dict[str, Any]] = [
        {},
        {"audience": {"kind": "user", "name": "ann"}, "delivery": "one"},
        {"schema": {"type": "object", "properties": {"x": {"type": "string"}}}},
    ]
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as people:
            for tenant in tenants:
                for instance in guarded:
                    await people.start(tenant.be_there, instance)
            async with trio.open_nursery() as agents:
                for tenant in tenants:
                    for index, instance in enumerate(guarded):
                        for kind, more in enumerate(kinds):
                            asking = partial(tenant.ask, instance, 3 * index + kind, **more)
                            agents.start_soon(asking)
            # While both are there, and before anything is forgotten.
            stored = dict(everything_in(shared_cluster))
            for tenant in tenants:
                await tenant.collect(guarded[2])
            people.cancel_scope.cancel()
        logs = "".join(instance.text() for instance in guarded)
    for mine, theirs in (tenants, tenants[::-1]):
        assert len(mine.questions) == 9
        assert sum(mine.canary in text for text in mine.heard) >= 25
        assert not [text for text in mine.heard if theirs.canary in text]
    canaries = [tenant.canary for tenant in tenants]
    assert [
        key for key, value in stored.items() if all(each in key + value for each in canaries)
    ] == []
    # Whoever may list the keys learns nothing of what was said; nor do logs and metrics.
    assert [key for key in stored if any(each in key for each in canaries)] == []
    assert any(canaries[0] in value for value in stored.values())
    told = [(await instance.get("/metrics")).text for instance in guarded]
    told += [(await instance.get("/health")).text for instance in guarded]
    assert not [text for text in [logs, *told] if any(each in text for each in canaries)]
    # What is secret of a key may have a _ itself.
    secrets = [key.split("_", 2)[2] for each in keys.values() for key in each]
    everywhere = [logs, *told, *stored, *stored.values()]
    assert not [text for text in everywhere if any(each in text for each in secrets)]
