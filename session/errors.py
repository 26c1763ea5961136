"""What can go wrong with sessions and questions.

    SessionError
     +-- IllegalStepError       a step that cannot follow the question's state
     +-- TooManyPendingError    a pending cap is reached; try again later
     +-- TooManySessionsError   the cap on MCP sessions is reached; try again later
     +-- StoreUnavailableError  the store cannot be reached; try again later
     |    +-- StoreFullError         it has no room for what is new
     |    +-- NoReplyError           whether it was done is not known
     |    +-- UnreplicatedError      it is done, but a failover would undo it
     +-- StoreUnusableError     the store cannot be used as it is: somebody has to act

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
    """The store cannot be reached now, or refuses. Try again: what is asked twice is done once.

    The message is for operators; what callers and people are told is `gateway.errors`' to say.
    """


class StoreFullError(StoreUnavailableError):
    """The store has no room for what is new; what is there goes on. The message is for callers."""

    def __init__(self) -> None:
        super().__init__(
            "The store's memory is full: no new question is accepted until others have ended. "
            "Try again in a moment."
        )


class NoReplyError(StoreUnavailableError):
    """The store did not answer in time: whether what was asked for is done is not known."""


class UnreplicatedError(StoreUnavailableError):
    """What was asked for is done, but no replica is known to have it: a failover undoes it."""


class StoreUnusableError(SessionError):
    """The store cannot be used as it is; the message says what to do."""
