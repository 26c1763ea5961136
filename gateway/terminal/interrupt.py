"""Ctrl-C at a command that waits: what it does is cancelled, wherever it is.

Python raises `KeyboardInterrupt` in whatever runs when the signal comes. In a
weak reference's callback or a destructor it is printed and forgotten, and the
command would wait on. A cancelled scope cannot be overlooked.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple, Unpack

import trio

_Result = TypeVar("_Result")
_Given = TypeVarTuple("_Given")


def run(work: Callable[[Unpack[_Given]], Awaitable[_Result]], *given: *_Given) -> _Result:
    """Run ``work(*given)`` under Trio, in the main thread, and return its result.

    Who was started with SIGINT ignored, as a shell's background jobs are, goes on ignoring it.

    Raises:
        KeyboardInterrupt: it was interrupted, and has been cancelled.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return trio.run(work, *given)
    return trio.run(_cancellable, work, given)


async def _cancellable(
    work: Callable[[Unpack[_Given]], Awaitable[_Result]], given: tuple[*_Given]
) -> _Result:
    token = trio.lowlevel.current_trio_token()
    with trio.CancelScope() as scope:
        before = signal.signal(signal.SIGINT, lambda *_: token.run_sync_soon(scope.cancel))
        try:
            return await work(*given)
        finally:
            signal.signal(signal.SIGINT, before)
    raise KeyboardInterrupt
