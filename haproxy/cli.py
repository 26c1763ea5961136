"""The local cluster's commands: `python -m haproxy.cli up | status | restart | down`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from gateway import invocation
from haproxy.cluster_status import table, watch, what_is_wrong
from haproxy.local_cluster import DIRECTORY, LocalCluster
from haproxy.program import ProgramError
from haproxy.redis_node import HOST, RedisReplyError, RedisServerError
from haproxy.rolling_restart import replace_all

_FAILED: Final = 2
_INTERRUPTED: Final = 130
_DESCRIPTION: Final = """\
Run a whole deployment on 127.0.0.1: a Redis Cluster of six nodes, three gateways, HAProxy.

  up       start it, or what of it no longer runs, and return when all of it serves
  status   tell how it is; exit status 1 when something is wrong; --watch goes on telling
  restart  replace the gateways one after the other, while they serve
  down     end its processes, and none but its own, and remove its directory"""
_EXAMPLES: Final = """\
examples:
  python -m haproxy.cli up
  python -m haproxy.cli up --gateway build/compiled/bin/frontend-router
  python -m haproxy.cli up --ws-port 9080 --mcp-port 9081 --directory build/another
  python -m haproxy.cli status --watch
  python -m haproxy.cli down"""
_PORTS: Final = {"ws": 8080, "mcp": 8081, "metrics": 8404, "gateways": 8180, "redis": 7000}
_LARGEST: Final = 54_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        return _up(given) if given.action == "up" else _with_known(given)
    except (RedisServerError, RedisReplyError, OSError) as error:
        print(f"stopped: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED


def _with_known(given: argparse.Namespace) -> int:
    show = partial(print, flush=True)
    cluster = LocalCluster.read(given.directory)
    if cluster is None:
        print(f"There is no cluster in {given.directory}: `up` starts one.")
        return 0 if given.action == "down" else 1
    if given.action == "down":
        print(f"Ended {cluster.down()} processes.")
        return 0
    if given.action == "restart":
        if not cluster.balancer.pid:
            raise ProgramError(f"haproxy of {given.directory} does not run: `up` starts it")
        replace_all(cluster.balancer, cluster.gateways, cluster.command, show)
        return 0
    if given.watch:
        watch(cluster, given.watch, show)
    wrong = what_is_wrong(cluster)
    print(f"{table(cluster)}\n\n{wrong or 'All is well.'}")
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m haproxy.cli",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("up", "status", "restart", "down"))
    parser.add_argument(
        "--directory", type=Path, default=DIRECTORY, help="where its files are (%(default)s)"
    )
    parser.add_argument("--gateway", help="up: the program to start, such as the compiled one")
    parser.add_argument(
        "--watch", type=float, nargs="?", const=1.0, help="status: every so many seconds (1)"
    )
    texts = {
        "ws": "HAProxy, for people",
        "mcp": "HAProxy, for agents",
        "metrics": "HAProxy, for operators",
        "gateways": "the first gateway's; each has three, ten above those of the last",
        "redis": "the first of six",
    }
    for name, text in texts.items():
        flag = "--gateway-ports" if name == "gateways" else f"--{name}-port"
        parser.add_argument(
            flag, dest=name, type=_port, help=f"up: the port of {text} ({_PORTS[name]})"
        )
    return parser


def _port(text: str) -> int:
    number = int(text)
    if not 0 < number < _LARGEST:
        raise argparse.ArgumentTypeError(f"a port from 1 to {_LARGEST - 1}, not {text}")
    return number


def _up(given: argparse.Namespace) -> int:
    wanted = {name: getattr(given, name) or number for name, number in _PORTS.items()}
    first = wanted["gateways"]
    ports = {
        "haproxy": [wanted["ws"], wanted["mcp"], wanted["metrics"]],
        "redis": [wanted["redis"]],
        **{f"gateway{n + 1}": list(range(first + 10 * n, first + 10 * n + 3)) for n in range(3)},
    }
    cluster = LocalCluster.read(given.directory)
    if cluster is None:
        cluster = LocalCluster(given.directory, ports)
    elif any(getattr(given, name) for name in _PORTS) and cluster.ports != ports:
        raise ProgramError(
            f"{given.directory} has a cluster on other ports: `down` ends it, or choose "
            "another --directory"
        )
    if given.gateway:
        cluster.command = [given.gateway]
    cluster.up(partial(print, flush=True))
    ws, mcp = (f"{HOST}:{port}" for port in (cluster.balancer.ws_port, cluster.balancer.mcp_port))
    print(f"\n{table(cluster)}\n")
    print(f"  People answer at    http://{ws}/")
    print(f"  Agents connect to   http://{mcp}/mcp")
    print(f"  HAProxy's numbers   http://{HOST}:{cluster.balancer.metrics_port}/")
    print(f"  Logs                {cluster.directory / 'logs'}/")
    print(f'\n  Ask:  {invocation.command()} ask --url http://{mcp}/mcp "Which colour?"')
    print("  Then: make status, make rolling-restart, make down\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
