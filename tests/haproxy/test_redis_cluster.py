"""The program with which operators start a cluster and end it."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from haproxy.redis_cluster import RedisCluster, main
from haproxy.redis_node import BUS, RedisNode, free_port, is_free, running_node

NODES = 6


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "haproxy.redis_cluster", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def six_ports() -> int:
    """Return the first of six in a row that nobody uses."""
    while True:
        first = free_port()
        row = range(first, first + NODES)
        if all(is_free(port) and is_free(port + BUS) for port in row):
            return first


def test_the_versionsays_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    for word in ("up", "down", "status", "--persistent", "build/cluster", "redis-cli -c"):
        assert word in said


@pytest.mark.parametrize("port", ["0", "55531", "seven"])
def test_a_port_without_room_for_six_and_their_bus_is_refused(
    port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["up", "--port", port])
    assert "--port" in capsys.readouterr().err


def test_where_there_is_none_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--directory", str(tmp_path / "none"))
    assert main(["status", *where]) == 1
    assert main(["down", *where]) == 0
    assert capsys.readouterr().out.count("There is no cluster in") == 2


@pytest.mark.slow
def test_a_port_in_use_is_said_and_nothing_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, directory = six_ports(), tmp_path / "cluster"
    with socket.create_server(("127.0.0.1", first + 5 + BUS)):
        assert main(["up", "--port", str(first), "--directory", str(directory)]) == 2
    assert f"stopped: port {first + 5} or {first + 5 + BUS}" in capsys.readouterr().err
    assert not directory.exists()


@pytest.mark.slow
def test_up_status_and_down(tmp_path: Path) -> None:
    first, directory = six_ports(), tmp_path / "cluster"
    where = ("--directory", str(directory))
    try:
        up = program("up", "--port", str(first), *where)
        assert (up.returncode, up.stderr) == (0, "")
        store = ",".join(f"127.0.0.1:{first + index}" for index in range(3))
        assert f"frontend-router serve --store redis+cluster://{store} --ws-port 8080" in up.stdout
        assert "--ws-port 8090" in up.stdout
        assert f'make cluster-down ARGS="--directory {directory}"' in up.stdout
        # What is printed to be copied starts the program.
        started = re.search(r"^  (.*) serve --store", up.stdout, re.MULTILINE)
        assert started
        version = subprocess.run([*shlex.split(started[1]), "--version"], capture_output=True)
        assert version.returncode == 0
        status = program("status", *where)
        assert (status.returncode, status.stderr) == (0, "")
        assert len(re.findall(r"slots \d+-\d+$", status.stdout, re.MULTILINE)) == 3
        assert status.stdout.count("replicates 127.0.0.1:") == 3
        assert "All is well" in status.stdout

        # One ends, and `up` is all it takes.
        dead = RedisNode.read(directory / str(first + 5))
        dead.kill()
        status = program("status", *where)
        assert status.returncode == 1
        assert f"Not well: node {first + 5} does not run" in status.stdout
        assert re.search(rf":{first + 5} .* does not answer", status.stdout)
        other = program("up", "--port", str(first - 1), *where)
        assert (other.returncode, "choose another --directory" in other.stderr) == (2, True)
        assert program("up", *where).returncode == 0
        assert dead.is_alive
    finally:
        down = program("down", *where)
    assert (down.returncode, down.stdout) == (0, "Ended 6 nodes.\n")
    assert not directory.exists()
    assert all(is_free(first + index) for index in range(NODES))


@pytest.mark.slow
def test_what_is_persistent_survives_the_end_of_all_nodes(tmp_path: Path) -> None:
    first, directory = six_ports(), tmp_path / "cluster"
    where = ("--directory", str(directory))
    try:
        assert program("up", "--persistent", "--port", str(first), *where).returncode == 0
        nodes = [RedisNode.read(path) for path in sorted(directory.iterdir())]
        cluster = RedisCluster(nodes, 3, 1)
        slot = cluster.slot_of("a")
        assert cluster.primary_of(slot).command("SET", "a", "kept") == "OK"
        for node in nodes:
            node.kill()
        assert program("up", *where).returncode == 0
        assert cluster.primary_of(slot).command("GET", "a") == "kept"
    finally:
        program("down", *where)


@pytest.mark.slow
def test_down_ends_and_removes_nothing_of_others(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with (
        running_node(tmp_path / "7") as node,
        running_node(tmp_path.with_name("another")) as other,
    ):
        # What its directory names is somebody else's, as after a restart of the machine.
        (node.directory / "redis.pid").write_text(f"{other.pid}", encoding="ascii")
        assert program("down", "--directory", str(tmp_path)).returncode == 0
        assert other.command("PING") == "PONG"
        assert node.command("PING") == "PONG"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_a_cluster_with_nodes_missing_is_not_completed(tmp_path: Path) -> None:
    RedisNode.written(tmp_path / "7", free_port(), cluster=True)
    up = program("up", "--directory", str(tmp_path))
    assert up.returncode == 2
    assert "has 1 of 6 nodes" in up.stderr
