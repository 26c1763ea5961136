"""A TCP proxy on the loopback address that has faults when it is told to.

It runs in a thread of its own, so that it serves tests with Trio and without. What
is ordered is done when the call returns: a test never waits to be sure of it. A
connection never carries a byte twice, nor others than were sent: one that lost
bytes carries nothing more, and is reset at the latest when the fault is over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Self

import trio

from tests.proxy_traffic import HOST, PATIENCE_SECONDS, Address, Direction, Traffic

if TYPE_CHECKING:
    from haproxy.redis_cluster import RedisCluster, RedisNode

Watcher = Callable[[Direction, bytes], object]

# Between the pieces of a slice: long enough to be read as pieces.
_GAP_SECONDS: Final = 0.0005


class Expectation:
    """Bytes that are waited for; it counts from when it was made."""

    def __init__(self, pattern: bytes, direction: Direction) -> None:
        self.pattern = pattern
        self.direction = direction
        self._tails: dict[object, bytes] = {}
        self._seen = threading.Event()

    def take(self, direction: Direction, pipe: object, data: bytes) -> None:
        """Look at what passes, also across the bounds of what was read at once."""
        if direction == self.direction and not self._seen.is_set():
            text = self._tails.get(pipe, b"") + data
            self._tails[pipe] = text[max(0, len(text) - len(self.pattern) + 1) :]
            if self.pattern in text:
                self._seen.set()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Return when the bytes have passed, for tests without Trio."""
        assert self._seen.wait(seconds), f"no {self.direction} with {self.pattern!r} passed"

    async def seen(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Return when the bytes have passed, for tests with Trio."""
        await trio.to_thread.run_sync(self.wait, seconds, abandon_on_cancel=True)


class Proxy:
    """Stands in front of a server, at `address`; a context that ends with all connections."""

    def __init__(self, target: Address) -> None:
        self.target = target
        self._traffic = Traffic(target)
        self.address: Address = self._traffic.address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, with all connections."""
        self._traffic.close()

    @property
    def port(self) -> int:
        """The port of its address."""
        return self.address[1]

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return self._traffic.connections

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        return sum(not pair.orphaned for pair in tuple(self._traffic.pairs))

    @property
    def received(self) -> dict[Direction, int]:
        """How many bytes were read so far."""
        return dict(self._traffic.received)

    @property
    def delivered(self) -> dict[Direction, int]:
        """How many bytes were passed on so far."""
        return dict(self._traffic.delivered)

    @property
    def replies_lost(self) -> int:
        """How many clients were cut off by `lose_replies` so far."""
        return self._traffic.replies_lost

    def delay(self, seconds: float) -> None:
        """Let what comes from now on take longer, in both directions."""
        self._set(delay=seconds)

    def slice(self, size: int, gap: float = _GAP_SECONDS) -> None:
        """Deliver what comes from now on in pieces of so many bytes; 0 ends that."""
        self._set(size=size, gap=gap if size else 0.0)

    def cut(self) -> None:
        """Reset all connections; what was on its way is lost."""
        self._traffic.do(lambda: self._traffic.each(self._traffic.reset))

    def refuse(self) -> None:
        """Refuse new connections; those that there are go on."""
        self._traffic.do(self._traffic.refuse)

    def accept(self) -> None:
        """Accept new connections again."""
        self._traffic.do(self._traffic.accept)

    def blackhole(self, *, hold: bool = False) -> None:
        """Let all bytes vanish, and the ends of connections, without a word to anybody.

        Held, they are delivered when it is healed, as after an outage that TCP survives.
        Otherwise they are lost, and `heal` resets the connections that lost some.
        """
        self._set(hole="hold" if hold else "lose")

    def heal(self) -> None:
        """End the black hole."""
        self._traffic.do(self._traffic.heal)

    def lose_replies(self, count: int = 1, when: Callable[[bytes], bool] | None = None) -> None:
        """Have the next requests done, but not answered: their clients are reset instead.

        A request is what was read at once and for which `when` holds. It is passed on; at
        the first bytes of a reply after it the client is reset, while the target is left to
        do all that it was sent. 0 ends that.
        """
        self._set(losing=count, when=when)

    def calm(self) -> None:
        """End all faults."""
        self._traffic.do(self._traffic.calm)

    def silence(self, when: Callable[[bytes], bool]) -> None:
        """Let a connection carry nothing more, in either direction, once it carries such bytes.

        Those are lost, too; the others go on. Its ends are left in the dark until `heal`.
        """

        def watcher(_direction: Direction, pipe: object, data: bytes) -> None:
            if when(data):
                for pair in self._traffic.pairs:
                    pair.torn = pair.torn or pipe in pair.pipes

        self._watch(watcher)

    def watch(self, callback: Watcher) -> None:
        """Have a function called with all bytes, before they are passed on.

        It is called in the proxy's thread and may order faults, also for these very bytes:
        after a `cut` they are not passed on.
        """
        self._watch(lambda direction, _, data: callback(direction, data))

    def expect(self, pattern: bytes, direction: Direction = "request") -> Expectation:
        """Return what can be waited for: that these bytes pass from now on."""
        expectation = Expectation(pattern, direction)
        self._watch(expectation.take)
        return expectation

    def wait_for(
        self,
        pattern: bytes,
        direction: Direction = "request",
        seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Return when these bytes pass; what passed before the call does not count."""
        self.expect(pattern, direction).wait(seconds)

    def _watch(self, watcher: Callable[[Direction, object, bytes], object]) -> None:
        self._traffic.do(lambda: self._traffic.watchers.append(watcher))

    def _set(self, **changed: object) -> None:
        def change() -> None:
            faults = self._traffic.faults
            self._traffic.faults = dataclasses.replace(faults, **changed)  # type: ignore[arg-type]

        self._traffic.do(change)


class ClusterProxy:
    """A proxy in front of every node of a cluster.

    The nodes name each other by their real addresses, in redirections and in lists of
    slots: a client behind this must translate what it hears by `addresses`.
    """

    def __init__(self, cluster: RedisCluster) -> None:
        self._stack = contextlib.ExitStack()
        self._proxies = {
            node.address: self._stack.enter_context(Proxy(node.address)) for node in cluster.nodes
        }
        #: From a node's real address to that of its proxy.
        self.addresses: dict[Address, Address] = {
            real: proxy.address for real, proxy in self._proxies.items()
        }
        seeds = cluster.url.partition("://")[2].split(",")
        ports = [self.addresses[HOST, int(seed.rpartition(":")[2])][1] for seed in seeds]
        #: As that of the cluster, through the proxies.
        self.url = "redis+cluster://" + ",".join(f"{HOST}:{port}" for port in ports)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Proxy]:
        return iter(self._proxies.values())

    def close(self) -> None:
        """End all of them."""
        self._stack.close()

    def of(self, node: RedisNode) -> Proxy:
        """Return the proxy in front of a node."""
        return self._proxies[node.address]

    def calm(self) -> None:
        """End all faults."""
        for proxy in self:
            proxy.calm()


def once(words: bytes) -> Callable[[bytes], bool]:
    """Return what is true of the first bytes that have these words, and of no others."""
    left = [words]

    def is_it(data: bytes) -> bool:
        return bool(left) and left[0] in data and bool(left.pop())

    return is_it
