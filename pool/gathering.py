"""Whether it is worth waiting a moment before sockets are served: what many share costs each less.

Polling, what Trio does between two turns and a send each cost as much as some messages. So
in busy times a poll waits for the next one to be ready; and while servers that we connected
to owe many replies, which come in bits, it lets some of them gather. It refuses to wait
while other tasks could go on, and whoever is alone never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import sleep
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    import trio

    from pool.polling import Selector

#: How long it waits, and how soon a turn follows on another in busy times.
PAUSE_SECONDS: Final = 0.001
# With so many replies still owed they are gathered for so long, unless as many were ready at
# once as make a round of reading, hearing and sending worth its while.
_OWED: Final = 4
_REST_SECONDS: Final = 0.002
_ENOUGH: Final = 16
# As many as are read at once.
_AT_ONCE: Final = 64


@final
class Gathering:
    """Polls for one task. Blocks it for three milliseconds at most.

    Args:
        others: the tasks that could go on now.
    """

    __slots__ = ("_found", "_others", "owed", "rest")

    def __init__(self, others: set[trio.lowlevel.Task]) -> None:
        self._others = others
        #: How many replies are still owed to us of those that were at the last poll, if
        #: whoever connects to servers says so. (Of what has been asked since, all may come.)
        self.owed: Callable[[], int] | None = None
        #: Waits, for a time in seconds.
        self.rest: Callable[[float], None] = sleep
        # How many the last poll found.
        self._found = 0

    def ready(self, selector: Selector, *, is_busy: bool) -> Sequence[tuple[int, int]]:
        """Return which descriptors are ready, and for what; no more of them than are read at once.

        It is busy if there was something to do within the last ``PAUSE_SECONDS``.
        """
        owed = self.owed
        gathers = is_busy and self._found < _ENOUGH and owed is not None and owed() >= _OWED
        if gathers and not self._others:
            self.rest(_REST_SECONDS)
        ready = selector.poll(0, _AT_ONCE)
        if not ready and is_busy and not self._others:
            ready = selector.poll(PAUSE_SECONDS, _AT_ONCE)
        self._found = len(ready)
        return ready
