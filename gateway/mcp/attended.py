"""A session that has a stream at this instance, and what is watched for it there.

Pure module: `gateway.mcp.session_watches` says when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from gateway.mcp.watching import Watches

if TYPE_CHECKING:
    from session.model import McpSession, Principal


@final
class Attended:
    """A session that has a stream here."""

    __slots__ = (
        "changes",
        "is_looking",
        "is_shared",
        "not_served",
        "order",
        "principal",
        "session",
        "watches",
    )

    def __init__(self, session: McpSession, principal: Principal) -> None:
        self.session = session
        #: Who opened the stream that is told things: its credential says what may be.
        self.principal = principal
        self.watches = Watches()
        #: To what it has subscribed, and what is not there for this principal.
        self.not_served: set[str] = set()
        #: Counts what makes worthless what was read of it.
        self.changes = 0
        self.is_looking = False
        #: What the store knows of its streams here, and whether it has any at other instances.
        self.order = 0
        self.is_shared = False

    def follow(self, principal: Principal) -> None:
        """Have the credential of a stream say what may be told; the store is to be read then."""
        if not may_alike(self.principal, principal):
            self.watch_nothing()
        self.changes += 1
        self.principal = principal
        self.not_served.clear()

    def watch_nothing(self) -> None:
        """Watch nothing until the store is read, and then all as if for the first time."""
        for uri in self.watches:
            self.watches.drop(uri)
        self.not_served.clear()


def may_alike(one: Principal, other: Principal) -> bool:
    """Whether two credentials of a session's subject may see the same."""
    return one.scopes == other.scopes and one.groups == other.groups
