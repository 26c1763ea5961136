"""Ports and descriptors: what cannot be had is said with a next step."""

import resource
import socket
from collections.abc import Iterator

import pytest
import structlog

from gateway.ports import allowed_connections, bound, port_of, url_host


@pytest.fixture
def limit() -> Iterator[tuple[int, int]]:
    """The limits of open files, put back afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_any_free_port_can_be_had() -> None:
    with bound("127.0.0.1", 0, "--ws-port") as sock:
        assert port_of(sock) > 0
    assert sock.fileno() == -1


def test_a_port_in_use_names_the_flag_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = port_of(taken)
        with (
            pytest.raises(OSError, match=f"{port}.*--mcp-port"),
            bound("127.0.0.1", port, "--mcp-port"),
        ):
            pass


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_host_in_a_url(host: str, shown: str) -> None:
    assert url_host(host) == shown


def test_as_many_connections_are_allowed_as_there_can_be_files(limit: tuple[int, int]) -> None:
    _, hard = limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    assert allowed_connections(300) == 300
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 364


def test_enough_files_are_left_as_they_are(limit: tuple[int, int]) -> None:
    _, hard = limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    assert allowed_connections(10) == 10
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 256


def test_too_few_files_lower_the_cap_and_say_so(limit: tuple[int, int]) -> None:
    _, hard = limit
    with structlog.testing.capture_logs() as logged:
        allowed = allowed_connections(hard + 1000)
    assert allowed == hard - 64
    assert logged[0]["event"] == "descriptors_are_few"
    assert "ulimit" in logged[0]["advice"]
