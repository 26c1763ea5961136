"""Sweeps while some of the servers say nothing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
import trio

from haproxy.redis_cluster import RedisCluster
from session.errors import StoreUnavailableError
from session.model import State
from session.redis import scripts
from session.redis.commands import Script
from session.redis.keys import PLACES, Place
from tests.proxy import ClusterProxy, Proxy, once
from tests.session.redis.asking import question
from tests.session.redis.instances import PATIENCE, QUICK, Instance, Open, until

pytestmark = pytest.mark.slow

# A command is tried again for longer than a test may take, and no server goes unheard for long.
STUBBORN = dataclasses.replace(
    QUICK, lease_seconds=3600.0, command_seconds=3600.0, reply_seconds=0.5, patience_seconds=0.5
)
# Nothing is refused, however long the server is away.
PATIENT = dataclasses.replace(STUBBORN, patience_seconds=3600.0)


@pytest.fixture
def proxies(redis_cluster: RedisCluster) -> Iterator[ClusterProxy]:
    with ClusterProxy(redis_cluster) as proxies:
        yield proxies


class Sweeper:
    """An instance that sweeps, with what its sweeps have ended and how often they could not."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.ended: Counter[str] = Counter()
        self.sweeps = self.failed = 0

    async def sweep(self) -> None:
        self.sweeps += 1
        try:
            settled = await self.instance.sweep()
        except StoreUnavailableError:
            self.failed += 1
            return
        for each in settled:
            assert each.outcome.state is State.TIMED_OUT
            self.ended[each.question.id] += 1


async def asked_in(asker: Instance, places: Sequence[Place]) -> list[str]:
    """Ask in each of the places what is due at once."""
    asked = [question(seconds=-1, place=place) for place in places]
    for each in asked:
        await asker.store.admit(each)
    return [each.id for each in asked]


async def test_places_are_swept_while_another_primary_says_nothing(
    open_on_cluster: Open, redis_cluster: RedisCluster, proxies: ClusterProxy
) -> None:
    """Each sweep ends what is due elsewhere; what was due there is ended once it speaks."""
    asker = await open_on_cluster()
    sweeper = Sweeper(
        await open_on_cluster(STUBBORN, url=proxies.url, translate=proxies.addresses.__getitem__)
    )
    await sweeper.instance.settle_in()
    frozen = redis_cluster.primary_of(PLACES[5].slot)
    silent = [each for each in PLACES if redis_cluster.primary_of(each.slot) is frozen]
    others = [each for each in PLACES if each not in silent]
    late = await asked_in(asker, silent)
    proxies.of(frozen).blackhole()
    with trio.fail_after(PATIENCE):
        for number in range(1, 9):
            due = await asked_in(asker, others)
            await sweeper.sweep()
            assert sweeper.sweeps == number
            assert {sweeper.ended[each] for each in due} == {1}
        assert not any(sweeper.ended[each] for each in late)
        await sweeper.sweep()
        assert sweeper.failed == 1
        proxies.calm()
        await until(lambda: set(late) <= set(sweeper.ended), sweeper.sweep)
    assert set(sweeper.ended.values()) == {1}


def freeze_once(proxy: Proxy, words: bytes) -> None:
    """Have nothing pass from the moment on at which these words do."""
    is_first = once(words)

    def freeze(_direction: object, data: bytes) -> None:
        if is_first(data):
            proxy.blackhole(hold=True)

    proxy.watch(freeze)


@pytest.mark.parametrize("script", [scripts.SWEEP, scripts.BODIES, scripts.EXPIRE])
async def test_a_reply_that_comes_after_its_sweep_counts(
    open_on_node: Open, proxy: Proxy, script: Script
) -> None:
    """What one sweep has begun another one ends, and tells of it once."""
    sweeper = Sweeper(await open_on_node(PATIENT, url=f"redis://127.0.0.1:{proxy.port}"))
    await sweeper.instance.settle_in()
    with trio.fail_after(PATIENCE):
        # So that Redis knows the scripts.
        warm = await asked_in(sweeper.instance, PLACES[:1])
        await sweeper.sweep()
        due = await asked_in(sweeper.instance, PLACES[3:6])
        freeze_once(proxy, script.sha1)
        await sweeper.sweep()
        assert (sweeper.failed, list(sweeper.ended)) == (1, warm)
        proxy.calm()
        await until(lambda: set(due) <= set(sweeper.ended), sweeper.sweep)
    assert sweeper.ended == Counter([*warm, *due])


async def test_a_place_that_falls_silent_while_it_is_read_anew_is_read_by_a_later_sweep(
    open_on_node: Open, proxy: Proxy
) -> None:
    asker = await open_on_node()
    sweeper = Sweeper(await open_on_node(PATIENT, url=f"redis://127.0.0.1:{proxy.port}"))
    instance = sweeper.instance
    await instance.settle_in()
    with trio.fail_after(PATIENCE):
        assert await instance.store.inbox("acme") == []
        proxy.cut()
        await until(lambda: not instance.is_current)
        unheard = [question(place=place) for place in PLACES]
        for each in unheard:
            await asker.store.admit(each)
        freeze_once(proxy, b"ZRANGE")
        await until(lambda: sweeper.failed > 0, sweeper.sweep)
        assert not instance.is_current
        proxy.calm()
        await until(lambda: instance.is_current, sweeper.sweep)
    assert set(instance.heard.opened) == {each.id for each in unheard}
