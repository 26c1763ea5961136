"""Ctrl-C ends what a command waits for, whenever it comes, and leaves the signal as it was."""

from __future__ import annotations

import signal
import weakref

import pytest
import trio
import trio.testing

from gateway.terminal import interrupt

PATIENCE = 30


class Thing:
    """Something that others may refer to weakly."""


async def wait_for_ever(cleaned: list[str]) -> None:
    try:
        with trio.fail_after(PATIENCE):
            await trio.sleep_forever()
    finally:
        cleaned.append("up")


def test_what_is_done_comes_back_and_the_signal_is_as_before() -> None:
    async def double(number: int) -> int:
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        return 2 * number

    assert interrupt.run(double, 21) == 42
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_cancels_what_waits() -> None:
    async def interrupted(cleaned: list[str]) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # impatience changes nothing
        await wait_for_ever(cleaned)

    cleaned: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt.run(interrupted, cleaned)
    assert cleaned == ["up"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_in_a_weak_references_callback_is_not_forgotten() -> None:
    async def interrupted(cleaned: list[str]) -> None:
        thing = Thing()
        told = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        del thing
        assert told() is None
        await wait_for_ever(cleaned)

    cleaned: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt.run(interrupted, cleaned)
    assert cleaned == ["up"]


def test_an_error_passes_as_it_is() -> None:
    async def fail() -> None:
        raise LookupError("nobody")

    with pytest.raises(LookupError, match="nobody"):
        interrupt.run(fail)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_was_started_in_the_background_goes_on_ignoring_it() -> None:
    async def interrupted() -> str:
        signal.raise_signal(signal.SIGINT)
        await trio.testing.wait_all_tasks_blocked()
        return "done"

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert interrupt.run(interrupted) == "done"
    finally:
        signal.signal(signal.SIGINT, before)
