"""A Redis Cluster of real nodes: formed, asked, broken, healed.

It is formed by the commands that `redis-cli --cluster create` sends, without its
pauses, so that it is there in seconds; the two that Redis itself waits for after a
start remain. Nothing is remembered of who serves what: the nodes are asked.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from haproxy.redis_members import Member, disagreement, myself, parse, shares
from haproxy.redis_node import (
    BUS,
    RedisNode,
    RedisReplyError,
    RedisServerError,
    fields,
    started,
    wait_until,
)

# A stopped node does not answer; who asks everybody does not wait long for it.
ASK_SECONDS: Final = 1.0
_MIGRATE_MILLISECONDS: Final = 5_000
# For two node timeouts after its election, Redis 7.0 lets a node count those votes for the
# next one: it takes itself for a primary, loses what it accepts, and is deposed
# (github.com/redis/redis/pull/8753). For two more it does not stand at all.
_REMEMBERED_SECONDS: Final = 8.1
_ELECTED: Final = re.compile(r"\d+:\w (\S+ \S+ \S+ \S+) . Failover election won")
_COPIED: Final = re.compile(r"Full resync from master: \w+:(\d+)")
_BEGAN: Final = "Redis is starting"


class RedisCluster:
    """A cluster whose nodes can be killed, stopped, promoted and started again."""

    def __init__(self, nodes: Sequence[RedisNode], primaries: int, replicas: int) -> None:
        self.nodes = list(nodes)
        self._primaries = primaries
        self._replicas = replicas

    @property
    def url(self) -> str:
        """What settings name it by: the nodes that were its primaries at the beginning."""
        seeds = ",".join(f"{node.host}:{node.port}" for node in self.nodes[: self._primaries])
        return f"redis+cluster://{seeds}"

    @property
    def primaries(self) -> list[RedisNode]:
        """The nodes that answer and take themselves for primaries with slots."""
        return [node for node, member in self._selves() if member.is_primary and member.slots]

    def slot_of(self, key: str) -> int:
        """Return the slot that a key is in."""
        node = next(node for node in self.nodes if node.is_alive and not node.stopped)
        slot: int = node.command("CLUSTER", "KEYSLOT", key)
        return slot

    def primary_of(self, slot: int) -> RedisNode:
        """Return who serves a slot: of those who say so themselves, the newest.

        Raises:
            RedisServerError: nobody who answers does.
        """
        claims = [
            (member.epoch, node)
            for node, member in self._selves()
            if member.is_primary and member.owns(slot)
        ]
        if not claims:
            raise RedisServerError(f"nobody serves slot {slot}")
        return max(claims, key=lambda claim: claim[0])[1]

    def replica_of(self, node: RedisNode) -> RedisNode:
        """Return a node that replicates this one, which may be dead.

        Raises:
            RedisServerError: nobody who answers does.
        """
        for other, member in self._selves():
            if member.primary == node.id:
                return other
        raise RedisServerError(f"nobody replicates node {node.port}")

    def failover(self, replica: RedisNode, force: Literal["", "FORCE", "TAKEOVER"] = "") -> None:
        """Make a replica the primary; returns when it takes itself for one.

        The others may not know yet: `wait_until_healthy` returns when they do. A replica
        that was elected a moment ago is told when that is forgotten.
        """
        if force != "TAKEOVER":
            wait_until(
                lambda: "it remembers its last election" if _remembers(replica) else "",
                f"failover to {replica.port}",
            )
        replica.command("CLUSTER", "FAILOVER", *filter(None, [force]))
        wait_until(
            lambda: "" if replica.is_primary else "it is a replica", f"failover to {replica.port}"
        )

    def migrate_slot(self, slot: int, to: RedisNode) -> None:
        """Move a slot and its keys to another primary, as resharding does."""
        self.begin_migration(slot, to)
        self.end_migration(slot, to)

    def begin_migration(self, slot: int, to: RedisNode) -> None:
        """Open a slot: from now its owner answers ASK for keys that it does not have."""
        source = self.primary_of(slot)
        to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)

    def move_keys(self, slot: int, to: RedisNode, *keys: str) -> None:
        """Move keys of an opened slot, all when none are named."""
        source = self.primary_of(slot)
        everything = source.command("CLUSTER", "COUNTKEYSINSLOT", slot)
        moved = keys or source.command("CLUSTER", "GETKEYSINSLOT", slot, everything)
        login = ["AUTH", *to.credentials] if to.credentials else []
        if moved:
            where = (to.host, to.port, "", 0, _MIGRATE_MILLISECONDS)
            source.command("MIGRATE", *where, *login, "KEYS", *moved)

    def end_migration(self, slot: int, to: RedisNode) -> None:
        """Move what is left of a slot, and tell all primaries whose it is now.

        The new owner is told first: were it last, the slot would be nobody's for a moment.
        """
        self.move_keys(slot, to)
        others = [node for node in self.primaries if node is not to]
        for node in (to, *others):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", to.id)

    def wait_until_healthy(self) -> None:
        """Return when all nodes agree that all is well, and every replica has caught up.

        Raises:
            RedisServerError: they still do not when the time is over; it says what is wrong.
        """
        wait_until(self.what_is_wrong, "the cluster is not well")

    def what_is_wrong(self) -> str:
        """Return what is wrong with it now; empty when nothing is."""
        views = {}
        try:
            for node in self.nodes:
                if not node.is_alive:
                    return f"node {node.port} does not run"
                views[node.port] = parse(node.command("CLUSTER", "NODES", timeout=ASK_SECONDS))
                state = fields(node.command("CLUSTER", "INFO"))["cluster_state"]
                if state != "ok":
                    return f"the cluster_state of node {node.port} is {state}"
            return disagreement(views, self._primaries, self._replicas) or self._who_lags()
        except (OSError, RedisReplyError) as error:
            return f"node {node.port} does not answer: {error}"

    def revive(self) -> None:
        """Heal it: start the dead, let the stopped go on, close open slots, wait until well.

        A slot stays where it was moved. A primary that is started before its replica has
        taken over comes back with nothing, and its replica follows it: who kills one to see
        keys survive waits for the replica first.
        """
        for node in self.nodes:
            if not node.is_alive:
                node.start()
            else:
                node.resume()
        for node, member in self._selves():
            for slot in member.moving:
                node.command("CLUSTER", "SETSLOT", slot, "STABLE")
        self.wait_until_healthy()

    def flush(self) -> None:
        """Remove all keys."""
        for node in self.primaries:
            node.command("FLUSHALL")

    def form(self) -> None:
        """Make a cluster of nodes that know nothing of each other yet."""
        primaries = self.nodes[: self._primaries]
        for epoch, (node, (first, last)) in enumerate(
            zip(primaries, shares(self._primaries), strict=True), start=1
        ):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
            node.command("CLUSTER", "ADDSLOTSRANGE", first, last)
        # Everybody meets everybody, rather than to wait until it is spread.
        for node, other in itertools.combinations(self.nodes, 2):
            node.command("CLUSTER", "MEET", other.host, other.port, other.port + BUS)
        wait_until(self._who_is_unknown, "the nodes do not meet")
        for index, replica in enumerate(self.nodes[self._primaries :]):
            primary = primaries[index % self._primaries]
            replica.command("CLUSTER", "REPLICATE", primary.id)
        self.wait_until_healthy()

    def _selves(self) -> Iterator[tuple[RedisNode, Member]]:
        """Yield the nodes that answer, with what they say of themselves."""
        for node in self.nodes:
            if node.is_alive and not node.stopped:
                try:
                    text = node.command("CLUSTER", "NODES", timeout=ASK_SECONDS)
                except OSError:
                    continue
                yield node, myself(parse(text))

    def _who_is_unknown(self) -> str:
        for node in self.nodes:
            known = parse(node.command("CLUSTER", "NODES"))
            met = sum("handshake" not in member.flags for member in known)
            if met < len(self.nodes):
                return f"node {node.port} has met {met} of {len(self.nodes)}"
        return ""

    def _who_lags(self) -> str:
        for node in self.nodes:
            told = node.info("replication")
            if told["role"] == "slave" and (
                told["master_link_status"] != "up"
                # After a whole copy its primary sends nothing on, for up to a second and
                # though it says "online": what it accepts meanwhile is nowhere else.
                or int(told["slave_repl_offset"]) <= _copied_to(node)
            ):
                return f"replica {node.port} is not in step"
            behind = [
                text
                for name, text in told.items()
                if name.startswith("slave") and name[5:].isdigit() and "state=online" not in text
            ]
            if behind or (
                told["role"] == "master" and int(told["connected_slaves"]) < self._replicas
            ):
                return f"replicas of node {node.port} are not in step"
        return ""


def _log_of(node: RedisNode) -> str:
    """Return what a node has logged since it was last started."""
    log = (node.directory / "redis.log").read_text(encoding="utf-8", errors="replace")
    return log[log.rindex(_BEGAN) :]


def _copied_to(node: RedisNode) -> int:
    """Return the replication offset of the last whole copy that a replica was sent, or -1."""
    return int((_COPIED.findall(_log_of(node)) or [-1])[-1])


def _remembers(node: RedisNode) -> bool:
    """Return whether a node was elected just now; its log is who knows."""
    won = _ELECTED.findall(_log_of(node))
    if not won:
        return False
    # As the server writes it, in its own time zone, which is ours.
    at = datetime.strptime(won[-1], "%d %b %Y %H:%M:%S.%f").astimezone()
    return (datetime.now(UTC) - at).total_seconds() < _REMEMBERED_SECONDS


@contextlib.contextmanager
def running_cluster(
    directory: Path,
    primaries: int = 3,
    replicas: int = 1,
    *,
    port: int = 0,
    flags: Sequence[str] = (),
) -> Iterator[RedisCluster]:
    """Run a healthy cluster, on ports in a row from the one that is named, or on free ones.

    Primaries come first among its nodes. All processes end with the context. With a
    password, flags are ``("--requirepass", password, "--masterauth", password)``.
    """
    with contextlib.ExitStack() as stack:
        nodes = []
        for index in range(primaries * (1 + replicas)):
            wanted = port + index if port else 0
            node = started(directory / f"node-{index}", wanted, flags, cluster=True)
            stack.callback(node.kill)
            nodes.append(node)
        cluster = RedisCluster(nodes, primaries, replicas)
        cluster.form()
        yield cluster
