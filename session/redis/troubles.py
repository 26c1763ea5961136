"""What is wrong with a Redis, and what to do about it: in the same words from whoever asks it.

It judges what was said, and asks nobody itself.
"""

from __future__ import annotations

import ssl
from typing import Final, NamedTuple

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from session.redis.address import Address
from session.redis.replies import meaning_of

#: What a server is that another kind of address is for.
IS_OF_CLUSTER: Final = "it is a node of a cluster; write redis+cluster:// instead of redis://"
IS_NOT_OF_CLUSTER: Final = (
    "it is not a node of a cluster; write redis:// instead of redis+cluster://"
)
_TOO_OLD: Final = "use Redis 7.0 or later, or Valkey"


class Trouble(NamedTuple):
    """A sentence that says what to do; ``is_permanent`` if a person has to."""

    said: str
    is_permanent: bool


def refusal(where: str, error: RedisError, address: Address) -> Trouble:
    """Return what it means that a server said this to who came by an address."""
    text = str(error)
    if isinstance(error, NoPermissionError):
        # redis-py takes the code off.
        said = f"NOPERM {text.removeprefix('NOPERM ')}"
        return Trouble(f"{where}: {meaning_of(said, address.user)}", is_permanent=True)
    if isinstance(error, AuthenticationError) or "AUTH" in text or text.startswith("WRONGPASS"):
        return Trouble(
            f"{where} does not accept the user and password ({text}); "
            "name a file with the password by --redis-password-file, and the user as in "
            "redis://user@host",
            is_permanent=True,
        )
    if text.startswith("DENIED"):
        return Trouble(f"{where} is in protected mode; set a password", is_permanent=True)
    if "unknown command" in text.lower() or text.startswith("NOPROTO"):
        return Trouble(f"{where} is too old ({text}); {_TOO_OLD}", is_permanent=True)
    if "DB index" in text:
        return Trouble(
            f"{where} has no database {address.db} ({text}); name one that it has, as in "
            "redis://host:port/0, or raise `databases` in its configuration",
            is_permanent=True,
        )
    return Trouble(
        f"{where} refuses us ({text}); look at its log and its configuration", is_permanent=False
    )


def too_old(version: str) -> str:
    """Return what it means that a server has this version."""
    return f"it is version {version}; {_TOO_OLD}"


def not_understood(where: str, error: Exception) -> Trouble:
    """Return what it means that what came was no reply."""
    if isinstance(error, ssl.SSLError):
        said = (
            f"TLS failed ({error}); name the authority with ?ssl_ca_certs=, or write "
            "redis:// if it has no TLS"
        )
    else:
        said = (
            f"what answers there is no Redis ({error}); look at the port, and write "
            "rediss:// if it wants TLS"
        )
    return Trouble(f"{where}: {said}", is_permanent=True)


def unreached(where: str, error: OSError) -> Trouble:
    """Return what it means that nobody listens."""
    return Trouble(
        f"{where} cannot be reached ({error}); start it, or name another", is_permanent=False
    )


def silent(where: str, *, has_tls: bool) -> Trouble:
    """Return what it means that nothing came."""
    tls = ", and that it has TLS" if has_tls else ""
    return Trouble(f"{where} did not answer in time; look that it is up{tls}", is_permanent=False)


def closed(where: str) -> Trouble:
    """Return what it means that the server ended the connection."""
    return Trouble(
        f"{where} closed the connection; write rediss:// if it wants TLS, and look at its "
        "maxclients and its log",
        is_permanent=False,
    )
