"""One process of the load: it does what its coordinator says and tells it every second.

Started as `python -m loadtest.worker` with a socket as its standard input; it
ends when that does. It measures, and refuses to judge.
"""

from __future__ import annotations

import gc
import signal
import socket
import sys
import time
from typing import Final

from loadtest import orders
from loadtest.arrivals import Arrivals
from loadtest.histograms import Histogram
from loadtest.load import Load
from loadtest.orders import Begin, Connected, Done, Go, Joining, Order, Part, Rate, Stop
from loadtest.people import Storm
from loadtest.population import Population
from loadtest.result import Truth

#: How long one `Load.run` lasts when something else ends it.
_LONG_SECONDS: Final = 3600.0
_SLICE_SECONDS: Final = 1.0
#: How often it is told how connecting goes.
_JOINING_SECONDS: Final = 0.5
# Often, so that no turn of the loop is long because of it.
_RECORD_SECONDS: Final = 0.02
_LOOK_SECONDS: Final = 0.05
# What a load makes lives long or goes at once: collections that find nothing cost milliseconds.
_COLLECT_AFTER: Final = 200_000


class Control:
    """The coordinator's end of the load."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.orders: list[Order] = []
        self.gone_away = False
        self._load: Load | None = None
        self._buffer = b""

    def attach(self, load: Load) -> None:
        """Hear orders in this loop."""
        self._load = load
        load.drive(self)

    def wait(self) -> Order:
        """Return the first order; before there is a loop."""
        while b"\n" not in self._buffer:
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError("nobody said what to do")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return orders.order(line)

    def owed(self) -> int:
        """Return 0: nothing is asked of it."""
        return 0

    def gone(self, why: bytes) -> bool:  # noqa: ARG002 - what all peers are told
        """End: nobody listens any more."""
        self.gone_away = True
        if self._load is not None:
            self._load.stop()
        return False

    def ready(self) -> None:
        """Take orders; each ends a `Load.run`."""
        assert self._load is not None
        data = self._load.receive(self.sock)
        if data is not None:
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            self.orders += map(orders.order, lines)
            self._load.stop()


class Worker:
    """The load of one process, from the first connection to the last answer."""

    def __init__(self, control: Control, begin: Begin) -> None:
        plan, part = begin.plan, begin.part
        self._plan = plan
        self._part = part
        self._connect_seconds = begin.connect_seconds
        self._control = control
        self._load = load = Load(plan.drain_seconds, part)
        control.attach(load)
        self._people = Population(load, plan, part, load.stop)
        scenario = plan.scenario
        shape = [(start * scenario.duration, factor) for start, factor in scenario.shape]
        chance = self._people.chance if plan.wishes.arrivals == "poisson" else None
        rate = (scenario.rate or 0.0) * plan.share_of(part)
        self._arrivals = Arrivals(load, rate, chance, self._people.pool.arrive, shape)
        self._histogram = Histogram()
        self._before = _Counted(load)
        self._index = 0
        self._begun = 0.0
        self._is_joining = True

    def run(self) -> None:
        """Do all of it; returns early when the coordinator is gone."""
        if self._connect() and self._wait_for(Go):
            self._ask()
            self._drain()
        self._load.close()

    def _connect(self) -> bool:
        people = self._people
        now = time.perf_counter()
        self._load.at(now, lambda _now: people.joining.begin())
        self._load.at(now + _JOINING_SECONDS, self._tell_who_joined)
        self._load.run(self._connect_seconds)
        self._is_joining = False
        self._tell(Connected(*self._attendance()))
        return not people.joining.missing

    def _attendance(self) -> tuple[int, int, int, str]:
        """Return how many are connected, and are not; how many attempts failed, and why."""
        joining, dialled = self._people.joining, self._people.dialled
        return joining.joined, joining.missing, dialled.refused, dialled.last_refusal

    def _tell_who_joined(self, now: float) -> None:
        if self._is_joining and not self._control.gone_away:
            self._tell(Joining(*self._attendance()))
            self._load.at(now + _JOINING_SECONDS, self._tell_who_joined)

    def _wait_for(self, wanted: type[Order]) -> bool:
        """Run until this order; until then, rates are obeyed."""
        while not self._control.gone_away:
            for order in self._control.orders:
                if isinstance(order, Rate):
                    self._arrivals.set_rate(order.rate * self._plan.share_of(self._part))
                    if not order.rate:
                        self._people.pool.forget()
            reached = any(isinstance(order, wanted) for order in self._control.orders)
            self._control.orders.clear()
            if reached:
                return True
            self._load.run(_LONG_SECONDS)
        return False

    def _ask(self) -> None:
        """Be the load, until it is over by the plan or by order."""
        load, people, scenario = self._load, self._people, self._plan.scenario
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER)
        self._begun = now = time.perf_counter()
        load.open_window()
        load.lag = 0.0
        self._before = _Counted(load)
        load.asking = True
        for person in people.slow:
            person.stop_reading()
        for messenger in people.messengers:
            # Spread, or everybody would speak in the same moment of each interval.
            due = now + people.chance.random() / scenario.messages
            load.at(due, messenger.ask)
        for storm in scenario.storms:
            load.at(now + storm * scenario.duration, self._storm)
        people.pool.begin(now)
        if scenario.rate is not None and scenario.callers:
            self._arrivals.begin(now)
        load.at(now + _RECORD_SECONDS, self._record)
        load.at(now + _SLICE_SECONDS, self._slice)
        if not scenario.seeks_limit:
            load.at(now + scenario.duration, lambda _now: load.stop())
            end = now + scenario.duration
            while time.perf_counter() < end and not self._stops():
                load.run(end - time.perf_counter())
        else:
            self._wait_for(Stop)
        load.asking = False
        self._report()

    def _stops(self) -> bool:
        stops = any(isinstance(order, Stop) for order in self._control.orders)
        return stops or self._control.gone_away

    def _drain(self) -> None:
        """Wait for what is still owed, and let go of everybody."""
        load, people = self._load, self._people
        end = time.perf_counter() + self._plan.drain_seconds
        while people.pool.backlog and time.perf_counter() < end and not self._control.gone_away:
            load.run(_LOOK_SECONDS)
        load.drain()
        if load.tally.asked > self._before.asked:
            # It was due before the end, and there was nobody to ask it.
            self._report()
        self._histogram.record(load.tally.take_seconds())
        tally = load.tally
        self._tell(
            Done(
                truth=Truth(
                    asked=tally.asked,
                    answered=tally.answered,
                    lost=tally.lost,
                    duplicated=tally.duplicated,
                    crossed=tally.crossed,
                    late=tally.late,
                    refused={
                        why.decode(errors="replace"): count for why, count in tally.refusals.items()
                    },
                ),
                histogram=self._histogram.encoded(),
                refused_handshakes=people.dialled.refused,
                asked_again=tally.asked_again,
                unasked=people.pool.backlog + people.pool.dropped,
                cpu=time.process_time(),
                deflated=tally.deflated,
                deflated_bytes=tally.deflated_bytes,
                inflated_bytes=tally.inflated_bytes,
            )
        )
        # Until everybody else is done: their questions are answered here, too.
        while not self._control.gone_away:
            load.run(_LONG_SECONDS)
        for person in people.people:
            person.leave()

    def _storm(self, now: float) -> None:
        Storm(self._load, self._people.people).go_on(now)

    def _record(self, now: float) -> None:
        self._histogram.record(self._load.tally.take_seconds())
        if self._load.asking:
            self._load.at(now + _RECORD_SECONDS, self._record)

    def _slice(self, _now: float) -> None:
        if self._load.asking:
            self._report()
            self._load.at(self._begun + (self._index + 1) * _SLICE_SECONDS, self._slice)

    def _report(self) -> None:
        """Tell what happened since the last time."""
        load = self._load
        before, after = self._before, _Counted(load)
        is_short = after.at - before.at < _SLICE_SECONDS / 100
        if is_short and self._index and after.asked == before.asked:
            # The end of the load fell on the end of a second.
            return
        self._histogram.record(load.tally.take_seconds())
        self._tell(
            Part(
                index=self._index,
                at=before.at - self._begun,
                seconds=after.at - before.at,
                asked=after.asked - before.asked,
                answered=after.answered - before.answered,
                failed=after.failed - before.failed,
                in_flight=load.owed() + self._people.pool.backlog,
                frames=after.frames - before.frames,
                lag=load.lag * 1000,
                cpu=(after.cpu - before.cpu) / max(after.at - before.at, 1e-9),
                histogram=self._histogram.encoded(),
            )
        )
        self._histogram.reset()
        load.lag = 0.0
        self._before = after
        self._index += 1

    def _tell(self, message: orders.Told) -> None:
        self._load.send(self._control.sock, orders.encode(message))


class _Counted:
    """What was counted by now."""

    def __init__(self, load: Load) -> None:
        tally = load.tally
        self.at = time.perf_counter()
        self.cpu = time.process_time()
        self.asked = tally.asked
        self.answered = tally.answered
        self.failed = tally.failures
        self.frames = tally.frames


def main() -> None:
    """Be a process of the load."""
    # Ctrl-C is the coordinator's: it tells everybody to stop, and hears what came of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = Control(socket.socket(fileno=sys.stdin.fileno()))
    first = control.wait()
    assert isinstance(first, Begin)
    Worker(control, first).run()


if __name__ == "__main__":
    main()
