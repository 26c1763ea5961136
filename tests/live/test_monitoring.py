"""What the monitoring port tells of a real gateway, and what it must never tell."""

from __future__ import annotations

import json
import signal
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.live.peer import Answer, Peer, frame, host, websocket
from tests.live.process import TESTED, GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

CANARY = "canary-7f3a91"


def get(port: int, path: str, more: bytes = b"") -> Answer:
    with Peer(port) as peer:
        peer.send(b"GET %b HTTP/1.1\r\n%b%b\r\n" % (path.encode(), host(port), more))
        return peer.answer()


def samples(port: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = get(port, "/metrics").body.decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ask(port: int, question: str, peer: Peer) -> str:
    """Ask over MCP, answer over WebSocket, and return the MCP response's body."""
    call = {
        "jsonrpc": "2.0",
        "id": CANARY,
        "method": "tools/call",
        "params": {
            "name": "ask_user",
            "arguments": {"question": question, "timeout_seconds": 10},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": CANARY, "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
    body = json.dumps(call).encode()
    with Peer(port) as caller:
        caller.send(
            b"POST /mcp HTTP/1.1\r\n%bContent-Type: application/json\r\n"
            b"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
            b"Mcp-Method: tools/call\r\nMcp-Name: ask_user\r\nAuthorization: Bearer %b\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (host(port), CANARY.encode(), len(body), body)
        )
        while True:
            message = json.loads(peer.frame().payload)
            if message["type"] == "ask_user" and message["question"] == question:
                break
        response = {"type": "user_response", "request_id": message["request_id"], "answer": CANARY}
        peer.send(frame(1, json.dumps(response).encode()))
        return caller.read_to_end().decode()


@pytest.mark.parametrize("which", ["ws", "mcp", "monitoring"])
def test_health_is_told_on_every_port(gateway_process: GatewayProcess, which: str) -> None:
    answer = get(gateway_process.ports[which], "/health", b"X-Request-ID: abc-1\r\n")
    report = json.loads(answer.body)
    assert (answer.status, report["status"], report["request_id"]) == (200, "healthy", "abc-1")
    assert answer.headers["x-request-id"] == "abc-1"
    assert set(report["components"]) >= {"store", "workers", "connections"}
    assert report["uptime"] > 0


def test_the_log_says_whether_the_gateway_is_compiled(gateway_process: GatewayProcess) -> None:
    (started,) = (each for each in gateway_process.events if each["event"] == "gateway_started")
    assert started["compiled"] is (TESTED[0] != sys.executable)


def test_the_log_says_where_people_and_agents_connect(gateway_process: GatewayProcess) -> None:
    (started,) = (each for each in gateway_process.events if each["event"] == "gateway_started")
    assert started["inbox"] == f"http://127.0.0.1:{gateway_process.ws_port}/"
    assert started["mcp"] == f"http://127.0.0.1:{gateway_process.mcp_port}/mcp"


def test_a_question_and_its_answer_are_counted(gateway_process: GatewayProcess) -> None:
    before = samples(gateway_process.monitoring_port)
    with websocket(gateway_process.ws_port) as peer:
        peer.send(frame(1, b'{"type":"connect"}'))
        assert CANARY in ask(gateway_process.mcp_port, "counted?", peer)
    after = samples(gateway_process.monitoring_port)

    def grown(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    assert grown("user_questions_total", status="answered") == 1
    assert grown("user_response_time_seconds_count", status="answered") == 1
    assert grown("mcp_tool_executions_total", tool_name="ask_user", status="success") == 1
    assert grown("websocket_connections_total", event="connected") == 1
    assert grown("websocket_messages_total", direction="in", message_type="user_response") == 1
    assert grown("websocket_messages_total", direction="out", message_type="ask_user") == 1
    assert grown("http_requests_total", method="POST", endpoint="/mcp", status_code="200") == 1
    assert grown("messages_total") >= 6


def test_monitoring_and_logs_tell_nothing_that_passed_through() -> None:
    """Not a question, an answer, an id, a credential, a path or a header."""
    with (
        running_gateway("--drain-settle-seconds", "0", "--log-level", "debug") as gateway,
        websocket(gateway.ws_port, b"Cookie: %b\r\n" % CANARY.encode()) as peer,
    ):
        connect = {"type": "connect", "frontend_id": CANARY, "user": CANARY, "name": CANARY}
        peer.send(frame(1, json.dumps(connect).encode()))
        assert CANARY in ask(gateway.mcp_port, f"{CANARY}?", peer)
        peer.send(frame(1, b'{"type":"%b"}' % CANARY.encode()))
        peer.send(frame(1, CANARY.encode()))
        assert json.loads(peer.frame().payload)["type"] in {"response_ack", "error"}
        for port in gateway.ports.values():
            header = b"A: %b\r\n" % CANARY.encode()
            assert get(port, f"/{CANARY}?{CANARY}", header).status == 404
        told = [
            get(gateway.monitoring_port, path).body.decode()
            for path in ("/metrics", "/health", "/ready", "/live")
        ]
    assert not [text for text in told if CANARY in text]
    assert CANARY not in gateway.text()


def test_readiness_fails_first_when_the_gateway_goes_away() -> None:
    # For longer than this takes; at its end the gateway is told once more, and goes at once.
    with running_gateway("--drain-settle-seconds", "600") as gateway:
        assert get(gateway.monitoring_port, "/ready").status == 200
        # A connection made before is still served while balancers take notice.
        with Peer(gateway.mcp_port) as early:
            gateway.process.send_signal(signal.SIGTERM)
            gateway.wait_for_event("gateway_draining")
            answer = get(gateway.monitoring_port, "/ready")
            assert (answer.status, json.loads(answer.body)["status"]) == (503, "not_ready")
            assert get(gateway.monitoring_port, "/live").status == 200
            early.send(b"GET /health HTTP/1.1\r\n%b\r\n" % host(gateway.mcp_port))
            assert early.answer().status == 200
