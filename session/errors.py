"""What can go wrong with sessions and questions.

    SessionError
     +-- IllegalStepError       a step that cannot follow the question's state
     +-- TooManyPendingError    a pending cap is reached; try again later
     +-- TooManySessionsError   the cap on MCP sessions is reached; try again later
     +-- StoreUnavailableError  the store cannot be reached; try again later

Pure module. `gateway.errors` alone turns these into wire codes.
"""

from __future__ import annotations


class SessionError(Exception):
    """Anything this package raises on purpose."""


class IllegalStepError(SessionError):
    """A step that cannot follow the state a question is in."""

    def __init__(self, state: str, step: str) -> None:
        super().__init__(f"a question that is {state} cannot {step}")
        self.state = state
        self.step = step


class TooManyPendingError(SessionError):
    """A cap on open questions is reached: ``scope`` says which, ``limit`` how many."""

    def __init__(self, scope: str, limit: int) -> None:
        super().__init__(
            f"{limit} questions are already waiting in this {scope}; "
            "wait for answers, cancel some, or raise the limit"
        )
        self.scope = scope
        self.limit = limit


class TooManySessionsError(SessionError):
    """The cap on callers' sessions is reached."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} MCP sessions are already open; end some (DELETE), wait for idle ones "
            "to end, or raise the limit"
        )
        self.limit = limit


class StoreUnavailableError(SessionError):
    """The store cannot be reached now; nothing was accepted. Try again."""
