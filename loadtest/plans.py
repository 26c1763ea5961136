"""What a run consists of, decided before it begins: a scenario, the wishes, the targets.

A plan is plain data that goes to every process of the load; each takes its
part of the people and agents by their numbers.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from loadtest import descriptors, thinking
from loadtest.dialing import Route
from loadtest.places import LOOPBACK, Place, Target
from loadtest.scenarios import Scenario
from loadtest.server import GATEWAY

# What a gateway of one core is good for, and fewer where fewer files may be open.
_CONNECTIONS_A_PROCESS: Final = 15_000
# Linux lends 28,232 ports to one address and destination.
_CONNECTIONS_A_SOURCE: Final = 20_000
# How much longer than its deadline a reply may be on its way before the question is lost.
_DRAIN_SECONDS: Final = 2.0
# Of a question's time: what is left suffices for a connection that comes back.
_THINKING_SHARE: Final = 0.7
# A segment of this size makes a frontend that stopped reading noticeable at once.
_SLOW_RECEIVE_BYTES: Final = 4_096

#: A gateway of our own takes all connections that its process may have.
GATEWAY_FLAGS: Final = (
    *("--connections-maximum", "19500", "--connections-per-address", "19500"),
    *("--drain-settle-seconds", "0"),
)


class Wishes(msgspec.Struct, kw_only=True, frozen=True):
    """How the load is made, whichever it is."""

    processes: int | None = None
    sources: tuple[str, ...] = ()
    #: `modern`, `handshake`, or `both` by turns.
    era: str = "both"
    #: `full`, or `go`: what the frontends of Go deployments say.
    protocol: str = "full"
    #: `selector`, or `trio-websocket` for frontends of that client.
    driver: str = "selector"
    #: Whether frontends speak permessage-deflate.
    deflate: bool = False
    reask: bool = False
    #: `poisson` or `even`.
    arrivals: str = "poisson"
    #: How long a question waits by its own words.
    timeout: float = 30.0
    seed: int = 1
    #: How a gateway of our own is started.
    gateway: tuple[str, ...] = GATEWAY
    #: The credentials that people and callers show: of the tenant that is measured, and of its
    #: neighbour where there is one.
    tokens: tuple[str, ...] = ()


class Plan(msgspec.Struct, kw_only=True, frozen=True):
    """One run."""

    name: str
    scenario: Scenario
    wishes: Wishes
    targets: tuple[Target, ...]
    sources: tuple[str, ...]
    processes: int
    #: What makes the names of this run its own.
    run: str

    @property
    def connections(self) -> int:
        """How many there are in all."""
        return self.scenario.frontends + self.scenario.callers

    @property
    def drain_seconds(self) -> float:
        """How long answers may take to come after the last question."""
        return self.wishes.timeout + _DRAIN_SECONDS

    @property
    def longest_thought(self) -> float:
        """How long a person thinks at most: who does not answer in time is another load."""
        return _THINKING_SHARE * self.wishes.timeout

    def frontends_of(self, part: int) -> range:
        """Return the numbers of the people that this process has."""
        return range(part, self.scenario.frontends, self.processes)

    def callers_of(self, part: int) -> range:
        """Return the numbers of the agents that this process has."""
        return range(part, self.scenario.callers, self.processes)

    def share_of(self, part: int) -> float:
        """Return which share of the questions this process asks."""
        return len(self.callers_of(part)) / (self.scenario.callers or 1)

    def route(self, number: int, places: Sequence[Place]) -> Route:
        """Return from where to where the connection of this number goes."""
        target = number % len(places)
        # Not by the same number: two targets and two sources shall meet in four ways.
        source = self.sources[number // len(places) % len(self.sources)] if self.sources else ""
        token = self.wishes.tokens[0] if self.wishes.tokens else ""
        return Route(places[target]._replace(token=token), source)

    def frontend_route(self, number: int) -> Route:
        """Return the same for a person; one that will be slow takes little ahead."""
        route = self.route(number, [target.ws for target in self.targets])
        if self.is_slow(number):
            return route._replace(receive_bytes=_SLOW_RECEIVE_BYTES)
        return route

    def is_slow(self, number: int) -> bool:
        """Return whether this person stops reading: the last ones, who never have a turn."""
        return number >= self.scenario.frontends * (1 - self.scenario.slow)

    def turn(self, number: int) -> str:
        """Return what the token of a question ends with for this person to answer it.

        Who is shown a question alone answers it. Of all who are shown it a
        power of ten take turns, and the others only watch.
        """
        if self.scenario.delivery == "one":
            return ""
        shown = self.scenario.frontends // len(self.targets)
        digits = len(str(max(1, int(shown * (1 - self.scenario.slow))))) - 1
        place = number // len(self.targets)
        if place >= 10**digits:
            return "nobody"
        return f"{place:0{digits}d}" if digits else ""


def instances(scenario: Scenario) -> int:
    """Return how many gateways hold so many connections."""
    most = descriptors.connections(_CONNECTIONS_A_PROCESS)
    return math.ceil((scenario.frontends + scenario.callers) / most)


def processes(scenario: Scenario, wishes: Wishes) -> int:
    """Return over how many processes the load is spread."""
    needed = instances(scenario)
    if wishes.processes is not None:
        return max(wishes.processes, needed)
    # One core is the gateway's.
    return max(needed, min(4, (os.cpu_count() or 1) - 1))


def sources(scenario: Scenario, wishes: Wishes, targets: Sequence[Target]) -> tuple[str, ...]:
    """Return the addresses to come from: as many as the ports of one do not suffice for."""
    if wishes.sources:
        return wishes.sources
    most = max(scenario.frontends, scenario.callers) / len(targets)
    if most <= _CONNECTIONS_A_SOURCE or any(each.ws.host != LOOPBACK for each in targets):
        return ()
    return tuple(f"127.0.0.{number}" for number in range(1, 2 + int(most / _CONNECTIONS_A_SOURCE)))


def hello(plan: Plan, number: int) -> bytes:
    """Return what the frontend of this number says first."""
    message = {"type": "connect"}
    if plan.wishes.protocol == "full":
        message |= {"frontend_id": f"{plan.run}-{number}", "user": f"user-{number}"}
    return json.dumps(message).encode()


def busy_callers(scenario: Scenario) -> float:
    """Return how many callers wait for somebody who thinks, on average at the highest rate."""
    return scenario.peak_rate * thinking.parse(scenario.think).mean


def conditions(plan: Plan) -> Iterator[tuple[str, str]]:
    """Return what the load consists of, in the order in which to show it."""
    scenario, wishes = plan.scenario, plan.wishes
    yield "scenario", f"{plan.name}: {scenario.summary}"
    yield "targets", ", ".join(str(target) for target in plan.targets)
    coding = ", permessage-deflate" if wishes.deflate else ""
    yield (
        "frontends",
        f"{scenario.frontends:,}, {wishes.protocol} protocol, {wishes.driver}{coding}",
    )
    if scenario.messages:
        yield "messages", f"{scenario.messages:g} a second each"
    else:
        yield "callers", f"{scenario.callers:,}, era {wishes.era}"
        yield "questions", _questions(plan)
        yield "delivery", scenario.delivery
    if thinking.parse(scenario.think).mean:
        yield "think time", f"{scenario.think}, taken off the latencies"
    if scenario.payload:
        yield "payload", f"{scenario.payload:,} bytes each way"
    if scenario.storms:
        parts = ", ".join(f"{100 * part:g}%" for part in scenario.storms)
        yield "all frontends reconnect at", f"{parts} of the time"
    if scenario.slow:
        yield "stop reading", f"{100 * scenario.slow:g}% of the frontends"
    if plan.sources:
        yield "from", ", ".join(plan.sources)
    yield "processes", str(plan.processes)


def _questions(plan: Plan) -> str:
    rate = plan.scenario.rate
    if rate is None:
        return "each caller asks as soon as it has its answer"
    if plan.scenario.seeks_limit:
        return f"from {rate:g} a second on, {plan.wishes.arrivals} arrivals"
    return f"{rate:g} a second, {plan.wishes.arrivals} arrivals, whether answers come or not"
