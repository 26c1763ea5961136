"""The contract of every bus: wake-ups between instances.

At most once, unordered, never the truth: a wake-up carries ids, the receiver
reads the store, and a sweep finds what the bus lost. An instance does not hear
its own wake-ups.
"""

from __future__ import annotations

from typing import Protocol

from session.model import Audience


class BusReceiver(Protocol):
    """What another instance's wake-ups call, synchronously."""

    def question_opened(self, tenant: str, question_id: str) -> None:
        """A question waits for its audience."""

    def question_settled(self, tenant: str, question_id: str) -> None:
        """A question has its outcome."""

    def notified(self, tenant: str, audience: Audience, notification: bytes) -> None:
        """People are told something; carried whole, as it is stored nowhere."""


class Bus(BusReceiver, Protocol):
    """Passes what it is told on to every other instance.

    Nothing waits: what cannot be sent is dropped and counted.
    """

    def subscribe(self, receiver: BusReceiver) -> None:
        """Have ``receiver`` hear every other instance from now on."""
