"""A whole deployment on the loopback address: `python -m haproxy.local_cluster up`.

A Redis Cluster of six nodes, three gateways, and HAProxy with the file that operators
copy, each a process of its own. The directory is all that `status` and `down` need to
know; logs are in its folder `logs`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from haproxy import redis_cluster
from haproxy.balancer import GATEWAYS, Balancer, haproxy_program
from haproxy.gateways import FROM_SOURCE, Gateway, Settings
from haproxy.redis_node import BUS, HOST, PortInUseError, RedisServerError, free_port, is_free
from haproxy.redis_shards import RedisCluster

DIRECTORY: Final = Path("build/local")
_DESCRIPTION: Final = "cluster.json"
_NAMES: Final = tuple(f"gateway{number}" for number in range(1, GATEWAYS + 1))
_ATTEMPTS: Final = 5


class LocalCluster:
    """The processes of one directory, and how they are started."""

    def __init__(self, directory: Path, ports: Mapping[str, Sequence[int]]) -> None:
        self.directory = directory.resolve()
        self.ports = {name: list(numbers) for name, numbers in ports.items()}
        logs = self.directory / "logs"
        self.gateways = [
            Gateway(name, self.directory / name, logs / f"{name}.log", self.ports[name])
            for name in _NAMES
        ]
        where = self.directory / "haproxy"
        self.balancer = Balancer(where, logs / "haproxy.log", self.ports["haproxy"])
        #: What a gateway is started with.
        self.command: Sequence[str] = FROM_SOURCE
        #: Further settings of all gateways, and variables of HAProxy's configuration.
        self.settings: Settings = {}
        self.variables: Mapping[str, str] = {}
        self._redis: RedisCluster | None = None

    @classmethod
    def read(cls, directory: Path) -> LocalCluster | None:
        """Return the cluster whose directory this is, if it is one."""
        try:
            text = (directory / _DESCRIPTION).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        known: dict[str, Any] = json.loads(text)
        cluster = cls(directory, known["ports"])
        cluster.command = known["command"]
        cluster.settings, cluster.variables = known["settings"], known["variables"]
        return cluster

    @property
    def redis(self) -> RedisCluster | None:
        """Its Redis Cluster, if it was started."""
        return self._redis or redis_cluster.known(self.directory / "redis")

    def up(self, tell: Callable[[str], None] = lambda _text: None) -> None:
        """Start what does not run; return when all of it serves.

        Of a cluster that is new and cannot be started nothing is left.

        Raises:
            RedisServerError: something cannot be started; the message says what to do.
        """
        haproxy_program()
        with contextlib.ExitStack() as stack:
            if not (self.directory / _DESCRIPTION).exists():
                self._refuse_taken_ports()
                # Or its next start would find a cluster on ports that it cannot have.
                stack.callback(self.down)
            self._write()
            self._start(tell)
            stack.pop_all()

    def _start(self, tell: Callable[[str], None]) -> None:
        tell("Redis Cluster ...")
        if self._redis is None:
            where = self.directory / "redis"
            self._redis = redis_cluster.brought_up(where, self.ports["redis"][0])
        elif self._redis.what_is_wrong():
            self._redis.revive()
        redis = self._redis
        for node in redis.nodes:
            link = self.directory / "logs" / f"redis-{node.port}.log"
            link.unlink(missing_ok=True)
            link.symlink_to(node.directory / "redis.log")
        for gateway in self.gateways:
            if not gateway.pid:
                tell(f"{gateway.name} ...")
                gateway.write(self._settings_of(redis.url))
                gateway.up(self.command)
        if not self.balancer.pid:
            tell("HAProxy ...")
            variables = self.balancer.variables(self.gateways)
            self.balancer.up({**variables, **self.variables})
        for gateway in self.gateways:
            # One may be drained yet, by a restart that did not come to its end.
            self.balancer.set_state(gateway.name, "ready")
        self.balancer.wait_until_whole()

    def down(self) -> int:
        """End all of it at once, and remove its files; return how many processes ran."""
        running = [each for each in (self.balancer, *self.gateways) if each.pid]
        if self.balancer.pid:
            # A master that is killed could not take its workers along.
            self.balancer.down()
        for gateway in self.gateways:
            gateway.kill()
        nodes = self.redis.nodes if self.redis is not None else ()
        count = len(running) + sum(node.is_alive for node in nodes)
        for node in nodes:
            node.kill()
        redis_cluster.taken_down(self.directory / "redis")
        if (self.directory / _DESCRIPTION).exists():
            for name in (*_NAMES, "haproxy", "redis", "logs"):
                shutil.rmtree(self.directory / name, ignore_errors=True)
            (self.directory / _DESCRIPTION).unlink()
        # It stays when somebody has put something there.
        with contextlib.suppress(OSError):
            self.directory.rmdir()
        return count

    def _refuse_taken_ports(self) -> None:
        first = self.ports["redis"][0]
        nodes = range(first, first + redis_cluster.NODES)
        redis = [*nodes, *(port + BUS for port in nodes)]
        for name, numbers in {**self.ports, "redis": redis}.items():
            for port in numbers:
                if not is_free(port):
                    raise PortInUseError(
                        f"port {port} is in use, and {name} wants it: end what listens there "
                        "(`ss -ltnp` shows it), or choose other ports (--help)"
                    )

    def _write(self) -> None:
        (self.directory / "logs").mkdir(parents=True, exist_ok=True)
        known = {
            "ports": self.ports,
            "command": list(self.command),
            "settings": dict(self.settings),
            "variables": dict(self.variables),
        }
        text = json.dumps(known, indent=1)
        (self.directory / _DESCRIPTION).write_text(text, encoding="utf-8")

    def _settings_of(self, store: str) -> Settings:
        """Return what a gateway behind this HAProxy is told."""
        fronts = (self.balancer.ws_port, self.balancer.mcp_port)
        names = (HOST, "localhost")
        origins = [f"http://{name}:{port}" for name in names for port in fronts]
        told: dict[str, dict[str, Any]] = {
            "": {"store": store},
            # Clients say the name and port that they see, which are HAProxy's.
            "access": {"hosts": list(names), "origins": origins},
        }
        for part, values in self.settings.items():
            told[part] = {**told.get(part, {}), **values}
        return told


@contextlib.contextmanager
def running_local_cluster(
    directory: Path,
    *,
    command: Sequence[str] = FROM_SOURCE,
    settings: Settings | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[LocalCluster]:
    """Run a cluster on free ports; all processes end with the context."""
    cluster = _started(directory, command, settings or {}, variables or {})
    try:
        yield cluster
    finally:
        cluster.down()


def _started(
    directory: Path, command: Sequence[str], settings: Settings, variables: Mapping[str, str]
) -> LocalCluster:
    for attempt in itertools.count(1):
        cluster = LocalCluster(directory, free_ports())
        cluster.command, cluster.settings, cluster.variables = command, settings, variables
        with contextlib.ExitStack() as stack:
            stack.callback(cluster.down)
            try:
                cluster.up()
            except RedisServerError as error:
                # A port that was free may be somebody else's by now.
                if "in use" not in str(error) or attempt == _ATTEMPTS:
                    raise
            else:
                stack.pop_all()
                return cluster
    raise AssertionError("it counts for ever")


def free_ports() -> dict[str, list[int]]:
    """Return ports for a cluster that nobody uses now."""
    nodes = range(redis_cluster.NODES)
    first = next(
        port
        for port in iter(free_port, 0)
        if all(is_free(port + n) and is_free(port + n + BUS) for n in nodes)
    )
    taken = {first + n for n in nodes}
    ports = {"redis": [first]}
    for name in (*_NAMES, "haproxy"):
        ports[name] = []
        while len(ports[name]) < 3:  # noqa: PLR2004 - WebSocket, MCP and monitoring
            port = free_port()
            if port not in taken:
                taken.add(port)
                ports[name].append(port)
    return ports
