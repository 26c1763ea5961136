"""Answers that take more than being first: those of several people, and approvals.

The store counts the answers of several: whoever gives the last one settles the question, and
who gave one is not asked again. An approval is signed before it settles anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

import msgspec

from gateway.approvals import APPROVE
from gateway.offers import ACCEPTED, Ack, ack_of, lost_to, refused
from session import voter_of
from session.asides import polled, summary
from session.model import Ballot, Outcome, State

if TYPE_CHECKING:
    from gateway.offers import Recipient
    from gateway.router import Router
    from session import Tally
    from session.model import Question

# However many answer, each may say so much.
_LEAST: Final = 256


def has_answered(recipient: Recipient | None, answers: Sequence[Ballot]) -> bool:
    """Whether one of these answers is that of the person at a frontend."""
    if recipient is None or not answers:
        return False
    voter = voter_of(recipient.frontend_id, recipient.user)
    return any(voter_of(ballot.by, ballot.by_user) == voter for ballot in answers)


@final
class Decisions:
    """Takes such answers."""

    __slots__ = ("_router",)

    def __init__(self, router: Router) -> None:
        self._router = router

    async def take(self, question: Question, outcome: Outcome, recipient: Recipient) -> Ack:
        """Take a valid answer, and settle the question if that is all it takes."""
        if question.approval is not None and outcome.answer != APPROVE:
            # Whoever says no has said it for all.
            by, user = outcome.by, outcome.by_user
            outcome = Outcome(State.REJECTED, outcome.at, by=by, by_user=user)
            settled = await self._router.settle(question, outcome, recipient)
        elif question.quorum:
            return await self._add(question, outcome, recipient)
        else:
            outcome = await self._signed(question, outcome, (outcome.by_user or outcome.by,))
            settled = await self._router.settle(question, outcome, recipient)
        return ack_of(settled, outcome.state)

    async def _add(self, question: Question, outcome: Outcome, recipient: Recipient) -> Ack:
        """Add one answer to those of others."""
        router = self._router
        most = max(_LEAST, router.settings.answer_bytes // question.quorum)
        if len(msgspec.json.encode((outcome.answer, outcome.content))) > most:
            # All of them together may be as long as one alone.
            return Ack("invalid", f"An answer to this question may have {most} bytes.")
        voter = voter_of(recipient.frontend_id, recipient.user)
        ballot = Ballot(outcome.at, outcome.by, outcome.by_user, outcome.answer, outcome.content)
        tally = await router.store.vote(question, voter, ballot)
        if tally is None:
            return refused(None)
        if tally.outcome is not None:
            return lost_to(tally.outcome)
        if len(tally.answers) >= question.quorum:
            return await self._end(question, tally, recipient)
        if not tally.fresh:
            return Ack("duplicate", "You have answered this; others are asked, too.", State.OPEN)
        self._take_from(voter, question, outcome, recipient)
        missing = question.quorum - len(tally.answers)
        people = "one more person is" if missing == 1 else f"{missing} more people are"
        return Ack("accepted", f"Thank you; {people} to answer.", State.OPEN)

    async def _end(self, question: Question, tally: Tally, recipient: Recipient) -> Ack:
        """Settle a question that all have answered; another instance may do the same."""
        answers = tally.answers
        outcome = polled(question, answers)
        if outcome is None:
            last, words = answers[-1], summary(question, answers)
            outcome = Outcome(State.ANSWERED, last.at, words, None, last.by, last.by_user)
            approvers = tuple(ballot.by_user or ballot.by for ballot in answers)
            outcome = await self._signed(question, outcome, approvers)
        settled = await self._router.settle(question, outcome, recipient)
        if settled is not None and settled.won and tally.fresh:
            return ACCEPTED
        return refused(settled)

    async def _signed(
        self, question: Question, outcome: Outcome, approvers: tuple[str, ...]
    ) -> Outcome:
        approvals = self._router.approvals
        if approvals is None:
            return outcome
        return await approvals.signed(question, outcome, approvers)

    def _take_from(
        self, voter: str, question: Question, outcome: Outcome, recipient: Recipient
    ) -> None:
        """Take a question from all frontends here of somebody who has answered it."""
        offer = self._router.offers.get(question.id)
        if offer is None:
            return
        for holder in list(offer.holders):
            if voter_of(holder.frontend_id, holder.user) == voter:
                self._router.dispatch.take(offer, holder)
                if holder is not recipient:
                    holder.withdraw(offer, "answered", outcome)
