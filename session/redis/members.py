"""Which nodes there are, which slots they have, and the tasks that keep them connected.

One task for each link of each node, and one that asks who has which slot. A single
server is a cluster of one node with all the slots.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, final

import trio
from redis.exceptions import NoPermissionError, RedisError

from session.errors import StoreUnavailableError, StoreUnusableError
from session.redis.address import Address, Place, name_of
from session.redis.connecting import Connector, LinkError, internal
from session.redis.link import Link
from session.redis.node import Node, NodeOwner
from session.redis.settings import Settings
from session.redis.topology import SLOTS, Topology

# The first pause before connecting again, before jitter, and that before asking who
# has which slot; while something is wrong, how often that is asked.
_FIRST_PAUSE_SECONDS: Final = 0.05
_REFRESH_PAUSE_SECONDS: Final = 0.05
_UNWELL_SECONDS: Final = 0.5
_VIEWS: Final = 3


@final
class Members:
    """The nodes of a client."""

    def __init__(  # noqa: PLR0913 - two of them are for tests and odd networks
        self,
        address: Address,
        settings: Settings,
        connector: Connector,
        owner: NodeOwner,
        *,
        translate: Callable[[Place], Place],
        random: Callable[[], float],
    ) -> None:
        self._address = address
        self._settings = settings
        self._connector = connector
        self._owner = owner
        self._translate = translate
        self._random = random
        now = trio.current_time()
        #: Where commands wait whose slot nobody has.
        self.nowhere = Node(("nowhere", 0), now, settings.longest_rest_seconds)
        self.slots: list[Node] = [self.nowhere] * SLOTS
        self.nodes: dict[Place, Node] = {}
        #: Nodes without slots whose last commands are still to be answered.
        self.retired: list[Node] = []
        self._others: frozenset[Place] = frozenset()
        self._nursery: trio.Nursery | None = None
        self._stale = trio.Event()
        self._news = trio.Event()
        # Why nothing can be used, and why nothing can be used until a person acts.
        self._trouble = "nobody serves any slot"
        self._uncovered = SLOTS
        self._hopeless: LinkError | None = None
        self.refreshes = self.reconnects = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep all nodes connected until cancelled; it has started when all slots are served.

        Raises:
            StoreUnusableError: they were not within ``start_seconds``, or cannot be.
        """
        unusable: StoreUnusableError | None = None
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            if self._address.cluster:
                self._stale.set()
                nursery.start_soon(self._keep_asking)
            else:
                self.slots = [self.node_at(self._address.seeds[0])] * SLOTS
                self._uncovered = 0
                # What was subscribed to before now has a place.
                self._owner.slots_changed()
            try:
                await self._wait_until_served()
            except StoreUnusableError as error:
                unusable = error
                nursery.cancel_scope.cancel()
            else:
                task_status.started()
        self._nursery = None
        if unusable is not None:
            raise unusable

    def node_at(self, place: Place) -> Node:
        """Return the node at an address; a new one is connected to from now on."""
        node = self.nodes.get(place)
        if node is None:
            node = Node(place, trio.current_time(), self._settings.longest_rest_seconds)
            self.nodes[place] = node
            if self._nursery is not None:
                self._nursery.start_soon(self._keep_connected, node)
                self._nursery.start_soon(self._keep_ear, node)
        return node

    def move(self, slot: int, place: Place) -> None:
        """Note that a slot is at another node, as the one that had it says."""
        self.slots[slot] = self.node_at(place)
        self.refresh()

    def refresh(self) -> None:
        """Ask who has which slot, soon; for many reasons at once it is asked once."""
        self._stale.set()

    def trouble(self) -> str:
        """Return why some slots are nobody's; empty when all are somebody's."""
        return self._trouble if self._uncovered else ""

    def note(self, node: object, text: str) -> None:
        """A node refused a command, and will the next time: that is for a person to mend."""
        if isinstance(node, Node):
            node.note_lasting_refusal(trio.current_time(), self._connector.meaning_of(text))

    # -- links

    async def _keep_connected(self, node: Node) -> None:
        with node.scope:
            attempts = 0
            while True:
                link = await self._open(node, attempts, tracking=True)
                if link is None:
                    attempts += 1
                    self.refresh()
                    self._tell()
                    continue
                attempts = 0
                self.reconnects += node.reconnects > 0
                node.reconnects += 1
                now = trio.current_time()
                node.gone = trio.Event()
                node.link, node.up_since, node.down_since = link, now, None
                node.trouble = ""
                self._owner.came_up(node)
                self._tell()
                await node.gone.wait()
                await trio.sleep(self._random() * _FIRST_PAUSE_SECONDS)

    async def _keep_ear(self, node: Node) -> None:
        with node.scope_of_ear:
            attempts = 0
            while True:
                await node.ear_wanted.wait()
                link = await self._open(node, attempts, tracking=False)
                if link is None:
                    attempts += 1
                    continue
                attempts = 0
                node.ear_gone = trio.Event()
                node.ear = link
                self._owner.slots_changed()
                await node.ear_gone.wait()
                await trio.sleep(self._random() * _FIRST_PAUSE_SECONDS)

    async def _open(self, node: Node, attempts: int, *, tracking: bool) -> Link | None:
        """Connect once, after a pause that grows with the attempts before."""
        if attempts:
            longest = self._settings.longest_rest_seconds
            pause = min(longest, _FIRST_PAUSE_SECONDS * 2 ** min(attempts, 16))
            rest = node.breaker.retry_after(trio.current_time())
            await trio.sleep(rest + self._random() * pause)
        if not node.breaker.allows(trio.current_time()):
            return None
        place = node.place if not self._address.cluster else self._translate(node.place)
        try:
            link = await self._connector.open_link(
                place, node.place[0], self._owner, node, tracking=tracking
            )
        except LinkError as error:
            node.breaker.failed(trio.current_time())
            node.trouble = self._trouble = str(error)
            if error.is_permanent:
                self._hopeless = error
            return None
        node.breaker.succeeded()
        if not link.is_open:
            return None
        return link

    # -- slots

    async def _keep_asking(self) -> None:
        settled = False
        while True:
            # A node may not have heard yet of what changed: a change is asked for twice.
            is_well = settled and all(node.link is not None for node in self.nodes.values())
            period = self._settings.refresh_seconds if is_well else _UNWELL_SECONDS
            with trio.move_on_after(period * (0.5 + self._random() / 2)):
                await self._stale.wait()
            await trio.sleep(self._random() * _REFRESH_PAUSE_SECONDS)
            self._stale = trio.Event()
            topology = await self._ask()
            self.refreshes += 1
            if topology is not None:
                settled = not self._apply(topology)
            else:
                await trio.sleep(self._random() * _UNWELL_SECONDS)
                self._stale.set()
            self._tell()

    async def _ask(self) -> Topology | None:
        """Return the best of some views: of a node that finds all well, else the latest."""
        best: Topology | None = None
        links = [node.link for node in self.nodes.values() if node.link is not None]
        links.sort(key=lambda _: self._random())
        for link in links[:_VIEWS]:
            view = await self._view(link)
            if view is not None and view.is_well:
                return view
            best = _later(best, view)
        known = [self._translate(each) for each in (*self.nodes, *self._others)]
        known.sort(key=lambda _: self._random())
        for place in (*await self._resolved_seeds(), *known[: 2 * _VIEWS]):
            try:
                link = await self._connector.open_link(
                    place, place[0], self._owner, None, tracking=False
                )
            except LinkError as error:
                self._trouble = str(error)
                if error.is_permanent:
                    self._hopeless = error
                continue
            try:
                view = await self._view(link, place)
            finally:
                link.end()
            if view is not None and view.is_well:
                return view
            best = _later(best, view)
        return best

    async def _view(self, link: Link, place: Place | None = None) -> Topology | None:
        if place is None:
            assert isinstance(link.node, Node)
            place = link.node.place
        slots, info = internal(b"CLUSTER", b"SLOTS"), internal(b"CLUSTER", b"INFO")
        try:
            with trio.fail_after(self._settings.reply_seconds):
                link.send(slots)
                link.send(info)
                return Topology.parsed(await slots, await info, place)
        except (trio.TooSlowError, StoreUnavailableError, RedisError, ValueError) as error:
            self._trouble = f"Redis at {name_of(place)} does not say who has which slot: {error}"
            if isinstance(error, NoPermissionError):
                self._hopeless = LinkError(
                    f"{self._trouble}; grant what session/redis/README.md lists under Permissions",
                    is_permanent=True,
                )
            return None

    async def _resolved_seeds(self) -> list[Place]:
        """Return the addresses of the seeds as they are now, in any order."""
        found: dict[Place, None] = {}
        for host, port in self._address.seeds:
            try:
                answers = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError as error:
                self._trouble = f"{host} has no address ({error}); look at its name"
                continue
            if self._address.tls is not None:
                # Certificates are for names.
                found[host, port] = None
            else:
                found.update(dict.fromkeys((str(each[4][0]), port) for each in answers))
        return sorted(found, key=lambda _: self._random())

    def _apply(self, topology: Topology) -> bool:
        """Have slots where a view says; return whether that changed anything."""
        slots = [self.nowhere] * SLOTS
        for each in topology.ranges:
            count = each.last - each.first + 1
            slots[each.first : each.last + 1] = [self.node_at(each.primary)] * count
        changed = slots != self.slots
        self.slots = slots
        self._others = topology.replicas
        self._uncovered = topology.uncovered()
        if self._uncovered:
            self._trouble = (
                f"nobody serves {self._uncovered} of the {SLOTS} slots; start the nodes that "
                "had them, or give them to others: `redis-cli --cluster fix "
                f"{name_of(self._address.seeds[0])}`"
            )
        serving = {each.primary for each in topology.ranges}
        for node in [node for place, node in self.nodes.items() if place not in serving]:
            node.is_retired = True
            node.scope.cancel()
            node.scope_of_ear.cancel()
            del self.nodes[node.place]
            self.retired.append(node)
            if node.ear is not None:
                node.ear.end()
        # Redirections have changed some before; what waits may be anywhere.
        self._owner.slots_changed()
        return changed

    # -- the start

    async def _wait_until_served(self) -> None:
        with trio.move_on_after(self._settings.start_seconds):
            while True:
                if all(node.link is not None for node in set(self.slots)):
                    return
                if self._hopeless is not None:
                    raise StoreUnusableError(str(self._hopeless))
                self._news = trio.Event()
                await self._news.wait()
        raise StoreUnusableError(self._trouble)

    def _tell(self) -> None:
        self._news.set()


def _later(one: Topology | None, other: Topology | None) -> Topology | None:
    """Return the later of two views."""
    if one is None or other is None:
        return one or other
    return other if other.epoch > one.epoch else one
