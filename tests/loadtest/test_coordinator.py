"""Whole runs: against a real gateway nothing is lost, and against a liar every lie is seen."""

from __future__ import annotations

import itertools
import json
import re
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from loadtest import coordinator, orders, places, plans, server
from loadtest.attendance import Attendance
from loadtest.coordinator import Coordinator, LoadError
from loadtest.limits import Search
from loadtest.orders import Part
from loadtest.places import Target
from loadtest.plans import Wishes
from loadtest.result import ServerSample, Slice, Step
from loadtest.scenarios import SCENARIOS
from tests.live.process import GatewayProcess, running_gateway
from tests.loadtest import liar
from tests.loadtest.liar import Lie, lying_server
from tests.loadtest.loads import loaded, small_plan

pytestmark = pytest.mark.slow
# Not so soon that who answers well is late when the machine stands still for a moment.
SOON = Wishes(processes=1, timeout=1.5, era="modern")


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
    assert 0.9 < result.seconds < 30
    assert result.latency.p50 <= result.latency.p99 <= result.latency.max


def test_what_is_asked_when_the_load_is_over_is_in_a_slice_too(target: Target) -> None:
    """It was due before, and every caller was waiting for an answer."""
    plan = small_plan(target, "baseline", rate=40.0, callers=2, think="exp:200ms")
    result = loaded(plan)
    assert result.truth.failures == 0, result.truth
    in_time = [each for each in result.slices if each.at < plan.scenario.duration]
    assert sum(each.asked for each in in_time) < result.truth.asked
    assert sum(each.asked for each in result.slices) == result.truth.asked


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


def test_frontends_that_deflate_get_what_is_long_compressed_and_answer_so(
    gateway: GatewayProcess, target: Target
) -> None:
    # One process: of several, each tells what it had by its own end.
    wishes = Wishes(processes=1, timeout=10.0, deflate=True)
    before = taken(gateway)
    result = loaded(small_plan(target, wishes=wishes, payload=4_000))
    assert result.truth.failures == 0, result.truth
    assert result.truth.asked == result.truth.answered > 0
    assert result.conditions["frontends"].endswith(", permessage-deflate")
    told = re.fullmatch(
        r"([\d,]+) messages to frontends, ([\d.]+) KiB on the wire for ([\d.]+) KiB",
        result.conditions["came compressed"],
    )
    assert told, result.conditions
    # Every question is long, and x over and over again.
    assert int(told[1].replace(",", "")) >= result.truth.asked
    assert float(told[2]) < float(told[3]) / 5
    # The gateway has inflated the answers, each of which is as long.
    assert taken(gateway) - before > 4_000 * result.truth.asked


def taken(gateway: GatewayProcess) -> float:
    """Return how many bytes of inflated messages a gateway has had from frontends."""
    url = f"http://127.0.0.1:{gateway.monitoring_port}/metrics"
    found = re.search(
        r'^frontend_router_coded_bytes_total\{coding="deflate",direction="in",form="plain"\} (.+)$',
        httpx.get(url, trust_env=False).text,
        re.MULTILINE,
    )
    return float(found[1]) if found else 0.0


def test_who_wants_compression_is_told_when_there_is_none() -> None:
    with lying_server() as target:
        plan = small_plan(target, wishes=Wishes(processes=1, deflate=True))
        run = Coordinator(plan, [], None, connect_seconds=2.0)
        with pytest.raises(LoadError, match="permessage-deflate is not agreed to"):
            run.run()


def test_without_a_rate_each_caller_asks_when_it_has_its_answer(target: Target) -> None:
    result = loaded(small_plan(target, rate=None, callers=2, duration=2.0))
    assert result.truth.failures == 0
    # More than any schedule said.
    assert result.truth.answered > 60
    assert max(each.in_flight for each in result.slices) <= 2


def test_think_time_is_no_latency(target: Target) -> None:
    result = loaded(small_plan(target, think="const:1s", callers=100))
    assert result.truth.failures == 0
    assert result.latency.p50 < 900


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


class _HalfBusy:
    """An instance that always says that it used half a core."""

    def sample(self, at: float) -> ServerSample:
        return ServerSample(at=at, instance="it", cpu_seconds=10 + at / 2)


def test_the_limit_is_found_where_the_server_gives_way() -> None:
    wishes = Wishes(processes=1, timeout=5.0, era="modern", arrivals="even")
    with lying_server(_Hurried(100)) as target:
        plan = small_plan(target, "find-limit", wishes, duration=1.0, rate=70.0, callers=20)
        result = Coordinator(plan, [_HalfBusy()], None).run()
    held = [step.rate for step in result.steps if step.held]
    broken = [step.rate for step in result.steps if not step.held]
    assert max(held) < min(broken) <= 140
    assert min(broken) - max(held) <= 0.05 * min(broken)
    assert [step.server_cpu for step in result.steps] == pytest.approx([0.5] * len(result.steps))
    used = {step.rate: step.client_cpu or 0.0 for step in result.steps}
    assert min(used.values()) > 0
    assert result.client.cpu == max(used[max(held)], used[min(broken)])
    assert result.conditions["highest rate that held"] == f"{max(held):g} a second"
    assert result.truth.asked == result.truth.answered + sum(result.truth.refused.values())


def test_a_search_of_hours_gets_the_seconds_it_waits_for() -> None:
    """What is kept of a run is merged by then: it neither grows by them nor shows them."""
    with lying_server() as target:
        run = Coordinator(small_plan(target, "find-limit"), [], None)
    for index in range(3_600):
        run._gathering.add(0, _part(index))
    theirs, ours = socket.socketpair()
    # It says no more after that: who waits for more hears that it has died.
    with ours, subprocess.Popen([sys.executable, "-c", ""]) as process:
        run._processes.append(coordinator._Process(process, ours))
        run._buffers[0] = b""
        run._selector.register(ours, selectors.EVENT_READ, 0)
        with theirs:
            theirs.sendall(b"".join(orders.encode(_part(index)) for index in range(3_600, 3_606)))
        slices = run._slices(5)
    run._selector.close()
    assert [(each.at, each.seconds) for each in slices] == [(at, 1.0) for at in range(3_600, 3_605)]
    assert len(run._gathering.slices) < 3_600


def test_people_of_another_make_are_none_of_those_who_ask() -> None:
    """What only they tell of is the wait for the last answers."""
    wishes = Wishes(processes=2, driver="trio-websocket")
    with lying_server() as target:
        run = Coordinator(small_plan(target, wishes=wishes), [], None)
    run._gathering.add(2, _part(0))
    run._gathering.add(1, _part(1))
    run._gathering.finish([])
    run._selector.close()
    assert [each.at for each in run._gathering.slices] == [1.0]


def _part(index: int) -> Part:
    return Part(
        index=index, at=float(index), seconds=1.0, asked=1, answered=1, failed=0, in_flight=0,
        frames=1, lag=1.0, cpu=0.5, histogram="",
    )  # fmt: skip


class _Ending:
    """Ends the gateway when it is asked how it does for this time."""

    def __init__(self, process: subprocess.Popen[bytes], time: int) -> None:
        self._process = process
        self._left = time

    def sample(self, at: float) -> ServerSample:
        self._left -= 1
        if not self._left:
            self._process.kill()
        return ServerSample(at=at, instance="it")


@pytest.mark.parametrize("scenario", ["find-limit", "baseline"])
def test_a_gateway_that_has_died_is_no_limit_and_no_result(scenario: str) -> None:
    with server.gateway(None, *plans.GATEWAY_FLAGS) as dying:
        target = Target(places.ws_place(dying.ws_port), places.mcp_place(dying.mcp_port))
        plan = small_plan(target, scenario, Wishes(processes=1, timeout=1.0), duration=2.0)
        run = Coordinator(plan, [_Ending(dying.process, 2)], None)
        with pytest.raises(
            LoadError, match=r"127\.0\.0\.1:\d+ takes no connection any more: .*refused"
        ):
            run.run()


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


@pytest.mark.parametrize("processes", [1, 3])
def test_nobody_there_is_said_with_its_reason(processes: int) -> None:
    """Also when one process has said so and ended before another has said anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    place = places.ws_place(port)
    wishes = Wishes(processes=processes)
    plan = small_plan(Target(place, places.mcp_place(port)), wishes=wishes)
    with pytest.raises(LoadError, match=r"28 of 28 could not connect: .*refused"):
        coordinator.Coordinator(plan, [], None, connect_seconds=2.0).run()


class _Watching:
    """Keeps what is shown of connecting."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def connecting(self, seconds: float, attendance: Attendance) -> None:
        assert seconds >= 0
        self.shown.append(str(attendance))

    def update(self, slice: Slice) -> None:  # noqa: A002 - what `Watcher` calls it
        """Not of interest."""


@pytest.mark.parametrize("driver", ["selector", "trio-websocket"])
def test_when_all_are_refused_it_is_told_meanwhile_and_ends_soon(driver: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    place = places.ws_place(port)
    wishes = Wishes(processes=2, driver=driver)
    plan = small_plan(Target(place, places.mcp_place(port)), wishes=wishes)
    watching = _Watching()
    # Who waited for the processes to be patient would wait for an hour.
    run = Coordinator(plan, [], watching, connect_seconds=3_600.0, hopeless_seconds=0.5)
    with pytest.raises(LoadError, match=r"nobody could connect to .* in 0\.5 seconds.*refused"):
        run.run()
    assert watching.shown[-1].startswith("connecting 0 of 28, refused ")


def test_who_lets_somebody_in_is_given_all_the_time() -> None:
    """Callers are let in and people are not: it ends with who is missing, and not before."""
    with lying_server() as target, socket.create_server(("127.0.0.1", 0)) as listener:
        gone = listener.getsockname()[1]
        listener.close()
        half = msgspec.structs.replace(target, ws=places.ws_place(gone))
        run = Coordinator(small_plan(half), [], None, connect_seconds=4.0, hopeless_seconds=2.0)
        with pytest.raises(LoadError, match=r"20 of 28 could not connect"):
            run.run()


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
    told = coordinator.bottleneck(cpu, [_second(cpu=cpu, lag=lag)] * 20, too_few=too_few)
    assert said in told
    assert bool(said) == bool(told)


@pytest.mark.parametrize(
    ("busy_at", "think", "said"),
    [
        (None, "0", ""),
        # Far below the limit and far above it nothing is said of the limit.
        (500.0, "0", ""),
        (4_000.0, "0", ""),
        (1_000.0, "0", "at 1,000/s, which held, a process of the load used 95% of its core"),
        (1_050.0, "0", "at 1,050/s, which broke, a process of the load used 95% of its core"),
        (None, "1s", "use more --callers"),
    ],
)
def test_a_limit_is_the_clients_when_it_was_busy_in_one_second_beside_it(
    busy_at: float | None, think: str, said: str
) -> None:
    search = Search(500.0)
    for rate, held in ((500.0, True), (1_000.0, True), (4_000.0, False), (1_050.0, False)):
        slices = [_second(), _second(cpu=0.95 if rate == busy_at else 0.5), _second()]
        step = Step(rate=rate, answered_rate=rate, p50=1, p99=1, failed=0, held=held)
        search.tried(step, slices)
    scenario = msgspec.structs.replace(SCENARIOS["find-limit"], callers=1_000, think=think)
    told = coordinator.limiting(search.beside_knee(), scenario)
    assert said in told
    assert bool(said) == bool(told)


def _second(*, cpu: float = 0.5, lag: float = 1.0) -> Slice:
    return Slice(
        at=0, seconds=1, asked=1, answered=1, failed=0, in_flight=0, p50=1, p99=20, max=20,
        frames=1, lag=lag, cpu=cpu,
    )  # fmt: skip
