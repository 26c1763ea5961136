"""One real redis-server on the loopback address, in a process of its own.

A node is described by its directory alone: the configuration and the process id
lie there, so that another program can end what this one started. The path of the
configuration is part of the process's title; a process id that has since been
given to somebody else is recognized by its absence, and left alone.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

HOST: Final = "127.0.0.1"
#: How far above its port a node of a cluster talks to the others.
BUS: Final = 10_000
_OLDEST: Final = (7, 0)
# Below 20000, so that the bus is below the ports that systems give to clients.
_PORTS: Final = range(10_001, 20_000)
_CHOICES: Final = 100
# Generous: a loaded machine is slow, and nobody waits this long when all is well.
_PATIENCE_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.01
_REPLY_SECONDS: Final = 5.0
_START_SECONDS: Final = 0.5
_LAST_WORDS: Final = 1_000

_CONFIGURATION: Final = """\
bind {host}
port {port}
dir "{directory}"
pidfile "{directory}/redis.pid"
proc-title-template "{{title}} {{config-file}}"
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-ping-replica-period 1
"""
_FORGETFUL: Final = 'save ""\nappendonly no\n'
_PERSISTENT: Final = "save 60 1\nappendonly yes\n"
_CLUSTER: Final = """\
cluster-enabled yes
cluster-config-file nodes.conf
cluster-node-timeout 2000
# Who replicates whom is settled at the beginning, and only failures change it.
cluster-allow-replica-migration no
"""


class RedisServerError(Exception):
    """A server does not do what it must; the message says what to do."""


class PortInUseError(RedisServerError):
    """Somebody else listens where a server should."""


class RedisReplyError(Exception):
    """The server answered with an error, as ``MOVED 7 127.0.0.1:7001`` is one."""


class RedisNode:
    """A redis-server that can be killed, stopped and started again, with one fixed port."""

    def __init__(self, directory: Path, port: int, flags: Sequence[str] = ()) -> None:
        self.directory = directory.resolve()
        self.port = port
        self.flags = tuple(flag.replace("{port}", str(port)) for flag in flags)
        self.host = self.flags[self.flags.index("--bind") + 1] if "--bind" in self.flags else HOST
        #: What AUTH is sent before a command; a test with users of its own sets it.
        self.credentials: tuple[str, ...] = ()
        if "--requirepass" in self.flags:
            self.credentials = (self.flags[self.flags.index("--requirepass") + 1],)
        self._tls: ssl.SSLContext | None = None
        if ("--tls-port", str(port)) in itertools.pairwise(self.flags):  # it has no other port
            authority = self.flags[self.flags.index("--tls-ca-cert-file") + 1]
            self._tls = ssl.create_default_context(cafile=authority)
        self.stopped = False
        self._process: subprocess.Popen[bytes] | None = None
        self._id = ""

    def __repr__(self) -> str:
        return f"RedisNode({self.port})"

    @classmethod
    def written(
        cls,
        directory: Path,
        port: int,
        flags: Sequence[str] = (),
        *,
        cluster: bool = False,
        persistent: bool = False,
    ) -> RedisNode:
        """Make a node's directory; it is not started."""
        node = cls(directory, port, flags)
        node.directory.mkdir(parents=True, exist_ok=True)
        text = _CONFIGURATION.format(host=HOST, port=port, directory=node.directory)
        text += _PERSISTENT if persistent else _FORGETFUL
        node.configuration.write_text(text + (_CLUSTER if cluster else ""), encoding="utf-8")
        return node

    @classmethod
    def read(cls, directory: Path) -> RedisNode:
        """Return the node whose directory this is; it may or may not run."""
        text = (directory / "redis.conf").read_text(encoding="utf-8")
        found = re.search(r"^port (\d+)$", text, re.MULTILINE)
        if found is None:
            raise RedisServerError(f"{directory} is not one of ours: its redis.conf names no port")
        return cls(directory, int(found[1]))

    @property
    def configuration(self) -> Path:
        """The file that it is started with."""
        return self.directory / "redis.conf"

    @property
    def address(self) -> tuple[str, int]:
        """Where clients connect to."""
        return self.host, self.port

    @property
    def url(self) -> str:
        """Where clients connect to, as settings name it."""
        return f"redis://{self.host}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The id of its process; 0 when none runs."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else 0
        try:
            pid = int((self.directory / "redis.pid").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0
        words = command_line(pid)
        return pid if "redis-server" in words and str(self.configuration) in words else 0

    @property
    def is_alive(self) -> bool:
        """Whether its process runs, which it does while stopped, too."""
        return self.pid != 0

    @property
    def id(self) -> str:
        """What it is called in its cluster; known of a dead one, too, if it was asked before."""
        if not self._id:
            self._id = self.command("CLUSTER", "MYID")
        return self._id

    @property
    def is_primary(self) -> bool:
        """Whether it takes itself for a primary, as a server without a cluster does."""
        return bool(self.command("ROLE")[0] == "master")

    def start(self) -> None:
        """Start it, and return when it answers.

        Raises:
            PortInUseError: its port, or that of its bus, is somebody else's.
            RedisServerError: it ended, or does not answer; the message has its last words.
        """
        program = redis_server()
        log = self.directory / "redis.log"
        begins = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [program, str(self.configuration), *self.flags],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for who started it, and tells it when it is over.
                start_new_session=True,
            )
        self.stopped = False
        try:
            wait_until(self._what_is_missing, f"the redis-server on port {self.port}")
        except RedisServerError as error:
            ended = not self.is_alive
            self.kill()
            words = log.read_bytes()[begins:].decode(errors="replace")
            if ended and "already in use" in words:
                raise in_use(self.port) from None
            raise RedisServerError(f"{error}\n{words[-_LAST_WORDS:]}") from None

    def kill(self) -> None:
        """End it with SIGKILL, which ends a stopped one, too; returns when it is gone."""
        pid = self.pid
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        elif pid:
            wait_until(lambda: "it runs" if self.is_alive else "", f"killed process {pid}")
        self.stopped = False

    def stop(self) -> None:
        """Let it do nothing with SIGSTOP: its connections stay, and nobody answers."""
        os.kill(self._running(), signal.SIGSTOP)
        self.stopped = True

    def resume(self) -> None:
        """Let a stopped one go on."""
        os.kill(self._running(), signal.SIGCONT)
        self.stopped = False

    def restart(self) -> None:
        """Start it on its port again, after its end or to end it."""
        self.kill()
        self.start()

    def command(self, *words: str | int | bytes, timeout: float = _REPLY_SECONDS) -> Any:
        """Return the reply to one command, sent on a connection of its own.

        A reply is a string, an integer, ``None`` or a list of replies; bytes that are no
        text survive as surrogates.

        Raises:
            RedisReplyError: the reply is an error.
            OSError: there is none.
        """
        with self._connected(timeout) as sock, sock.makefile("rb") as stream:
            if self.credentials:
                sock.sendall(_request("AUTH", *self.credentials))
                _reply(stream)
            sock.sendall(_request(*words))
            return _reply(stream)

    def info(self, section: str) -> dict[str, str]:
        """Return what it tells of itself in a section of INFO."""
        return fields(self.command("INFO", section))

    def _connected(self, timeout: float) -> socket.socket:
        sock = socket.create_connection(self.address, timeout)
        return self._tls.wrap_socket(sock, server_hostname=self.host) if self._tls else sock

    def _running(self) -> int:
        if not self.is_alive:
            raise RedisServerError(f"the redis-server on port {self.port} does not run")
        return self.pid

    def _what_is_missing(self) -> str:
        if not self.is_alive:
            raise RedisServerError(f"the redis-server on port {self.port} ended")
        try:
            # Who does not answer soon is asked again, or is somebody else.
            told = fields(self.command("INFO", timeout=_START_SECONDS))
            if told["loading"] != "0":
                return "it loads its data"
        except (OSError, RedisReplyError) as error:
            return str(error)
        return "" if int(told["process_id"]) == self.pid else "another process answers there"


@contextlib.contextmanager
def running_node(directory: Path, port: int = 0, *flags: str) -> Iterator[RedisNode]:
    """Run one plain redis-server, on a free port unless one is named.

    Flags are passed on, with its port for ``{port}``: one that has nothing but TLS is handed
    ``("--port", "0", "--tls-port", "{port}", "--tls-ca-cert-file", ...)``.
    """
    node = started(directory, port, flags)
    try:
        yield node
    finally:
        node.kill()


def started(
    directory: Path, port: int = 0, flags: Sequence[str] = (), *, cluster: bool = False
) -> RedisNode:
    """Start a node; where no port is named, on one that is free.

    A port that is free may be taken before the server has it: it is the server who knows.
    """
    if port:
        node = RedisNode.written(directory, port, flags, cluster=cluster)
        node.start()
        return node
    for _ in range(_CHOICES):
        node = RedisNode.written(directory, free_port(), flags, cluster=cluster)
        with contextlib.suppress(PortInUseError):
            node.start()
            return node
    raise RedisServerError("there is no free port")


def free_port() -> int:
    """Return a port below 20000 that nobody uses, nor the one of its bus."""
    for _ in range(_CHOICES):
        port = _PORTS[secrets.randbelow(len(_PORTS))]
        if is_free(port) and is_free(port + BUS):
            return port
    raise RedisServerError(f"there is no free port from {_PORTS[0]} to {_PORTS[-1]}")


def is_free(port: int) -> bool:
    """Return whether a server could listen there now."""
    try:
        with socket.create_server((HOST, port)):
            return True
    except OSError:
        return False


def in_use(port: int) -> PortInUseError:
    """Return the error that says what to do about it."""
    return PortInUseError(
        f"port {port} or {port + BUS} (its cluster bus) is in use: end what listens there "
        f"(`ss -ltnp` shows it), or choose other ports"
    )


def wait_until(missing: Callable[[], str], what: str, seconds: float = _PATIENCE_SECONDS) -> None:
    """Return as soon as nothing is missing.

    Raises:
        RedisServerError: something still was when the time was over; the message says what.
    """
    end = time.monotonic() + seconds
    while still := missing():
        if time.monotonic() > end:
            raise RedisServerError(f"{what}: {still}, after {seconds:g} seconds")
        time.sleep(_POLL_SECONDS)


def fields(text: str) -> dict[str, str]:
    """Return the ``name:value`` lines of INFO and CLUSTER INFO."""
    lines = (line.partition(":") for line in text.splitlines())
    return {name: value for name, colon, value in lines if colon}


@functools.cache
def redis_server() -> str:
    """Return the path of redis-server.

    Raises:
        RedisServerError: it is missing, or too old.
    """
    path = shutil.which("redis-server")
    wanted = ".".join(map(str, _OLDEST))
    advice = (
        f"install Redis {wanted} or later (`make install-redis`, or apt-get install redis-server)"
    )
    if path is None:
        raise RedisServerError(f"there is no redis-server on PATH: {advice}")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"\bv=(\d+)\.(\d+)", said)
    if version is None or tuple(map(int, version.groups())) < _OLDEST:
        raise RedisServerError(f"{path} is too old ({said.strip() or 'it does not say'}): {advice}")
    return path


def command_line(pid: int) -> str:
    """Return what a process was started with, as one text; empty when there is none."""
    if Path("/proc/self").exists():
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return ""
        return raw.replace(b"\0", b" ").decode(errors="replace")
    listing = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(listing, capture_output=True, text=True, check=False).stdout


def _request(*words: str | int | bytes) -> bytes:
    raw = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in raw)


def _reply(stream: IO[bytes]) -> Any:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server closed the connection")
    kind, rest = line[:1], line[1:-2].decode(errors="surrogateescape")
    if kind == b"-":
        raise RedisReplyError(rest)
    if kind == b"+":
        return rest
    if kind == b":":
        return int(rest)
    count = int(rest)
    if count < 0:
        return None
    if kind == b"*":
        return [_reply(stream) for _ in range(count)]
    return stream.read(count + len(b"\r\n"))[:-2].decode(errors="surrogateescape")
