"""`make up`, `make status` and `make down`, as a person types them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gateway import invocation
from haproxy.cli import main
from haproxy.local_cluster import LocalCluster
from haproxy.redis_node import free_port, is_free

pytestmark = pytest.mark.slow


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "haproxy.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def flags(tmp_path: Path) -> Iterator[list[str]]:
    """Flags for ports that are free, below the directory's."""
    taken: set[int] = set()

    def free(count: int) -> int:
        """Return the first of some ports in a row that are free, and not given yet."""
        for port in iter(free_port, 0):
            wanted = set(range(port, port + count))
            if not wanted & taken and all(map(is_free, wanted)):
                taken.update(wanted)
                return port
        raise AssertionError("there is always another")

    ports = {"ws": free(1), "mcp": free(1), "metrics": free(1), "redis": free(6)}
    found = [each for name, port in ports.items() for each in (f"--{name}-port", str(port))]
    yield [*found, "--gateway-ports", str(free(23))]
    program("down", "--directory", str(tmp_path / "local"))


def running(directory: Path) -> list[psutil.Process]:
    """Return the processes that were started with something of a directory."""
    return [
        each
        for each in psutil.process_iter(["cmdline"])
        if any(str(directory) in word for word in each.info["cmdline"] or ())
    ]


def test_a_deployment_comes_is_told_of_and_goes_without_a_trace(
    tmp_path: Path, flags: list[str]
) -> None:
    where = ("--directory", str(tmp_path / "local"))
    up = program("up", *where, *flags)
    assert up.returncode == 0, up.stderr
    assert f"http://127.0.0.1:{flags[1]}/" in up.stdout
    assert f"http://127.0.0.1:{flags[3]}/mcp" in up.stdout
    assert f"{invocation.command()} ask --url http://127.0.0.1:{flags[3]}/mcp" in up.stdout
    (tmp_path / "local" / "mine.txt").touch()
    before = {each.pid for each in running(tmp_path)}
    # Twice is as good as once, and on other ports it would be another.
    assert program("up", *where, *flags).returncode == 0
    assert {each.pid for each in running(tmp_path)} == before
    assert "another --directory" in program("up", *where, "--ws-port", "9").stderr
    status = program("status", *where)
    assert (status.returncode, "All is well." in status.stdout) == (0, True)
    gateway = next(each for each in running(tmp_path) if "gateway2" in str(each.cmdline()))
    gateway.kill()
    status = program("status", *where)
    assert (status.returncode, "gateway2 does not run" in status.stdout) == (1, True)
    assert program("down", *where).stdout == "Ended 9 processes.\n"
    assert running(tmp_path) == []
    assert [path.name for path in (tmp_path / "local").iterdir()] == ["mine.txt"]


def test_who_watches_leaves_with_ctrl_c(deployment: LocalCluster) -> None:
    command = [sys.executable, "-m", "haproxy.cli", "status", "--watch", "0.1"]
    with subprocess.Popen(
        [*command, "--directory", str(deployment.directory)], stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        seen = "".join(iter(watching.stdout.readline, "All is well.\n"))
        os.kill(watching.pid, signal.SIGINT)
        assert watching.wait(30) == 130
    assert "gateway3" in seen


def test_a_start_that_was_refused_is_no_cluster_and_other_ports_may_be_chosen(
    tmp_path: Path, flags: list[str]
) -> None:
    where = ("--directory", str(tmp_path / "local"))
    redis = int(flags[flags.index("--redis-port") + 1])
    with socket.create_server(("127.0.0.1", redis + 2)):
        refused = program("up", *where, *flags)
    assert refused.returncode == 2
    assert f"port {redis + 2} is in use, and redis wants it" in refused.stderr
    assert "There is no cluster" in program("restart", *where).stdout
    # Others than the refused ones.
    swapped = [*flags[2:4], *flags[:2], *flags[4:]]
    swapped[0], swapped[2] = "--ws-port", "--mcp-port"
    up = program("up", *where, *swapped)
    assert up.returncode == 0, up.stderr
    assert f"http://127.0.0.1:{flags[3]}/\n" in up.stdout
    cluster = LocalCluster.read(tmp_path / "local")
    assert cluster is not None
    cluster.balancer.down()
    restarted = program("restart", *where)
    assert restarted.returncode == 2
    assert "haproxy of" in restarted.stderr
    assert "`up` starts it" in restarted.stderr


def test_where_there_is_none_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--directory", str(tmp_path / "none")]
    assert main(["status", *where]) == 1
    assert main(["down", *where]) == 0
    assert "There is no cluster" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["up", "--ws-port", "70000"])
