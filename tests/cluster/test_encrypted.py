"""Gateways on a cluster that speaks nothing but TLS, among its nodes as well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from haproxy.redis_cluster import RedisCluster, running_cluster
from haproxy.redis_node import RedisReplyError
from session.redis.keys import PLACES
from tests.cluster.instances import PATIENCE, Instance, running_instances, until
from tests.cluster.test_start import says, started
from tests.interop.person import Person, person_at
from tests.live.caller import caller_at, open_session, text_of
from tests.session.redis.test_tls import certificate

pytestmark = pytest.mark.slow


class Secured(NamedTuple):
    """A cluster, how it is called, and what it is known by."""

    cluster: RedisCluster
    url: str
    authority: Path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("encrypted")
    crt, key = certificate(directory, "localhost")
    flags = ["--port", "0", "--tls-port", "{port}", "--tls-cluster", "yes"]
    flags += ["--tls-replication", "yes", "--tls-auth-clients", "no"]
    flags += ["--tls-cert-file", str(crt), "--tls-key-file", str(key)]
    flags += ["--tls-ca-cert-file", str(crt)]
    with running_cluster(directory, flags=flags) as cluster:
        # Seeds by name: certificates are for names.
        seeds = cluster.url.replace("redis+cluster", "rediss+cluster")
        url = seeds.replace("127.0.0.1", "localhost")
        yield Secured(cluster, url, crt)


@pytest.fixture(scope="module")
def gateways(secured: Secured) -> Iterator[list[Instance]]:
    with running_instances(f"{secured.url}?ssl_ca_certs={secured.authority}", 2) as two:
        yield two


async def told(person: Person) -> str:
    """Return what a person is told next."""
    text: str = (await person.frame("notify_user"))["message"]
    return text


async def test_everything_goes_on_encrypted(gateways: list[Instance], secured: Secured) -> None:
    """Questions of all places, answers, events, a session, a notice: no node has another port."""
    a, b = gateways
    audience = {"kind": "user", "name": "secret"}
    with trio.fail_after(PATIENCE):
        session = await open_session(b.mcp_port)
        async with (
            person_at(b.ws_port, user="secret") as person,
            caller_at(a.mcp_port, session=session) as caller,
        ):
            places: set[str] = set()
            while len(places) < len(PLACES):
                arguments = {"question": "?", "audience": audience}
                await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
                question = await person.question()
                places.add(question["request_id"][0])
                assert await person.answer(question, question["request_id"]) == "accepted"
                result = (await (await caller.response()).result())["result"]
                assert text_of(result) == question["request_id"]
            # Who is where is known everywhere, and is told.
            await caller.call("notify_user", message="Coffee", audience=audience)
            assert await told(person) == "Coffee"
    assert [await each.statuses() for each in gateways] == [(200, 200)] * 2
    for node in secured.cluster.nodes:
        assert node.command("CONFIG", "GET", "port") == ["port", "0"]


async def test_all_goes_on_encrypted_when_a_primary_changes(
    gateways: list[Instance], secured: Secured
) -> None:
    """A node that was a replica is connected to as its cluster calls it, by its address."""
    a, b = gateways
    cluster = secured.cluster
    old = cluster.primary_of(PLACES[0].slot)
    new = cluster.replica_of(old)
    with trio.fail_after(PATIENCE):
        await trio.to_thread.run_sync(cluster.failover, new)
        async with person_at(b.ws_port, user="moved") as person:
            asked: set[str] = set()

            async def is_there() -> bool:
                """Ask until one is stored by the new primary."""
                async with caller_at(a.mcp_port) as caller:
                    audience = {"kind": "user", "name": "moved"}
                    arguments = {"question": "?", "audience": audience}
                    await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
                    question = await person.question()
                    assert await person.answer(question, "here") == "accepted"
                    result = (await (await caller.response()).result())["result"]
                    assert text_of(result) == "here"
                asked.add(question["request_id"][0])
                return "0" in asked

            await until(is_there, "a question is in the place that moved")
        with pytest.raises(RedisReplyError, match="MOVED"):
            old.command("ZCARD", PLACES[0].due)


def test_who_does_not_know_the_authority_is_told_what_to_do(
    secured: Secured, tmp_path: Path
) -> None:
    other, _ = certificate(tmp_path, "other")
    for query in ("", f"?ssl_ca_certs={other}"):
        status, output = started(f"{secured.url}{query}")
        says(status, output, "TLS failed", "CERTIFICATE_VERIFY_FAILED", "ssl_ca_certs")


def test_who_does_not_speak_tls_is_told_what_to_do(secured: Secured) -> None:
    status, output = started(secured.url.replace("rediss", "redis"))
    says(status, output, "rediss://")
