"""The frontends' port by path: the upgrade, the inbox, health, and nothing else."""

import json

import pytest

from gateway.frontends.socket import FrontendSocket
from gateway.http.access import Allowlist
from gateway.http.access import Settings as AccessSettings
from gateway.http.connection import HttpConnection
from gateway.http.head import Heads, Limits
from gateway.http.response import Site
from session import dictionary
from tests.gateway.frontends.world import World
from tests.wire import Wire

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def request(world: World, path: str, method: str = "GET", **fields: str) -> Wire:
    """Send one request to the port; return the connection it came on."""
    limits = Limits()
    heads = Heads(limits, Allowlist(AccessSettings(), [8080]))
    site = Site(world.endpoint.handle, heads, limits, world.clock.timers, lambda *_what: None)
    wire = Wire()
    http = wire.speak(lambda connection: HttpConnection(site, connection))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    http.data_received(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
    return wire


def upgrade(world: World, **changes: str | None) -> Wire:
    """Ask for a WebSocket, with some header fields changed or left out."""
    fields = {**UPGRADE, **{name.replace("_", "-"): value for name, value in changes.items()}}
    kept = {name: value for name, value in fields.items() if value is not None}
    return request(world, "/ws", **kept)


def status_of(wire: Wire) -> int:
    return int(wire.sent.split(b" ")[1])


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 200),
        ("/a.js", "HEAD", 200),
        ("/config.json", "GET", 200),
        ("/health", "GET", 200),
        ("/nothing", "GET", 404),
        ("/", "POST", 405),
        ("/ws", "GET", 426),
    ],
)
def test_each_path_has_its_status(world: World, path: str, method: str, status: int) -> None:
    assert status_of(request(world, path, method)) == status


def test_the_inbox_is_told_whom_it_may_hear_in_a_frame(world: World) -> None:
    def origins() -> object:
        return json.loads(request(world, "/config.json").sent.partition(b"\r\n\r\n")[2])["origins"]

    assert origins() == []
    world.endpoint.admit_embedders(("https://app.example",))
    assert origins() == ["https://app.example"]
    assert b"frame-ancestors https://app.example" in request(world, "/").sent


def test_a_dictionary_is_there_for_everybody_and_for_ever(world: World) -> None:
    head, _, body = request(world, f"/dictionaries/{dictionary.CURRENT}").sent.partition(
        b"\r\n\r\n"
    )
    assert body == dictionary.KNOWN[dictionary.CURRENT]
    assert b"Cache-Control: public, max-age=31536000, immutable\r\n" in head
    assert b"Access-Control-Allow-Origin: *\r\n" in head
    assert status_of(request(world, "/dictionaries/1")) == 404


def test_errors_are_json_that_says_where_to_go(world: World) -> None:
    body = request(world, "/nothing").sent.partition(b"\r\n\r\n")[2]
    assert "/ws" in json.loads(body)["error"]


def test_an_upgrade_is_accepted_and_ours_is_the_subprotocol(world: World) -> None:
    wire = upgrade(world, Sec_WebSocket_Protocol="other, frontend-router.v1")
    assert status_of(wire) == 101
    assert b"Sec-WebSocket-Protocol: frontend-router.v1\r\n" in wire.sent
    assert isinstance(wire.protocol, FrontendSocket)
    without = upgrade(world, Sec_WebSocket_Protocol="other")
    assert status_of(without) == 101
    assert b"Sec-WebSocket-Protocol" not in without.sent
    assert world.endpoint.connected() == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": None},
        {"Upgrade": "h2c"},
        {"Connection": "keep-alive"},
        {"Sec_WebSocket_Key": None},
        {"Sec_WebSocket_Key": "short"},
        {"Sec_WebSocket_Version": "8"},
        {"Sec_WebSocket_Version": None},
    ],
)
def test_a_wrong_upgrade_is_refused(world: World, changes: dict[str, str | None]) -> None:
    renamed = {name.replace("_", "-"): value for name, value in changes.items()}
    wire = upgrade(world, **renamed)
    assert status_of(wire) in {400, 426}
    assert world.endpoint.connected() == 0


def test_nobody_is_let_in_while_the_process_goes_away(world: World) -> None:
    world.router.draining = True
    assert status_of(upgrade(world)) == 503
