"""Redis for commands that a person types: by redis-py, one command after the other.

Gateways never wait like this; they have a client of their own (`session.redis.client`).
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any, Final

import redis
from redis.backoff import ExponentialBackoff
from redis.cluster import ClusterNode
from redis.exceptions import (
    InvalidResponse,
    MovedError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from session.errors import StoreUnavailableError
from session.redis import troubles
from session.redis.address import Address
from session.redis.troubles import Trouble

# What redis-py says of it, and nothing else tells it from a refusal.
_CLOSED: Final = "Connection closed by server."
#: How long a reply may take.
SECONDS: Final = 5.0
# Somebody waits: a restart is waited for, but who is not there is soon said not to be.
_RETRIES: Final = 3
_BACKOFF: Final = ExponentialBackoff(cap=0.5, base=0.1)


@contextlib.contextmanager
def connected(address: Address) -> Iterator[Any]:
    """Connect to a Redis or a cluster; give redis-py's object for it.

    Raises:
        StoreUnavailableError: Redis cannot be reached, or refuses; the message says why, and
            what to do.
    """
    try:
        with _opened(address) as connection:
            yield connection
    except (redis.RedisError, RedisClusterException, OSError) as error:
        raise StoreUnavailableError(_trouble(address, error).said) from None


def _trouble(address: Address, error: BaseException) -> Trouble:
    """Return what an error means for people: what it came from says more than itself."""
    where = str(address)
    for found in _origins(error):
        trouble = _on_the_way(address, where, found)
        if trouble is None and isinstance(found, RedisError):
            trouble = _reply(address, where, found)
        if trouble is not None:
            return trouble
    return Trouble(f"{where} cannot be used: {error}", is_permanent=False)


def _on_the_way(address: Address, where: str, error: BaseException) -> Trouble | None:
    trouble: Trouble | None = None
    if isinstance(error, (ssl.SSLError, InvalidResponse)):
        trouble = troubles.not_understood(where, error)
    elif isinstance(error, (TimeoutError, redis.TimeoutError)):
        trouble = troubles.silent(where, has_tls=address.tls is not None)
    elif isinstance(error, OSError):
        trouble = troubles.unreached(where, error)
    elif isinstance(error, redis.ConnectionError) and str(error) == _CLOSED:
        trouble = troubles.closed(where)
    return trouble


def _reply(address: Address, where: str, error: RedisError) -> Trouble:
    if isinstance(error, MovedError):
        return Trouble(f"{where}: {troubles.IS_OF_CLUSTER}", is_permanent=True)
    if isinstance(error, ResponseError) and "cluster support disabled" in str(error):
        return Trouble(f"{where}: {troubles.IS_NOT_OF_CLUSTER}", is_permanent=True)
    return troubles.refusal(where, error, address)


def _origins(error: BaseException) -> list[BaseException]:
    """Return what an error came from, the first of them first, and itself last."""
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    return chain[::-1]


def _opened(address: Address) -> Any:
    options: dict[str, Any] = {
        # What replies look like; servers have both since 6.0.
        "protocol": 2,
        "username": address.user or None,
        "password": address.password or None,
        "socket_timeout": SECONDS,
        "socket_connect_timeout": SECONDS,
        "retry": Retry(_BACKOFF, _RETRIES),
    }
    if address.tls is not None:
        options |= {
            "ssl": True,
            "ssl_ca_certs": address.tls.ca_certs or None,
            "ssl_certfile": address.tls.certfile or None,
            "ssl_keyfile": address.tls.keyfile or None,
            "ssl_check_hostname": address.tls.check_hostname,
            "ssl_cert_reqs": "required" if address.tls.verify else "none",
        }
    if address.cluster:
        nodes = [ClusterNode(*place) for place in address.seeds]  # type: ignore[no-untyped-call]  # theirs
        return redis.RedisCluster(startup_nodes=nodes, **options)
    host, port = address.seeds[0]
    return redis.Redis(host=host, port=port, db=address.db, **options)
