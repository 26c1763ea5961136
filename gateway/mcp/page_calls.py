"""What a call that waits for a web page holds on to.

The call is in the store and goes on without this wait: a page that reloads is called
again, and a caller that resumes its stream finds it. It refuses to choose a page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from gateway.mcp.call import Call, Departure, Progress
from gateway.mcp.refusals import ended
from gateway.mcp.results import Encoded, ToolResult, text
from gateway.tool_calls import page_of
from pool.workers import QueueFullError
from session.errors import StoreUnavailableError
from session.model import Outcome, Principal, Question, State

if TYPE_CHECKING:
    from gateway.mcp.page_tools import PageTools
    from gateway.tool_calls import PageProgress
    from pool.connection import Callback
    from pool.timers import Timer

#: Who ends a call whose page does not come back.
GATEWAY: Final = "gateway"
_GONE: Final = "the page that was called has gone; whether it did what it was asked to is not known"
_LEFT: Final = "the caller no longer waits for it"
_LOOKS: Final = 4.0
# What a page says of its progress is more than this, however long it takes to say it.
_WAITED: Final = 1e-6


def ended_result(question: Question, outcome: Outcome) -> ToolResult | Encoded:
    """Return how a call reads that has ended: what the page returned, as it is."""
    if outcome.state is State.ANSWERED:
        return Encoded(outcome.answer.encode())
    if outcome.state is State.TIMED_OUT:
        seconds = question.deadline - question.created_at
        words = (
            f"{question.tool} did not return within {seconds:g} seconds. Whether the page did "
            "what it was asked to is not known."
        )
        return text(words, is_error=True)
    because = f": {outcome.reason.removesuffix('.')}" if outcome.reason else ""
    how = "was cancelled" if outcome.state is State.CANCELLED else "was declined by the page"
    return text(f"The call of {question.tool} {how}{because}.", is_error=True)


@final
class CallWait:
    """A call that waits for the result of one page; a `gateway.waiters.Waiter`."""

    __slots__ = ("_absent_since", "_call", "_counted", "_pages", "_question", "_timer", "_told")

    def __init__(self, call: Call, pages: PageTools) -> None:
        self._call = call
        self._pages = pages
        self._question: Question | None = None
        self._counted: tuple[str, str] | None = None
        self._timer: Timer[Callback] | None = None
        self._told: Progress | None = None
        self._absent_since: float | None = None

    def count(self, tenant: str, frontend_id: str) -> None:
        """Be one of the calls of a page that are under way, until this is over or given back."""
        key = self._counted = (tenant, frontend_id)
        under_way = self._pages.under_way
        under_way[key] = under_way.get(key, 0) + 1

    def give_back(self) -> None:
        """Be none of those any more, unless the wait has begun."""
        if self._question is None:
            self._uncount()

    def begin(self, question: Question) -> None:
        """The call is with its page: wait, unless it has ended meanwhile."""
        call = self._call
        if call.done and not call.departed:
            return
        self._question = question
        pages = self._pages
        pages.calls.listeners[question.id] = self.progressed
        frontend_id = page_of(question)
        if self._counted != (question.tenant, frontend_id):
            # It goes on with a call that was there, maybe of another page than was chosen.
            self._uncount()
            self.count(question.tenant, frontend_id)
        self._look_later()
        call.wait_for(self, question.id)

    def settled(self, question: Question, outcome: Outcome) -> None:
        """Hear the outcome; see `gateway.waiters.Waiter`."""
        self._over()
        if not self._call.done:
            self._call.finish(ended_result(question, outcome))

    def put_off(self) -> None:
        """Have the caller go on elsewhere; see `gateway.waiters.Waiter`."""
        self._over()
        call = self._call
        if not call.done and not call.break_off():
            words = "The gateway is shutting down, and the call goes on. Please look at its effect."
            call.finish(text(words, is_error=True))

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
        """Have the caller come back with a credential; see `gateway.waiters.Waiter`."""
        self._leave()
        if not self._call.done:
            self._call.refuse(ended())

    def departed(self, departure: Departure) -> None:
        """Nobody waits any more; see `gateway.mcp.call.Waiting`."""
        question, call = self._question, self._call
        self._leave()
        if departure is Departure.CANCELLED and question is not None:
            by = call.caller_name or call.principal.subject
            self._pages.cancel_soon(question, call, _LEFT, by)

    def progress(self) -> Progress | None:
        """Return what the page said last; before that, that time passes."""
        question = self._question
        if question is None:
            return None
        waited = self._pages.router.clock() - question.created_at
        return self._told or Progress(max(0.0, waited) * _WAITED, None, "waiting for the page")

    def progressed(self, progress: PageProgress) -> None:
        """Hear how far the page is."""
        self._told = Progress(progress.done, progress.total, progress.message)
        self._call.progress(self._told)

    # -- whether its page is still there

    def _look_later(self) -> None:
        pages = self._pages
        seconds = pages.settings.return_seconds / _LOOKS
        self._timer = pages.timers.arm(seconds, self._look)

    def _look(self) -> None:
        question = self._question
        if question is None:
            return
        self._look_later()
        try:
            self._pages.workers.start(question.tenant, self._look_for_page(question))
        except QueueFullError:
            # The next look is soon enough.
            return

    async def _look_for_page(self, question: Question) -> None:
        pages = self._pages
        try:
            offered = await pages.tools.of(question.tenant)
        except StoreUnavailableError:
            self._absent_since = None
            return
        frontend_id = page_of(question)
        now = pages.router.clock()
        if any(
            offer.frontend_id == frontend_id and question.tool in offer.tools
            for offer in offered.offers
        ):
            self._absent_since = None
        elif self._absent_since is None:
            self._absent_since = now
        elif now - self._absent_since >= pages.settings.return_seconds and self._question:
            pages.cancel_soon(question, self._call, _GONE, GATEWAY)

    # -- the end

    def _leave(self) -> None:
        question = self._question
        if question is not None:
            self._pages.router.forget(question.id, self)
        self._over()

    def _over(self) -> None:
        question, self._question = self._question, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pages = self._pages
        if question is not None and pages.calls.listeners.get(question.id) == self.progressed:
            del pages.calls.listeners[question.id]
        self._uncount()

    def _uncount(self) -> None:
        key, self._counted = self._counted, None
        if key is not None:
            under_way = self._pages.under_way
            left = under_way[key] - 1
            if left:
                under_way[key] = left
            else:
                del under_way[key]
