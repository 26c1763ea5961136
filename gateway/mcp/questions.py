"""What a call that waits for a person holds on to.

The question lives in the store and outlives this wait: a caller that loses its
connection finds it again. It refuses to decide who is asked; the router does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from gateway.mcp.call import Call, Departure, Progress
from gateway.mcp.outcomes import open_result, outcome_result
from gateway.mcp.refusals import ended
from pool.timers import Timer, Timers
from session.model import Outcome, Principal, Question

if TYPE_CHECKING:
    from gateway.router import Router


@final
class QuestionWait:
    """A call that waits for the outcome of one question."""

    __slots__ = ("_call", "_on_cancelled", "_question", "_router", "_timer")

    def __init__(
        self, call: Call, router: Router, on_cancelled: Callable[[Question, Call], None] | None
    ) -> None:
        self._call = call
        self._router = router
        self._on_cancelled = on_cancelled
        self._question: Question | None = None
        self._timer: Timer[Callable[[], None]] | None = None

    def begin(self, question: Question) -> None:
        """The question is open: wait for it, unless it has ended meanwhile."""
        self._question = question
        call = self._call
        if call.departed or not call.done:
            call.wait_for(self, question.id)

    def limit(self, timers: Timers[Callable[[], None]], seconds: float) -> None:
        """Wait no longer than this, and then say that it is still open."""
        self._timer = timers.arm(seconds, self._enough)

    def settled(self, question: Question, outcome: Outcome) -> None:
        """Hear the outcome; see `gateway.waiters.Waiter`."""
        self._disarm()
        call = self._call
        if not call.done:
            online = self._online(question)
            call.finish(outcome_result(question, outcome, online, call.principal))

    def put_off(self) -> None:
        """Have the caller go on elsewhere; see `gateway.waiters.Waiter`."""
        self._disarm()
        question, call = self._question, self._call
        if question is None or call.done:
            return
        if not call.break_off():
            call.finish(open_result(question, self._online(question)))

    @property
    def waits(self) -> bool:
        """Always, until its call is done; see `gateway.waiters.Waiter`."""
        return True

    @property
    def session_id(self) -> str:
        """The session of its call; see `gateway.waiters.Waiter`."""
        session = self._call.session
        return "" if session is None else session.id

    @property
    def principal(self) -> Principal:
        """Who waits; see `gateway.waiters.Waiter`."""
        return self._call.principal

    def cut_off(self) -> None:
        """Have the caller come back with a credential; see `gateway.waiters.Waiter`.

        People are asked no longer on behalf of somebody who may not ask; with a key it stays,
        as the caller may come back for it.
        """
        self._disarm()
        question = self._question
        if question is not None and not self._call.done:
            self._router.forget(question.id, self)
            self._call.refuse(ended())
            if self._on_cancelled is not None and not question.idempotency_key:
                self._on_cancelled(question, self._call)

    def departed(self, departure: Departure) -> None:
        """Nobody waits any more; see `gateway.mcp.call.Waiting`."""
        self._disarm()
        question = self._question
        assert question is not None
        self._router.forget(question.id, self)
        if departure is Departure.CANCELLED and self._on_cancelled is not None:
            self._on_cancelled(question, self._call)

    def progress(self) -> Progress | None:
        """Return how long this has waited, of how long at most."""
        question = self._question
        assert question is not None
        online = self._online(question)
        return Progress(
            round(max(0.0, self._router.clock() - question.created_at), 3),
            round(question.deadline - question.created_at, 3),
            f"waiting for a person, {online} {'frontend' if online == 1 else 'frontends'} online",
        )

    def _online(self, question: Question) -> int:
        return len(self._router.hub.matching(question.tenant, question.audience))

    def _enough(self) -> None:
        question = self._question
        if question is not None and not self._call.done:
            self._router.forget(question.id, self)
            self._call.finish(open_result(question, self._online(question)))

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
