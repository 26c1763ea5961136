"""How fast this machine is at this moment, to say of a time whether it is long.

On an idle core of the kind the limits were set on, the yardstick takes 6 ms.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MIB: Final = 1 << 20
_FRIENDLY: Final = json.dumps(
    [{"id": number, "text": "a word or two"} for number in range(MIB // 40)]
).encode()
_IDLE_SECONDS: Final = 0.006


def as_if_idle(seconds: float) -> float:
    """Return what a time of the processor would be if nothing else slowed it, in seconds."""
    return seconds * _IDLE_SECONDS / yardstick()


@contextmanager
def as_a_gateway() -> Iterator[None]:
    """Take no longer than a gateway would, which is not traced and has less to collect."""
    trace = sys.gettrace()
    sys.settrace(None)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.settrace(trace)


def yardstick() -> float:
    """Return the processor's time that the standard parser takes for a friendly megabyte."""
    return min(_once() for _ in range(3))


def _once() -> float:
    begun = time.thread_time()
    json.loads(_FRIENDLY)
    return time.thread_time() - begun
