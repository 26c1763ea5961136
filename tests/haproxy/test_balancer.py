"""HAProxy with the file that operators copy: what it lets pass, and to whom."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived
from h2.events import Event as H2Event
from trio_websocket import open_websocket_url

from haproxy.balancer import BACKENDS, CONFIGURATION, Balancer, haproxy_program
from haproxy.gateways import Gateway
from haproxy.program import ProgramError
from haproxy.redis_node import free_port, wait_until
from tests.haproxy.stub import Stub, asked, balanced, balanced_stubs, got
from tests.live.caller import MODERN, text_of
from tests.live.peer import frame
from tests.live.process import running_gateway

pytestmark = pytest.mark.slow

PATIENCE = 60

SPOOFED = (
    *("X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6"),
    *("X-Forwarded-Host: evil", "X-Forwarded-Proto: https", "True-Client-IP: 6.6.6.6"),
    *("X-Frontend-Router-User: root", "Authorization: Bearer mine"),
)


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Balancer, list[Stub]]]:
    with balanced_stubs(tmp_path_factory.mktemp("stubs")) as both:
        yield both


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody has signed, with its key, as HAProxy wants them."""
    where = tmp_path_factory.mktemp("certificate")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-out", str(where / "crt"), "-keyout", str(where / "key")]
    subprocess.run(command, check=True, capture_output=True)
    (where / "pem").write_bytes((where / "crt").read_bytes() + (where / "key").read_bytes())
    return where / "pem"


def checked(**variables: str) -> str:
    """Return what HAProxy says to the configuration; nothing, when all is well."""
    program = subprocess.run(
        [haproxy_program(), "-c", "-q", "-f", str(CONFIGURATION)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert program.returncode == 0, program.stderr
    return "".join(line for line in program.stderr.splitlines() if "NOTICE" not in line)


def miscounted(balancer: Balancer, wanted: int) -> str:
    """Return what HAProxy counts, while it is not so many open connections of this address."""
    table = balancer.command("show table ws_in")
    return "" if f"conn_cur={wanted}" in table.split() else table


def test_the_file_is_good_in_each_of_its_forms(certificate: Path) -> None:
    assert checked() == ""
    assert checked(FR_CERTIFICATE=str(certificate)) == ""
    assert checked(FR_SEND_PROXY="send-proxy-v2") == ""


def test_no_frontend_has_the_name_of_a_backend() -> None:
    """HAProxy 3.3 and later refuse that; the one here may be older."""
    sections = re.findall(
        r"^(frontend|backend) (\S+)", CONFIGURATION.read_text("utf-8"), re.MULTILINE
    )
    names = [name for _, name in sections]
    assert len(names) == len(set(names)) >= len(BACKENDS) * 2


def test_each_variable_has_a_default_and_each_default_is_used() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    given = set(re.findall(r"^ *presetenv (\w+)", text, re.MULTILINE))
    used = set(re.findall(r"\$\{(\w+)\}", text))
    assert used - given == {"FR_CERTIFICATE"}
    assert given <= used


def test_what_only_the_proxy_may_say_is_said_by_it_once(
    stubs: tuple[Balancer, list[Stub]],
) -> None:
    balancer, _ = stubs
    for port in (balancer.ws_port, balancer.mcp_port):
        answer = asked(port, got("GET", "/x", *SPOOFED))
        fields = [(name.lower(), value) for name, value in json.loads(answer.split(b"\r\n\r\n")[1])]
        told = [field for field in fields if field[0].startswith(("x-", "forwarded", "true-"))]
        assert sorted(told) == [
            ("forwarded", "for=127.0.0.1;proto=http"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
        ]
        assert ("authorization", "Bearer mine") in fields


def test_a_request_that_was_sent_is_never_sent_again(stubs: tuple[Balancer, list[Stub]]) -> None:
    balancer, servers = stubs
    before = [len(stub.requests) for stub in servers]
    for stub in servers:
        stub.is_rude = True
    answer = asked(balancer.mcp_port, got("POST", "/mcp", body=b"{}"))
    for stub in servers:
        stub.is_rude = False
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert sum(len(stub.requests) for stub in servers) == sum(before) + 1


def test_who_cannot_be_connected_to_is_left_for_another(tmp_path: Path) -> None:
    gone = f"127.0.0.1:{free_port()}"
    with balanced_stubs(tmp_path, FR_GATEWAY1_MCP=gone) as (balancer, servers):
        for _ in range(6):
            answer = asked(balancer.mcp_port, got("POST", "/mcp", body=b"{}"))
            assert answer.startswith(b"HTTP/1.1 200 ")
        assert [len(stub.requests) for stub in servers[:1]] == [0]


def test_an_address_that_asks_too_much_is_told_when_to_come_back(tmp_path: Path) -> None:
    limits = {"FR_MCP_PER_10S": "3", "FR_WS_PER_ADDRESS": "2"}
    with balanced_stubs(tmp_path, **limits) as (balancer, _):
        answers = [asked(balancer.mcp_port, got("GET", "/x")) for _ in range(4)]
        assert [answer[9:12] for answer in answers] == [b"200", b"200", b"200", b"429"]
        assert b"\r\nretry-after: 10\r\n" in answers[3].lower()
        assert json.loads(answers[3].split(b"\r\n\r\n")[1])["status"] == 429
        address = ("127.0.0.1", balancer.ws_port)
        with socket.create_connection(address), socket.create_connection(address):
            wait_until(partial(miscounted, balancer, 2), "the count of those that are held")
            assert asked(balancer.ws_port, got("GET", "/x"))[9:12] == b"429"
        wait_until(partial(miscounted, balancer, 0), "the count of those that are left")
        assert asked(balancer.ws_port, got("GET", "/x"))[9:12] == b"200"


def test_tls_is_spoken_with_a_certificate_and_http2_to_those_who_know_it(
    tmp_path: Path, certificate: Path
) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    with balanced_stubs(tmp_path, FR_CERTIFICATE=str(certificate)) as (balancer, _):
        for offered, chosen in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1")):
            context.set_alpn_protocols(offered)
            with (
                socket.create_connection(("127.0.0.1", balancer.ws_port), 10) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as sock,
            ):
                assert sock.selected_alpn_protocol() == chosen
        with (
            socket.create_connection(("127.0.0.1", balancer.mcp_port), 10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            sock.sendall(got("GET", "/x"))
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert b'"x-forwarded-proto", "https"' in answer.lower()
        assert b"proto=https" in answer


@pytest.fixture(scope="module")
def encrypted(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    """HAProxy with TLS in front of a real gateway."""
    where = tmp_path_factory.mktemp("encrypted")
    # Clients say the port that they see, which is HAProxy's.
    with running_gateway("--access-hosts", "localhost") as gateway:
        # The file names three: all are this one.
        ports = (gateway.ws_port, gateway.mcp_port, gateway.monitoring_port)
        same = [Gateway(f"gateway{n}", where, where / "log", ports) for n in (1, 2, 3)]
        with balanced(where, same, {"FR_CERTIFICATE": str(certificate)}) as balancer:
            yield balancer


async def ask_by_http2(port: int, certificate: Path) -> str:
    """Call `ask_user` as an agent does that knows HTTP/2; return the answer."""
    arguments = {"question": "Encrypted?", "timeout_seconds": PATIENCE}
    name = "io.modelcontextprotocol/"
    meta = {f"{name}protocolVersion": MODERN, f"{name}clientCapabilities": {}}
    params = {"name": "ask_user", "arguments": arguments, "_meta": meta}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": MODERN}
    headers |= {"Mcp-Method": "tools/call", "Mcp-Name": "ask_user"}
    context = ssl.create_default_context(cafile=str(certificate))
    async with httpx.AsyncClient(
        http2=True, verify=context, trust_env=False, timeout=PATIENCE
    ) as client:
        response = await client.post(
            f"https://localhost:{port}/mcp",
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
            headers=headers,
        )
    assert (response.http_version, response.status_code) == ("HTTP/2", 200)
    data = [line for line in response.text.splitlines() if line.startswith("data: {")]
    reply = json.loads(data[-1].removeprefix("data: ") if data else response.text)
    return text_of(reply["result"])


async def test_a_question_is_asked_by_http2_and_answered_over_a_websocket_with_tls(
    encrypted: Balancer, certificate: Path
) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["http/1.1"])
    answers: list[str] = []

    async def ask() -> None:
        answers.append(await ask_by_http2(encrypted.mcp_port, certificate))

    url = f"wss://localhost:{encrypted.ws_port}/ws"
    with trio.fail_after(PATIENCE):
        async with (
            open_websocket_url(url, ssl_context=context) as socket,
            trio.open_nursery() as nursery,
        ):
            await socket.send_message('{"type": "connect"}')
            assert json.loads(await socket.get_message())["status"] == "connected"
            nursery.start_soon(ask)
            question = json.loads(await socket.get_message())
            told = {"type": "user_response", "request_id": question["request_id"]}
            await socket.send_message(json.dumps({**told, "answer": "of course"}))
    assert answers == ["of course"]


def test_a_websocket_is_opened_on_a_connection_of_http2_as_browsers_do(
    encrypted: Balancer, certificate: Path
) -> None:
    """RFC 8441: a page that came by HTTP/2 opens its WebSocket on the same connection."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", encrypted.ws_port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        assert sock.selected_alpn_protocol() == "h2"
        http2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        http2.initiate_connection()
        sock.sendall(http2.data_to_send())

        def hear(kind: type[H2Event]) -> Any:
            while data := sock.recv(65536):
                events = http2.receive_data(data)
                sock.sendall(http2.data_to_send())
                for event in events:
                    if isinstance(event, kind):
                        return event
            raise EOFError(f"closed without {kind.__name__}")

        hear(RemoteSettingsChanged)
        assert http2.remote_settings.enable_connect_protocol == 1
        head = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https")]
        head += [(":path", "/ws"), (":authority", f"localhost:{encrypted.ws_port}")]
        http2.send_headers(1, [*head, ("sec-websocket-version", "13")])
        sock.sendall(http2.data_to_send())
        assert dict(hear(ResponseReceived).headers)[":status"] == "200"
        http2.send_data(1, frame(1, b'{"type": "connect"}'))
        sock.sendall(http2.data_to_send())
        assert b'"connected"' in hear(DataReceived).data


def test_states_are_set_and_told(stubs: tuple[Balancer, list[Stub]]) -> None:
    balancer, servers = stubs
    balancer.set_state("gateway1", "drain")
    balancer.wait_for("gateway1", "DRAIN")
    assert {(each.backend, each.status) for each in balancer.servers() if "1" in each.name} == {
        ("ws", "DRAIN"),
        ("mcp", "DRAIN"),
    }
    assert balancer.what_is_missing() == "gateway1 is DRAIN"
    before = len(servers[0].requests)
    for port in (balancer.ws_port, balancer.mcp_port):
        for _ in range(4):
            asked(port, got("GET", "/x"))
    assert len(servers[0].requests) == before
    balancer.set_state("gateway1", "ready")
    balancer.wait_until_whole()
    with pytest.raises(ProgramError, match="No such server"):
        balancer.set_state("gateway9", "drain")


def test_prometheus_and_people_are_told_its_numbers(stubs: tuple[Balancer, list[Stub]]) -> None:
    balancer, _ = stubs
    metrics = asked(balancer.metrics_port, got("GET", "/metrics"))
    assert b'haproxy_server_status{proxy="ws",server="gateway1",state="UP"} 1' in metrics
    assert b"Statistics Report" in asked(balancer.metrics_port, got("GET", "/"))


def test_nobody_left_is_said_with_when_to_come_back(tmp_path: Path) -> None:
    with balanced_stubs(tmp_path) as (balancer, _):
        for number in (1, 2, 3):
            balancer.set_state(f"gateway{number}", "maint")
        answer = asked(balancer.mcp_port, got("POST", "/mcp", body=b"{}"))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 2\r\n" in answer.lower()
    assert json.loads(answer.split(b"\r\n\r\n")[1])["status"] == 503


def test_a_configuration_that_is_none_is_said_with_its_last_words(tmp_path: Path) -> None:
    bad = tmp_path / "bad.cfg"
    bad.write_text("global\n    nonsense\n", encoding="utf-8")
    balancer = Balancer(tmp_path / "haproxy", tmp_path / "log", [free_port() for _ in range(3)])
    with pytest.raises(ProgramError, match=r"(?s)haproxy ended.*nonsense"):
        balancer.up({}, bad)
    long = Balancer(tmp_path / ("a" * 100), tmp_path / "log", [1, 2, 3])
    with pytest.raises(ProgramError, match="too long for a socket"):
        long.up({})


@pytest.mark.parametrize("version", ["", "HAProxy version 2.4.1"])
def test_a_haproxy_that_will_not_do_is_said(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "haproxy"
    program.write_text(f"#!/bin/sh\necho '{version}'\n", encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramError, match="too old"):
        haproxy_program()
