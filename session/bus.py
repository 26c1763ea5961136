"""The contract of every bus: what one instance hears of the others.

At most once, unordered, never the truth: what is heard carries ids, and the receiver
reads the store. A store that is shared wakes the other instances itself, in the same
atomic step as each change, and finds by its sweep what the bus lost; what people are
only told is stored nowhere and goes over the bus alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from session.model import Audience, Outcome, Question
from session.store import Listed


class BusReceiver(Protocol):
    """What is called, synchronously, as other instances do something."""

    def question_opened(self, listed: Listed) -> None:
        """A question waits for its audience, and this instance may show it.

        Heard again when its last holder is gone or has let go of it.
        """

    def question_given(self, question: Question) -> None:
        """A question of delivery `one` is this instance's to show: whoever asked gave it.

        The store has it as if `hold` had returned it here.
        """

    def question_settled(self, tenant: str, question_id: str, outcome: Outcome | None) -> None:
        """A question has its outcome, which the store has if it is not told here."""

    def notified(self, tenant: str, audience: Audience, notification: bytes) -> None:
        """People are told something; carried whole, as it is stored nowhere."""

    def tools_changed(self, tenant: str) -> None:
        """What a tenant's frontends offer may be another than it was."""

    def presence_changed(self, tenant: str) -> None:
        """Others of a tenant's frontends may be connected than were; of any, if it is empty."""

    def progressed(self, tenant: str, call_id: str, progress: bytes) -> None:
        """A call of a tool is on its way; carried whole, as it is stored nowhere."""

    def responded(self, inquiry_id: str, response: bytes) -> None:
        """A caller answers what an instance asked it; carried whole, as it is stored nowhere."""

    def session_changed(self, session_id: str) -> None:
        """A caller's session has other subscriptions or streams than it had, or has ended."""

    def cancelled(self, session_id: str, cancellation: bytes) -> None:
        """A caller's session gives up calls; carried whole, as it is stored nowhere."""

    def missed(self, concerns: Callable[[str], bool]) -> None:
        """Anything may have happened to the questions and sessions whose ids this concerns.

        Also to what was said of who is connected, which is in no place of theirs.
        """

    def forgotten(self) -> None:
        """The others took this instance for dead: who is connected here must be said anew."""


class Bus(Protocol):
    """Carries what is said to all other instances.

    Nothing waits: what cannot be sent is dropped and counted.
    """

    def subscribe(self, receiver: BusReceiver) -> None:
        """Have ``receiver`` hear every other instance from now on."""

    def decline(self) -> float:
        """Have no other instance give questions to this one.

        Returns the seconds after which none will.
        """
        ...

    def notify(self, tenant: str, audience: Audience, notification: bytes) -> None:
        """Have every other instance tell its people something."""

    def presence(self, tenant: str) -> bool:
        """Have every other instance hear that other frontends of a tenant are connected.

        Of any tenant, if it is empty. Returns whether it was sent.
        """
        ...

    def progress(self, tenant: str, call_id: str, progress: bytes) -> None:
        """Have every other instance hear how far a call of a tool is."""

    def session(self, session_id: str) -> None:
        """Have every other instance hear that a session's subscriptions or streams are others.

        Also that it is over. Who misses it finds out the next time that it looks at the session.
        """

    def cancel(self, session_id: str, cancellation: bytes) -> None:
        """Have every other instance hear which calls a session gives up, at most once.

        Who misses it goes on with them.
        """

    def respond(self, inquiry_id: str, response: bytes) -> bool:
        """Have every other instance hear what a caller answers, at most once.

        Whoever asked takes it. Returns whether it was sent.
        """
        ...
