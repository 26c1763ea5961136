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

import msgspec

from loadtest import figures, limits, orders, plans
from loadtest.attendance import Attendance
from loadtest.gathering import Gathering
from loadtest.limits import Search
from loadtest.orders import Begin, Connected, Done, Go, Joining, Order, Part, Rate, Stop
from loadtest.plans import Plan
from loadtest.result import Client, Connecting, Result, ServerSample, Slice, Step
from loadtest.scenarios import Scenario

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

    def connecting(self, seconds: float, attendance: Attendance) -> None:
        """Show who is there after so many seconds; again and again until all are."""

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
        hopeless_seconds: float = 10.0,
    ) -> None:
        self._plan = plan
        self._connect_seconds = connect_seconds
        self._hopeless_seconds = hopeless_seconds
        self._scrapers = scrapers
        self._watcher = watcher
        self._modules = modules(plan)
        self._gathering = Gathering(len(self._modules), asking=plan.processes)
        self._processes: list[_Process] = []
        self._buffers: dict[int, bytes] = {}
        self._done: dict[int, Done] = {}
        self._connected: dict[int, Connected] = {}
        self._attendance = Attendance(plan.connections, len(self._modules))
        self._started_at = 0.0
        self._selector = selectors.DefaultSelector()
        self._begun = 0.0
        self._interrupted = False
        self._sampled_at = 0.0
        self._search = Search(plan.scenario.rate or 1.0)
        #: Slices as they are made, since somebody began to wait for them.
        self._newest: list[Slice] = []

    def run(self) -> Result:
        """Connect everybody, load, drain.

        Raises:
            LoadError: somebody could not connect, a process of the load died, or what was
                put under load is not there any more.
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
        self._check()
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
        self._started_at = begun = time.perf_counter()
        attendance = self._attendance

        def in_vain() -> bool:
            return attendance.is_hopeless() and time.perf_counter() - begun > self._hopeless_seconds

        def all_told() -> bool:
            return len(self._connected) == len(self._processes)

        self._listen(lambda: all_told() or in_vain(), self._connect_seconds + _TELL_SECONDS)
        if not all_told() and in_vain():
            targets = "; ".join(map(str, self._plan.targets))
            raise LoadError(
                f"nobody could connect to {targets} in {self._hopeless_seconds:g} seconds, and "
                f"{attendance.refused:,} attempts were refused: {attendance.why}"
            )
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
        end = None if seconds is None else time.perf_counter() + seconds
        pause = _TICK_SECONDS / 4
        # Counted in pauses: while the whole machine stands still, nobody is silent.
        silence = 0.0
        while not until():
            if end is not None and time.perf_counter() >= end:
                return
            ready = self._selector.select(pause)
            silence = 0.0 if ready else silence + pause
            for key, _ in ready:
                self._hear(key.data)
            if self._begun and silence > self._plan.drain_seconds + _SILENCE_SECONDS:
                raise LoadError("a process of the load fell silent")
            self._sample()

    def _hear(self, part: int) -> None:
        process, sock = self._processes[part]
        data = sock.recv(1 << 20)
        if not data:
            told = self._connected.get(part)
            if told is not None and told.missing:
                # It has said what is missing, and has nothing else to do.
                self._selector.unregister(sock)
                return
            status = process.wait(_SILENCE_SECONDS)
            raise LoadError(f"a process of the load died with exit status {status}")
        *lines, self._buffers[part] = (self._buffers[part] + data).split(b"\n")
        for line in lines:
            word = orders.told(line)
            if isinstance(word, Part):
                made = self._gathering.add(part, word)
                if made is not None:
                    if self._plan.scenario.seeks_limit:
                        self._newest.append(made)
                    if self._watcher is not None:
                        self._watcher.update(made)
            elif isinstance(word, (Joining, Connected)):
                self._hear_of_connecting(part, word)
            else:
                self._done[part] = word

    def _hear_of_connecting(self, part: int, word: Joining | Connected) -> None:
        self._attendance.hear(part, word)
        if isinstance(word, Connected):
            self._connected[part] = word
        if self._watcher is not None:
            seconds = time.perf_counter() - self._started_at
            self._watcher.connecting(seconds, self._attendance)

    def _sample(self) -> None:
        now = time.perf_counter()
        if self._begun and now - self._sampled_at >= _TICK_SECONDS:
            self._samples()

    def _samples(self) -> list[ServerSample]:
        """Return how the instances do now."""
        self._sampled_at = now = time.perf_counter()
        samples = [scraper.sample(now - self._begun) for scraper in self._scrapers]
        for sample in samples:
            self._gathering.sample(sample)
        return samples

    def _seek(self) -> None:
        """Try one rate after the other; between them everybody gets answers."""
        gathering = self._gathering
        wanted = max(1, round(self._plan.scenario.duration))
        while (rate := self._search.rate()) is not None:
            self._tell(Rate(rate))
            before = self._slices(_SETTLE_SLICES)[-1].in_flight
            samples = self._samples()
            gathering.recent.reset()
            slices = self._slices(wanted)
            samples += self._samples()
            step = limits.judged(rate, slices, gathering.recent.latency(), before, samples)
            self._search.tried(step, slices)
            if not step.held:
                self._tell(Rate(0.0))
                for _ in range(_RECOVER_SECONDS):
                    if not self._slices(1)[0].in_flight:
                        break
            self._check()

    def _check(self) -> None:
        """Look whether all that was put under load is still there."""
        for target in self._plan.targets:
            if why := target.absence():
                raise LoadError(why)

    def _wait_for_those_who_ask(self) -> None:
        self._listen(lambda: all(part in self._done for part in range(self._plan.processes)), None)

    def _slices(self, count: int) -> list[Slice]:
        """Return the next so many slices, as they are: those that are gathered may be merged."""
        newest: list[Slice] = []
        self._newest = newest
        self._listen(lambda: len(newest) >= count, None)
        return newest[:count]

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
        if plan.wishes.deflate:
            conditions["came compressed"] = _compressed(done)
        if self._interrupted:
            conditions["interrupted"] = f"after {seconds:.0f} seconds"
        if plan.scenario.seeks_limit:
            conditions["highest rate that held"] = f"{self._search.knee:g} a second"
        return Result(
            scenario=plan.name,
            began=began.isoformat(timespec="seconds").replace("+00:00", "Z"),
            conditions=conditions,
            seconds=seconds,
            truth=gathering.truth,
            latency=latency,
            client=self._client(seconds),
            slices=gathering.slices,
            server=gathering.samples,
            connecting=connecting,
            steps=self._search.steps,
        )

    def _client(self, seconds: float) -> Client:
        """Judge our own side: of a search where the limit was found, else over all of it."""
        plan, gathering = self._plan, self._gathering
        if beside := self._search.beside_knee():
            cpu = max(each.cpu for _, slices in beside for each in slices)
            why = limiting(beside, plan.scenario)
        else:
            cpu = max(gathering.cpu_seconds) / max(seconds, 1e-9)
            too_few = plan.scenario.callers < plans.busy_callers(plan.scenario)
            why = bottleneck(cpu, gathering.slices, too_few=too_few)
        return Client(
            processes=len(self._modules), lag_max=gathering.lag_max, cpu=cpu, bottleneck=why
        )


def _compressed(done: Sequence[Done]) -> str:
    """Return in words how many messages to frontends were compressed, and to what."""
    messages = sum(each.deflated for each in done)
    if not messages:
        return "no message: gateways leave short ones as they are"
    coded = sum(each.deflated_bytes for each in done)
    plain = sum(each.inflated_bytes for each in done)
    sizes = f"{figures.size(coded)} on the wire for {figures.size(plain)}"
    return f"{messages:,} messages to frontends, {sizes}"


def modules(plan: Plan) -> list[str]:
    """Return what is run by each process; those that ask come first."""
    names = ["loadtest.worker"] * plan.processes
    if plan.wishes.driver == "trio-websocket":
        names += ["loadtest.trio_frontends"] * plan.processes
    return names


def limiting(beside: Sequence[tuple[Step, Sequence[Slice]]], scenario: Scenario) -> str:
    """Return why a limit is the client's, judged by the busiest second beside it; else nothing."""
    reasons = []
    for step, slices in beside:
        asking = msgspec.structs.replace(scenario, rate=step.rate)
        too_few = scenario.callers < plans.busy_callers(asking)
        busiest = max(each.cpu for each in slices)
        if why := bottleneck(busiest, slices, too_few=too_few):
            held = "held" if step.held else "broke"
            reasons.append(f"at {figures.rate(step.rate)}, which {held}, {why}")
    return "; ".join(reasons)


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
