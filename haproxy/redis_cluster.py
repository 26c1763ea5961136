"""A real Redis Cluster on the loopback address: `python -m haproxy.redis_cluster up`.

Three primaries with a replica each, every one a redis-server in a process of its
own. Operators start one to run several gateways on it; tests start theirs, break
it, and have it healed. The directory is all that `down` needs to know.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway import invocation
from haproxy.redis_members import Member, myself, parse
from haproxy.redis_node import (
    BUS,
    HOST,
    RedisNode,
    RedisReplyError,
    RedisServerError,
    in_use,
    is_free,
    redis_server,
    running_node,
)
from haproxy.redis_shards import ASK_SECONDS, RedisCluster, running_cluster

__all__ = ["RedisCluster", "RedisNode", "main", "running_cluster", "running_node"]

_PRIMARIES: Final = 3
_REPLICAS: Final = 1
#: How many a cluster has, on ports in a row.
NODES: Final = _PRIMARIES * (1 + _REPLICAS)
_PORT: Final = 7000
_PORTS: Final = range(1, 2**16 - BUS - NODES + 1)
_DIRECTORY: Final = Path("build/cluster")
_USAGE: Final = 2
_INTERRUPTED: Final = 130
_DESCRIPTION: Final = """\
Run a real Redis Cluster on 127.0.0.1: three primaries with a replica each.

  up      start it, or what of it no longer runs, and return when all is well
  status  tell how it is; exit status 1 when something is wrong with it
  down    end its processes, and none but its own, and remove its directory

A node has its port, and the port 10000 above it for the bus of the cluster; six in a
row are used. What a node holds ends with its process, unless --persistent."""
_EXAMPLES: Final = """\
examples:
  python -m haproxy.redis_cluster up
  python -m haproxy.redis_cluster up --port 7100 --directory build/another
  python -m haproxy.redis_cluster down --directory build/another
  redis-cli -c -p 7000 cluster nodes"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m haproxy.redis_cluster",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("up", "down", "status"))
    parser.add_argument(
        "--port", type=int, help=f"the first of the six ports (up; {_PORT} when it is new)"
    )
    parser.add_argument(
        "--directory", type=Path, default=_DIRECTORY, help="where its files are (%(default)s)"
    )
    parser.add_argument(
        "--persistent", action="store_true", help="up: keep data when nodes end (append-only files)"
    )
    given = parser.parse_args(arguments)
    if given.port is not None and given.port not in _PORTS:
        parser.error(f"--port must be from {_PORTS[0]} to {_PORTS[-1]}")
    try:
        if given.action == "up":
            return _up(given.directory, given.port, persistent=given.persistent)
        return _down(given.directory) if given.action == "down" else _status(given.directory)
    except (RedisServerError, RedisReplyError, OSError) as error:
        print(f"stopped: {error}", file=sys.stderr)
        return _USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED


def _up(directory: Path, port: int | None, *, persistent: bool) -> int:
    begun = time.monotonic()
    cluster = brought_up(directory, port, persistent=persistent)
    print(f"A Redis Cluster is up, after {time.monotonic() - begun:.1f} s.\n")
    print(_table(cluster))
    print("\nStart gateways on it, each in a terminal of its own:\n")
    for first in (8080, 8090):
        ports = f"--ws-port {first} --mcp-port {first + 1} --monitoring-port {first + 2}"
        print(f"  {invocation.command()} serve --store {cluster.url} {ports}")
    print(f"\nLook into it:  redis-cli -c -p {cluster.nodes[0].port}")
    where = "" if directory == _DIRECTORY else f' ARGS="--directory {directory}"'
    print(f"End it:        make cluster-down{where}")
    return 0


def brought_up(directory: Path, port: int | None, *, persistent: bool = False) -> RedisCluster:
    """Start the cluster of a directory, or what of it no longer runs; return when all is well.

    Raises:
        RedisServerError: it cannot be; the message says what to do.
    """
    redis_server()
    nodes = _nodes(directory)
    if not nodes:
        return _new(directory, port or _PORT, persistent=persistent)
    if port not in (None, nodes[0].port):
        raise RedisServerError(
            f"{directory} has a cluster on ports {nodes[0].port} to {nodes[-1].port}: end it "
            f"with `down --directory {directory}`, or choose another --directory"
        )
    if len(nodes) != NODES:
        raise RedisServerError(
            f"{directory} has {len(nodes)} of {NODES} nodes: `down --directory {directory}`"
            " ends them, and then `up` begins anew"
        )
    cluster = RedisCluster(nodes, _PRIMARIES, _REPLICAS)
    cluster.revive()
    return cluster


def known(directory: Path) -> RedisCluster | None:
    """Return the cluster whose files are in a directory; it may or may not run."""
    nodes = _nodes(directory)
    return RedisCluster(nodes, _PRIMARIES, _REPLICAS) if nodes else None


def _new(directory: Path, port: int, *, persistent: bool) -> RedisCluster:
    """Start a cluster that outlives us; when that fails, nothing of it is left."""
    ports = range(port, port + NODES)
    for each in ports:
        if not (is_free(each) and is_free(each + BUS)):
            raise in_use(each)
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, directory)
        nodes = []
        for each in ports:
            where = directory / str(each)
            node = RedisNode.written(where, each, cluster=True, persistent=persistent)
            stack.callback(node.kill)
            node.start()
            nodes.append(node)
        cluster = RedisCluster(nodes, _PRIMARIES, _REPLICAS)
        cluster.form()
        stack.pop_all()
    return cluster


def _down(directory: Path) -> int:
    found = bool(_nodes(directory))
    count = taken_down(directory)
    print(f"Ended {count} nodes." if found else f"There is no cluster in {directory}.")
    return 0


def taken_down(directory: Path) -> int:
    """End the cluster of a directory, and remove its files; return how many nodes ran."""
    # At once and without a word: there is nothing to save in what is removed.
    running = [node for node in _nodes(directory) if node.is_alive]
    for node in running:
        node.kill()
    _remove(directory)
    return len(running)


def _status(directory: Path) -> int:
    cluster = known(directory)
    if cluster is None:
        print(f"There is no cluster in {directory}: `up` starts one.")
        return 1
    wrong = cluster.what_is_wrong()
    print(_table(cluster))
    print(f"\nNot well: {wrong}. `up` starts what does not run." if wrong else "\nAll is well.")
    return 1 if wrong else 0


def _nodes(directory: Path) -> list[RedisNode]:
    """Return the nodes whose files are there, in the order of their ports."""
    nodes = [RedisNode.read(path.parent) for path in directory.glob("*/redis.conf")]
    return sorted(nodes, key=lambda node: node.port)


def _remove(directory: Path) -> None:
    """Remove a cluster's files, and the directory unless others put something there."""
    for node in _nodes(directory):
        shutil.rmtree(node.directory)
    with contextlib.suppress(OSError):
        directory.rmdir()


def _table(cluster: RedisCluster) -> str:
    lines = ["  node             process  serves"]
    known: dict[str, int] = {}
    views: dict[int, Member] = {}
    for node in cluster.nodes:
        with contextlib.suppress(OSError, RedisReplyError):
            members = parse(node.command("CLUSTER", "NODES", timeout=ASK_SECONDS))
            known |= {member.id: member.port for member in members}
            views[node.port] = myself(members)
    for node in cluster.nodes:
        what = "does not answer"
        if member := views.get(node.port):
            slots = f"slots {', '.join(member.slots) or 'none'}"
            what = slots if member.is_primary else f"replicates {HOST}:{known[member.primary]}"
        lines.append(f"  {HOST}:{node.port:<6} {node.pid or '-':>7}  {what}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
