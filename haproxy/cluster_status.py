"""How a local cluster is, as a table for people."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from haproxy.balancer import BACKENDS, Server
from haproxy.local_cluster import LocalCluster

_HEADER = ("", "process", "ready", "frontends", "questions", "HAProxy: ws", "mcp", "port")


def seen(cluster: LocalCluster) -> list[Server]:
    """Return the gateways as HAProxy sees them; none when it does not answer."""
    with contextlib.suppress(OSError):
        return cluster.balancer.servers()
    return []


def what_is_wrong(cluster: LocalCluster) -> str:
    """Return what is not as it should be; empty when all is well."""
    redis = cluster.redis
    if redis is None:
        return "there is no Redis Cluster"
    if problem := redis.what_is_wrong():
        return problem
    for each in (*cluster.gateways, cluster.balancer):
        if not each.pid:
            return f"{each.name} does not run"
    unready = [each.name for each in cluster.gateways if not each.is_ready()]
    return f"{unready[0]} is not ready" if unready else cluster.balancer.what_is_missing()


def table(cluster: LocalCluster) -> str:
    """Return one line for each gateway, HAProxy and Redis."""
    servers = seen(cluster)
    rows: list[Sequence[str]] = [_HEADER]
    for gateway in cluster.gateways:
        report = gateway.report()
        told = ("-", "-", "-")
        if report is not None:
            is_ready = "yes" if report.ready else "no"
            told = (is_ready, str(report.frontends), str(report.questions))
        states = (_state(servers, backend, gateway.name) for backend in BACKENDS)
        port = f"{gateway.ws_port}, {gateway.mcp_port}, {gateway.monitoring_port}"
        rows.append((gateway.name, str(gateway.pid or "-"), *told, *states, port))
    balancer = cluster.balancer
    ports = f"{balancer.ws_port}, {balancer.mcp_port}, {balancer.metrics_port}"
    rows.append(("haproxy", str(balancer.pid or "-"), "yes" if servers else "no", *4 * "-", ports))
    nodes = cluster.redis.nodes if cluster.redis is not None else ()
    alive = f"{sum(node.is_alive for node in nodes)} nodes"
    span = f"{nodes[0].port} to {nodes[-1].port}" if nodes else "-"
    rows.append(("redis", alive, *5 * "-", span))
    return _aligned(rows)


def watch(cluster: LocalCluster, every: float, show: Callable[[str], None]) -> None:
    """Show the table anew, again and again, until interrupted."""
    while True:
        wrong = what_is_wrong(cluster)
        # Clears the terminal, and begins at its top.
        show(f"\033[H\033[2J{table(cluster)}\n\n{wrong or 'All is well.'}")
        time.sleep(every)


def _state(servers: Sequence[Server], backend: str, name: str) -> str:
    for each in servers:
        if (each.backend, each.name) == (backend, name):
            return f"{each.status}, {each.sessions} open"
    return "-"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(f"  {line.rstrip()}" for line in lines)
