"""TLS to a real server, with certificates made for the test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from haproxy.redis_cluster import RedisNode, running_node
from haproxy.redis_node import free_port
from session.redis.address import Tls
from session.redis.tls import context_of
from tests.session.redis.running import Ear, running_client, why_unusable

pytestmark = pytest.mark.slow


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for the loopback address that nobody has signed."""
    paths = directory / f"{name}.crt", directory / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:127.0.0.1,DNS:{name}"]
    command += ["-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(command, check=True, capture_output=True)
    return paths


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisNode, int, Path]]:
    """A server with TLS: the node, its port for that, and what it is known by."""
    directory = tmp_path_factory.mktemp("tls")
    crt, key = certificate(directory, "server")
    port = free_port()
    flags = ["--tls-port", str(port), "--tls-cert-file", str(crt), "--tls-key-file", str(key)]
    flags += ["--tls-auth-clients", "optional", "--tls-ca-cert-file", str(crt)]
    with running_node(directory / "node", 0, *flags) as node:
        yield node, port, crt


async def test_everything_works_encrypted(secured: tuple[RedisNode, int, Path]) -> None:
    _, port, crt = secured
    async with running_client(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={crt}") as it:
        sends = it.connections.statistics().sends
        promises = [it.client.execute("SET", f"k{n}", "x" * 1000, slot=0) for n in range(1000)]
        assert {await each for each in promises} == {b"OK"}
        assert it.connections.statistics().sends - sends < 100
        assert len(await it.client.execute("MGET", *(f"k{n}" for n in range(1000)), slot=0)) == 1000
        ear = Ear()
        it.client.subscribe(b"c", ear)
        await ear.wait_for("subscribed")
        it.client.publish(b"c", b"hello")
        await ear.wait_for("subscribed", b"hello")


async def test_who_is_not_known_is_not_trusted(
    secured: tuple[RedisNode, int, Path], tmp_path: Path
) -> None:
    _, port, _ = secured
    other, _ = certificate(tmp_path, "other")
    for query in ("", f"?ssl_ca_certs={other}"):
        said = await why_unusable(f"rediss://127.0.0.1:{port}/0{query}")
        assert "TLS failed" in said
        assert "ssl_ca_certs" in said
    async with running_client(f"rediss://127.0.0.1:{port}/0?ssl_cert_reqs=none") as it:
        assert await it.set("a", 1) == b"OK"


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.crt"
    nonsense.write_text("nothing")
    for path in (nonsense, tmp_path / "missing.crt"):
        with pytest.raises(OSError, match=f"ssl_ca_certs={path} is no certificate"):
            context_of(Tls(ca_certs=str(path)))
        with pytest.raises(OSError, match=f"ssl_certfile={path}, ssl_keyfile=x.key are no"):
            context_of(Tls(certfile=str(path), keyfile="x.key"))


async def test_one_side_only_speaks_tls(secured: tuple[RedisNode, int, Path]) -> None:
    node, port, crt = secured
    url = f"rediss://127.0.0.1:{node.port}/0?ssl_ca_certs={crt}"
    said = await why_unusable(url, connect_seconds=0.3, start_seconds=2)
    # Such a server waits for more, and says nothing.
    assert "has TLS" in said
    said = await why_unusable(f"redis://127.0.0.1:{port}", start_seconds=2)
    assert "rediss://" in said


async def test_a_client_shows_its_own_certificate(
    secured: tuple[RedisNode, int, Path],
) -> None:
    _, port, crt = secured
    key = crt.with_suffix(".key")
    query = f"ssl_ca_certs={crt}&ssl_certfile={crt}&ssl_keyfile={key}"
    async with running_client(f"rediss://127.0.0.1:{port}/0?{query}") as it:
        assert await it.set("a", 1) == b"OK"
