"""What those have in common who want to know how a question ends.

A contract: calls that wait, and watches of streams, keep to it. Those who wait are not idle,
are waited for as the process goes away, and end with their credential. A watch is a part of
its stream, of which all of this is true already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from session.model import Outcome, Principal, Question


class Waiter(Protocol):
    """Somebody who wants to know how a question ends."""

    def settled(self, question: Question, outcome: Outcome) -> None:
        """Hear the outcome: once, later, and never from inside the call that asked."""

    def put_off(self) -> None:
        """This instance goes away; the question stays, and others know it."""

    @property
    def waits(self) -> bool:
        """Whether it waits itself; not if it is a part of a stream, which is seen to."""

    @property
    def session_id(self) -> str:
        """The session that waits, whoever's the question is; empty for none."""

    @property
    def principal(self) -> Principal:
        """Who waits."""

    def cut_off(self) -> None:
        """The credential of whoever waits is not good any more."""
