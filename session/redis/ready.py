"""Which instances may be given a question: those where somebody has just answered one like it.

Pure module. With delivery one, each instance that hears of a question asks whether it may
show it, and one of them may. Where people have just answered they have time for the next
one; so whoever asks gives the question to such an instance, in the step that stores it.
One for each answer: so each gets as many as it answers. Nothing depends on that: what is
given to nobody is free for all, and what is given to the wrong one it lets go of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, final

from session.model import Audience

#: For how long an answer says that its instance has time for another question, in seconds.
READY_SECONDS: Final = 0.25
# Answers of one audience that are remembered, and audiences; the oldest go first.
_ANSWERS: Final = 256
_AUDIENCES: Final = 1_000


@final
class Ready:
    """What is heard of answers at other instances.

    Args:
        now: monotonic seconds.
    """

    __slots__ = ("_answers", "_now", "given")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._answers: dict[tuple[str, Audience], deque[tuple[float, bytes]]] = {}
        #: How many questions were given to others.
        self.given = 0

    def answered(self, tenant: str, audience: Audience, instance: bytes) -> None:
        """Somebody at an instance has answered a question."""
        key = (tenant, audience)
        answers = self._answers.get(key)
        if answers is None:
            if len(self._answers) >= _AUDIENCES:
                del self._answers[next(iter(self._answers))]
            answers = self._answers[key] = deque(maxlen=_ANSWERS)
        answers.append((self._now(), instance))

    def next_for(self, tenant: str, audience: Audience) -> bytes:
        """Return the instance to give a question to; nothing if there is none.

        Whose answer is the longest ago comes first.
        """
        key = (tenant, audience)
        answers = self._answers.get(key)
        if answers is None:
            return b""
        oldest = self._now() - READY_SECONDS
        while answers:
            when, instance = answers.popleft()
            if when >= oldest:
                self.given += 1
                return instance
        del self._answers[key]
        return b""

    def __len__(self) -> int:
        return sum(map(len, self._answers.values()))
