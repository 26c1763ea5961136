"""The bus of one process alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from session.model import Audience


@final
class MemoryBus:
    """The bus of a process that is alone: there is nobody to wake.

    See `session.bus.Bus`.
    """

    def subscribe(self, receiver: object) -> None:
        """Nobody will ever call ``receiver``."""

    def decline(self) -> float:
        """There is no other instance."""
        return 0.0

    def notify(self, tenant: str, audience: Audience, notification: bytes) -> None:
        """Tell nobody."""

    def presence(self, tenant: str) -> bool:  # noqa: ARG002 - nobody is told
        """Tell nobody."""
        return True

    def progress(self, tenant: str, call_id: str, progress: bytes) -> None:
        """Tell nobody."""

    def session(self, session_id: str) -> None:
        """Tell nobody."""

    def cancel(self, session_id: str, cancellation: bytes) -> None:
        """Tell nobody."""

    def respond(self, inquiry_id: str, response: bytes) -> bool:  # noqa: ARG002 - nobody is told
        """Tell nobody."""
        return True
