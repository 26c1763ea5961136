"""The process that starts the others, hears them every second, and makes a result of it.

It asks nothing itself: a report that is drawn while questions are asked would
make them wait.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from loadtest import limits, orders, plans
from loadtest.gathering import Gathering
from loadtest.limits import Search
from loadtest.orders import Begin, Connected, Done, Go, Order, Part, Rate, Stop
from loadtest.plans import Plan
from loadtest.result import Client, Connecting, Result, ServerSample, Slice

_TICK_SECONDS: Final = 1.0
# Beyond that the processes themselves have to say who is missing.
_TELL_SECONDS: Final = 30.0
#: What a process may be silent for before it is given up.
_SILENCE_SECONDS: Final = 30.0
_UNASKED: Final = "due, and never asked: no caller was free or connected"
_BUSY: Final = 0.9
_STALLED_SHARE: Final = 0.1
# A shared machine takes that long to let anybody run again.
_STALLED_MILLISECONDS: Final = 10.0
#: A rate is measured when it had this long to settle.
_SETTLE_SLICES: Final = 1
_RECOVER_SECONDS: Final = 10


class LoadError(Exception):
    """The load could not be made; the message says why."""


class Scraper(Protocol):
    """Asks an instance how it does."""

    def sample(self, at: float) -> ServerSample:
        """Return what it says at this time of the load."""


class Watcher(Protocol):
    """Shows somebody how it goes."""

    def update(self, slice: Slice) -> None:  # noqa: A002 - what it is
        """Show one more second."""


class _Process(NamedTuple):
    process: subprocess.Popen[bytes]
    sock: socket.socket


class Coordinator:
    """One run."""

    def __init__(
        self,
        plan: Plan,
        scrapers: Sequence[Scraper],
        watcher: Watcher | None,
        connect_seconds: float = 120.0,
    ) -> None:
        self._plan = plan
        self._connect_seconds = connect_seconds
        self._scrapers = scrapers
        self._watcher = watcher
        self._modules = modules(plan)
        self._gathering = Gathering(len(self._modules))
        self._processes: list[_Process] = []
        self._buffers: dict[int, bytes] = {}
        self._done: dict[int, Done] = {}
        self._connected: dict[int, Connected] = {}
        self._selector = selectors.DefaultSelector()
        self._begun = 0.0
        self._interrupted = False
        self._sampled_at = 0.0
        self._search = Search(plan.scenario.rate or 1.0)

    def run(self) -> Result:
        """Connect everybody, load, drain.

        Raises:
            LoadError: somebody could not connect, or a process of the load died.
        """
        plan = self._plan
        began = dt.datetime.now(dt.UTC)
        with self._started():
            connecting = self._connect()
            self._begun = time.perf_counter()
            self._tell(Go())
            try:
                if plan.scenario.seeks_limit:
                    self._seek()
                    self._tell(Stop())
                self._wait_for_those_who_ask()
            except KeyboardInterrupt:
                self._interrupted = True
                self._tell(Stop())
                self._wait_for_those_who_ask()
            if len(self._processes) > plan.processes:
                # Who only answers must not end before all who ask.
                self._tell(Stop())
                self._listen(lambda: len(self._done) == len(self._processes), None)
        return self._result(began, connecting)

    @contextlib.contextmanager
    def _started(self) -> Iterator[None]:
        try:
            for place, module in enumerate(self._modules):
                self._start(place, module)
            yield
        finally:
            self._selector.close()
            for process, sock in self._processes:
                # They end when nobody listens any more.
                sock.close()
                try:
                    process.wait(_SILENCE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _start(self, place: int, module: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen([sys.executable, "-m", module], stdin=theirs.fileno())
        self._processes.append(_Process(process, ours))
        self._buffers[place] = b""
        self._selector.register(ours, selectors.EVENT_READ, place)
        part = place % self._plan.processes
        ours.sendall(orders.encode(Begin(self._plan, part, self._connect_seconds)))

    def _tell(self, order: Order) -> None:
        for _, sock in self._processes:
            sock.sendall(orders.encode(order))

    def _connect(self) -> Connecting:
        begun = time.perf_counter()
        patience = self._connect_seconds + _TELL_SECONDS
        self._listen(lambda: len(self._connected) == len(self._processes), patience)
        told = self._connected.values()
        missing = sum(each.missing for each in told)
        if missing or len(told) < len(self._processes):
            why = next((each.last_refusal for each in told if each.missing), "no word of it")
            raise LoadError(f"{missing} of {self._plan.connections} could not connect: {why}")
        return Connecting(
            connections=self._plan.connections,
            seconds=time.perf_counter() - begun,
            refused=sum(each.refused for each in told),
        )

    def _listen(self, until: Callable[[], bool], seconds: float | None) -> None:
        """Hear the processes until this holds, or for so long."""
        heard = time.perf_counter()
        end = None if seconds is None else heard + seconds
        patience = self._plan.drain_seconds + _SILENCE_SECONDS
        while not until():
            now = time.perf_counter()
            if end is not None and now >= end:
                return
            if self._begun and now - heard > patience:
                raise LoadError("a process of the load fell silent")
            ready = self._selector.select(_TICK_SECONDS / 4)
            for key, _ in ready:
                heard = now
                self._hear(key.data)
            self._sample()

    def _hear(self, part: int) -> None:
        data = self._processes[part].sock.recv(1 << 20)
        if not data:
            raise LoadError("a process of the load died")
        *lines, self._buffers[part] = (self._buffers[part] + data).split(b"\n")
        for line in lines:
            told = orders.told(line)
            if isinstance(told, Part):
                made = self._gathering.add(part, told)
                if made is not None and self._watcher is not None:
                    self._watcher.update(made)
            elif isinstance(told, Connected):
                self._connected[part] = told
            else:
                self._done[part] = told

    def _sample(self) -> None:
        now = time.perf_counter()
        if self._begun and now - self._sampled_at >= _TICK_SECONDS:
            self._sampled_at = now
            for scraper in self._scrapers:
                self._gathering.sample(scraper.sample(now - self._begun))

    def _seek(self) -> None:
        """Try one rate after the other; between them everybody gets answers."""
        gathering = self._gathering
        wanted = max(1, round(self._plan.scenario.duration))
        while (rate := self._search.rate()) is not None:
            self._tell(Rate(rate))
            self._slices(_SETTLE_SLICES)
            gathering.recent.reset()
            slices = self._slices(wanted)
            seconds = sum(each.seconds for each in slices)
            step = limits.judged(rate, seconds, slices, gathering.recent.latency())
            self._search.tried(step)
            if not step.held:
                self._tell(Rate(0.0))
                for _ in range(_RECOVER_SECONDS):
                    if not self._slices(1)[0].in_flight:
                        break

    def _wait_for_those_who_ask(self) -> None:
        self._listen(lambda: all(part in self._done for part in range(self._plan.processes)), None)

    def _slices(self, count: int) -> list[Slice]:
        """Return the next so many slices."""
        known = len(self._gathering.slices)
        self._listen(lambda: len(self._gathering.slices) >= known + count, None)
        return self._gathering.slices[known : known + count]

    def _result(self, began: dt.datetime, connecting: Connecting) -> Result:
        plan, gathering = self._plan, self._gathering
        done = list(self._done.values())
        gathering.finish(done)
        if unasked := sum(each.unasked for each in done):
            # Whoever is to blame: what was promised to be asked was not.
            gathering.truth.refused[_UNASKED] = unasked
        seconds = sum(each.seconds for each in gathering.slices)
        latency = gathering.whole.latency()
        connecting.refused = max(connecting.refused, sum(each.refused_handshakes for each in done))
        conditions = dict(plans.conditions(plan))
        again = sum(each.asked_again for each in done)
        if plan.wishes.reask:
            conditions["asked again after a cut"] = str(again)
        if self._interrupted:
            conditions["interrupted"] = f"after {seconds:.0f} seconds"
        if plan.scenario.seeks_limit:
            conditions["highest rate that held"] = f"{self._search.knee:g} a second"
        cpu = max(gathering.cpu_seconds) / max(seconds, 1e-9)
        # A limit is the server's only if the load was not at its own where it gave way.
        busiest = max((each.cpu for each in gathering.slices), default=0.0)
        return Result(
            scenario=plan.name,
            began=began.isoformat(timespec="seconds").replace("+00:00", "Z"),
            conditions=conditions,
            seconds=seconds,
            truth=gathering.truth,
            latency=latency,
            client=Client(
                processes=len(self._modules),
                lag_max=gathering.lag_max,
                cpu=cpu,
                bottleneck=bottleneck(
                    busiest if plan.scenario.seeks_limit else cpu,
                    gathering.slices,
                    too_few=plan.scenario.callers < plans.busy_callers(plan.scenario),
                ),
            ),
            slices=gathering.slices,
            server=gathering.samples,
            connecting=connecting,
            steps=self._search.steps,
        )


def modules(plan: Plan) -> list[str]:
    """Return what is run by each process; those that ask come first."""
    names = ["loadtest.worker"] * plan.processes
    if plan.wishes.driver == "trio-websocket":
        names += ["loadtest.trio_frontends"] * plan.processes
    return names


def bottleneck(cpu: float, slices: Sequence[Slice], *, too_few: bool) -> str:
    """Return why the figures are the client's more than the server's; nothing when they are not."""
    reasons = []
    if cpu > _BUSY:
        reasons.append(f"a process of the load used {cpu:.0%} of its core: use more --processes")
    stalled = [
        each
        for each in slices
        if each.p99 is not None and each.lag > max(each.p99, _STALLED_MILLISECONDS)
    ]
    if len(slices) > 1 and len(stalled) > max(1, _STALLED_SHARE * len(slices)):
        reasons.append(
            f"in {len(stalled)} of {len(slices)} seconds its loop was late by more than the p99"
        )
    if too_few:
        reasons.append("questions waited for a free caller, not for the server: use more --callers")
    return "; ".join(reasons)
