"""Addresses that are read, and those that are refused with what was expected."""

from __future__ import annotations

import socket

import pytest

from loadtest import places
from loadtest.places import Place, Target, mcp_place, ws_place


def test_a_target_is_two_places_and_perhaps_a_monitoring_port() -> None:
    target = places.parse_target("ws://a:1,http://b:2/mcp,http://c:3")
    assert target.ws == Place("a", 1, "/ws")
    assert target.mcp == Place("b", 2, "/mcp")
    assert target.monitoring == "http://c:3"
    assert str(target) == "ws://a:1 and http://b:2"
    assert places.parse_target("ws://[::1]:1/x,http://b:2").ws == Place("::1", 1, "/x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ws://a:1", "two or three addresses"),
        ("http://a:1,http://b:2", "is not ws://host:port"),
        ("ws://a,http://b:2", "is not ws://host:port"),
        ("ws://a:1,https://b:2", "is not http://host:port"),
    ],
)
def test_what_is_no_target_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        places.parse_target(text)


def test_an_address_of_version_six_has_its_brackets() -> None:
    assert Place("::1", 80, "").authority == "[::1]:80"
    assert Place("127.0.0.1", 80, "").socket_address()[1] == ("127.0.0.1", 80)


def test_a_target_is_absent_when_one_of_its_ports_takes_no_connection() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        ports = [each.getsockname()[1] for each in (one, other)]
        target = Target(ws_place(ports[0]), mcp_place(ports[1]))
        assert target.absence() == ""
        other.close()
        assert target.absence() == (
            f"127.0.0.1:{ports[1]} takes no connection any more: Connection refused"
        )
