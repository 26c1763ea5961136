"""What errors of Redis mean: whether to try again, and which exception they are.

Pure module. For the client's own commands the exceptions are redis-py's; for all others
its border is here, and they are this package's.
"""

from __future__ import annotations

from typing import Final

from redis import exceptions

from session.errors import StoreFullError, StoreUnavailableError

#: The node does not serve the command now; it was not done, so trying again is safe.
TRANSIENT: Final = frozenset(
    {"TRYAGAIN", "CLUSTERDOWN", "LOADING", "READONLY", "MASTERDOWN", "NOREPLICAS", "BUSY"}
)
#: Those that give reason to ask who serves what.
UNSETTLED: Final = frozenset({"CLUSTERDOWN", "READONLY", "MASTERDOWN"})

_CLASSES: Final[dict[str, type[exceptions.RedisError]]] = {
    "OOM": exceptions.OutOfMemoryError,
    "NOPERM": exceptions.NoPermissionError,
    "NOAUTH": exceptions.AuthenticationError,
    "WRONGPASS": exceptions.AuthenticationError,
    "CROSSSLOT": exceptions.ClusterCrossSlotError,
    "NOSCRIPT": exceptions.NoScriptError,
    "READONLY": exceptions.ReadOnlyError,
    "LOADING": exceptions.BusyLoadingError,
    "CLUSTERDOWN": exceptions.ClusterDownError,
}
# Of an error, in a log.
_SHOWN: Final = 300


def code_of(text: str) -> str:
    """Return the first word, which says what kind of error it is."""
    return text.partition(" ")[0]


def error_of(text: str) -> exceptions.RedisError:
    """Return the exception of an error reply."""
    return _CLASSES.get(code_of(text), exceptions.ResponseError)(text)


def meaning_of(text: str, user: str) -> str:
    """Return what an error that does not pass by itself means, for who runs the store.

    ``user``: who was refused; empty for the default one.
    """
    # What follows was sent by us: a question, perhaps.
    said = text.partition(", with args")[0][:_SHOWN]
    if code_of(text) == "NOPERM":
        return (
            f"user {user or 'default'} may not do what is needed ({said}); grant it what "
            "session/redis/README.md lists under Permissions, on every node"
        )
    if code_of(text) == "OOM":
        return f"its memory is full ({said}); raise its maxmemory, or see what else is in it"
    return f"it refuses what is needed ({said}); look at its log, and at what else uses it"


def refusal_of(text: str) -> StoreUnavailableError:
    """Return what is said when Redis refuses a command, for people."""
    if code_of(text) == "OOM":
        return StoreFullError()
    return StoreUnavailableError(f"The store refuses: {text}.")
