"""Frontends are sent away one after the other, in a time that is bounded."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from gateway.drain import Settings, send_away


class Recorder:
    """Somebody who notes when they were sent away, and with which pause."""

    def __init__(self) -> None:
        self.left_at = -1.0
        self.pause = -1

    def restart(self, retry_after_milliseconds: int) -> None:
        assert self.left_at < 0
        self.left_at = trio.current_time()
        self.pause = retry_after_milliseconds


async def sent_away(count: int, seconds: float) -> tuple[float, list[Recorder]]:
    everybody = [Recorder() for _ in range(count)]
    began = trio.current_time()
    await send_away(everybody, Settings(spread_seconds=seconds))
    return began, everybody


async def test_ten_thousand_leave_and_come_back_evenly(autojump_clock: MockClock) -> None:
    began, everybody = await sent_away(10_000, 5.0)
    assert 4.9 < trio.current_time() - began <= 5.0
    back = [each.left_at - began + each.pause / 1000 for each in everybody]
    assert max(back) <= 6.0
    a_second = [sum(second <= moment < second + 1 for moment in back) for second in range(6)]
    # Within a fifth of 2,000 a second, but for the beginning and the end.
    assert max(a_second) < 2_400, a_second


async def test_a_few_leave_at_once(autojump_clock: MockClock) -> None:
    began, everybody = await sent_away(10, 5.0)
    assert trio.current_time() - began < 0.02
    assert len({each.pause for each in everybody}) > 1
    assert all(0 <= each.pause < 1000 for each in everybody)


async def test_with_no_time_all_leave_at_once_with_pauses_of_their_own(
    autojump_clock: MockClock,
) -> None:
    began, everybody = await sent_away(5_000, 0.0)
    assert trio.current_time() == began
    assert max(each.pause for each in everybody) > 800


async def test_where_nobody_is_nothing_is_waited_for(autojump_clock: MockClock) -> None:
    began, _ = await sent_away(0, 5.0)
    assert trio.current_time() == began
