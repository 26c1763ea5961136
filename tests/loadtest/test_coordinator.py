"""Whole runs: against a real gateway nothing is lost, and against a liar every lie is seen."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from loadtest import coordinator, places
from loadtest.coordinator import LoadError
from loadtest.places import Target
from loadtest.plans import Wishes
from loadtest.result import Slice
from loadtest.scenarios import SCENARIOS
from tests.live.process import GatewayProcess, running_gateway
from tests.loadtest import liar
from tests.loadtest.liar import Lie, lying_server
from tests.loadtest.loads import loaded, small_plan

pytestmark = pytest.mark.slow
SOON = Wishes(processes=1, timeout=0.3, era="modern")


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with running_gateway(
        *("--drain-settle-seconds", "0", "--drain-wait-seconds", "0.1")
    ) as process:
        yield process


@pytest.fixture
def target(gateway: GatewayProcess) -> Target:
    return Target(places.ws_place(gateway.ws_port), places.mcp_place(gateway.mcp_port))


SCALED: dict[str, dict[str, Any]] = {
    "messages": {"messages": 20.0},
    "large": {"rate": 10.0},
    "find-limit": {"rate": 50.0, "seeks_limit": False},
    "stress": {"think": "exp:10ms"},
    "storm": {"think": "exp:50ms"},
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_scenario_gets_every_answer_from_a_gateway(name: str, target: Target) -> None:
    result = loaded(small_plan(target, name, **SCALED.get(name, {})))
    truth = result.truth
    assert truth.failures == 0, truth
    assert truth.asked == truth.answered == result.latency.count > 0
    assert sum(each.asked for each in result.slices) == truth.asked
    assert sum(each.frames for each in result.slices) >= (0 if name == "messages" else truth.asked)
    assert result.connecting.refused == 0
    assert 0.9 < result.seconds < 5
    assert result.latency.p50 <= result.latency.p99 <= result.latency.max


@pytest.mark.parametrize(
    "changes",
    [
        {"era": "modern", "protocol": "go", "arrivals": "even"},
        {"era": "handshake", "reask": True, "processes": 2},
        {"sources": ("127.0.0.1",)},
        {"driver": "trio-websocket", "processes": 1},
    ],
)
def test_a_load_can_be_made_in_other_ways(target: Target, changes: dict[str, Any]) -> None:
    plan = small_plan(target, wishes=Wishes(timeout=10.0, **changes))
    result = loaded(plan)
    assert result.truth.failures == 0, result.truth
    assert result.truth.asked == result.truth.answered > 0
    assert result.client.processes == len(coordinator.modules(plan))


def test_without_a_rate_each_caller_asks_when_it_has_its_answer(target: Target) -> None:
    result = loaded(small_plan(target, rate=None, callers=2, duration=0.5))
    assert result.truth.failures == 0
    # More than any schedule said.
    assert result.truth.answered > 60
    assert max(each.in_flight for each in result.slices) <= 2


def test_think_time_is_no_latency(target: Target) -> None:
    result = loaded(small_plan(target, think="const:300ms", callers=60))
    assert result.truth.failures == 0
    assert result.latency.p50 < 250


def test_too_few_callers_for_those_who_think_are_named(target: Target) -> None:
    result = loaded(small_plan(target, think="const:300ms", callers=4))
    assert result.truth.failures == 0
    assert "use more --callers" in result.client.bottleneck


class _Hurried:
    """Refuses what goes beyond so many questions in any second."""

    def __init__(self, most: int) -> None:
        self._answered: deque[float] = deque([0.0] * most, maxlen=most)

    def __call__(self, sock: socket.socket, number: int, reply: bytes) -> None:
        now = time.perf_counter()
        if now - self._answered[0] < 1:
            _failing(sock, 3, reply)
        else:
            self._answered.append(now)
            sock.sendall(reply)


def test_the_limit_is_found_where_the_server_gives_way() -> None:
    wishes = Wishes(processes=1, timeout=5.0, era="modern", arrivals="even")
    with lying_server(_Hurried(100)) as target:
        plan = small_plan(target, "find-limit", wishes, duration=1.0, rate=70.0, callers=20)
        result = loaded(plan)
    held = [step.rate for step in result.steps if step.held]
    broken = [step.rate for step in result.steps if not step.held]
    assert max(held) < min(broken) <= 140
    assert min(broken) - max(held) <= 0.05 * min(broken)
    assert result.conditions["highest rate that held"] == f"{max(held):g} a second"
    assert result.truth.asked == result.truth.answered + sum(result.truth.refused.values())


def _losing(sock: socket.socket, number: int, reply: bytes) -> None:
    if number != 3:
        sock.sendall(reply)


def _repeating(sock: socket.socket, number: int, reply: bytes) -> None:
    sock.sendall(reply * (1 + (number == 3)))


def refusing(sock: socket.socket, number: int, reply: bytes) -> None:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    sock.sendall(refusal if number == 3 else reply)


def _cutting(sock: socket.socket, number: int, reply: bytes) -> None:
    if number == 3:
        sock.shutdown(socket.SHUT_RDWR)
    else:
        sock.sendall(reply)


def _delaying(sock: socket.socket, number: int, reply: bytes) -> None:
    if number == 3:
        threading.Event().wait(SOON.timeout + 1.2)
    sock.sendall(reply)


def _failing(sock: socket.socket, number: int, reply: bytes) -> None:
    if number == 3:
        asked = json.loads(reply.partition(b"\r\n\r\n")[2])["id"]
        refusal = {"content": [{"type": "text", "text": "not today"}], "isError": True}
        reply = liar.response({"jsonrpc": "2.0", "id": asked, "result": refusal})
    sock.sendall(reply)


class _Crossing:
    """Says in the answer to one question what another one asked."""

    def __init__(self) -> None:
        self._others = itertools.count(1)

    def __call__(self, sock: socket.socket, number: int, reply: bytes) -> None:
        if number == 3:
            reply = liar.answer(next(self._others), "somebody else's")
        sock.sendall(reply)


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        (liar.honest, {}),
        (_losing, {"lost": 1}),
        (_repeating, {"duplicated": 1}),
        (_Crossing(), {"crossed": 1}),
        (_delaying, {"late": 1}),
        (refusing, {"HTTP/1.1 503 Service Unavailable": 1}),
        (_cutting, {"the server closed the connection": 1}),
        (_failing, {"not today": 1}),
    ],
)
def test_every_lie_is_seen(lie: Lie, found: dict[str, int]) -> None:
    with lying_server(lie) as target:
        truth = loaded(small_plan(target, wishes=SOON, rate=30.0, duration=0.4)).truth
    names = ("lost", "duplicated", "crossed", "late")
    told = {name: getattr(truth, name) for name in names if getattr(truth, name)} | truth.refused
    assert told == found
    assert truth.asked > 3


def test_a_question_that_was_cut_off_is_asked_again_with_its_key() -> None:
    wishes = Wishes(processes=1, timeout=5.0, era="modern", reask=True)
    with lying_server(_cutting) as target:
        result = loaded(small_plan(target, wishes=wishes, rate=30.0, duration=0.4))
    assert result.truth.failures == 0
    assert result.truth.asked == result.truth.answered
    assert result.conditions["asked again after a cut"] == "1"


def test_a_stall_shows_in_the_latency_of_all_who_were_to_ask_meanwhile() -> None:
    """Without a schedule two callers would have met it once each, in two of a hundred answers."""
    stalled = threading.Lock()
    over = threading.Event()

    def stalling(sock: socket.socket, number: int, reply: bytes) -> None:
        if number >= 10:
            if stalled.acquire(blocking=False):
                over.wait(1.0)
                over.set()
            over.wait()
        sock.sendall(reply)

    wishes = Wishes(processes=1, timeout=10.0, era="modern", arrivals="even")
    with lying_server(stalling) as target:
        plan = small_plan(target, wishes=wishes, callers=2, rate=50.0, duration=2.0)
        result = loaded(plan)
    assert result.truth.failures == 0
    assert result.latency.count in (99, 100)
    assert result.latency.p90 > 500
    assert result.latency.p99 > 800


def test_nobody_there_is_said_with_its_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    place = places.ws_place(port)
    plan = small_plan(Target(place, places.mcp_place(port)))
    with pytest.raises(LoadError, match=r"28 of 28 could not connect: .*refused"):
        coordinator.Coordinator(plan, [], None, connect_seconds=0.2).run()


def test_what_could_not_be_asked_is_no_success() -> None:
    """Its callers wait for a server that answers nothing, and more questions are due."""
    silent = Wishes(processes=1, timeout=0.3, era="modern", arrivals="even")
    with lying_server(lambda _sock, _number, _reply: None) as target:
        plan = small_plan(target, wishes=silent, rate=20.0, callers=2, duration=0.5)
        truth = loaded(plan).truth
    assert (truth.asked, truth.lost) == (2, 2)
    assert list(truth.refused.values()) in ([7], [8])
    assert "never asked" in str(truth.refused)


@pytest.mark.parametrize(
    ("cpu", "lag", "too_few", "said"),
    [
        (0.5, 1.0, False, ""),
        (0.95, 1.0, False, "95% of its core"),
        (0.5, 40.0, False, "late by more than the p99"),
        (0.5, 1.0, True, "use more --callers"),
    ],
)
def test_a_client_that_was_the_limit_says_so(
    cpu: float, lag: float, said: str, *, too_few: bool
) -> None:
    one = Slice(
        at=0, seconds=1, asked=1, answered=1, failed=0, in_flight=0, p50=1, p99=20, max=20,
        frames=1, lag=lag, cpu=cpu,
    )  # fmt: skip
    told = coordinator.bottleneck(cpu, [one] * 20, too_few=too_few)
    assert said in told
    assert bool(said) == bool(told)
