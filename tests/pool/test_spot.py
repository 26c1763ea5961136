"""Where code runs."""

import threading

from pool.jobs import begin
from pool.spot import SPOT, is_on_the_spot


def test_who_was_called_by_whoever_started_a_job_is_on_the_spot() -> None:
    seen: list[bool] = []

    async def inner() -> None:
        seen.append(is_on_the_spot())

    async def outer() -> None:
        begin(inner())
        seen.append(is_on_the_spot())

    assert not is_on_the_spot()
    begin(outer())
    assert seen == [True, True]
    assert not is_on_the_spot()
    assert SPOT.thread == 0


def test_another_thread_is_another_place() -> None:
    there: list[bool] = []

    async def job() -> None:
        thread = threading.Thread(target=lambda: there.append(is_on_the_spot()))
        thread.start()
        thread.join()

    begin(job())
    assert there == [False]
