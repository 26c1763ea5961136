"""API keys in Redis, as the command line changes them: by redis-py, one command at a time.

What `session.redis.credentials` reads is written here. Every change and the new version
that tells of it are one script, so no gateway sees one without the other.
"""

from __future__ import annotations

import secrets
from typing import Any, Final, final

from redis.exceptions import RedisClusterException, RedisError

from session.errors import UnreplicatedError
from session.redis import keys
from session.redis.address import Address
from session.redis.blocking import SECONDS, connected

# KEYS: the keys, their version. ARGV: an id, its record, the new version, the most of them.
_PUT: Final = """
local is_new = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0
if is_new and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
return 1
"""
# The connection must not look dead meanwhile.
_WAIT_MILLISECONDS: Final = int(SECONDS * 1000 / 2)


@final
class RedisKeyring:
    """The keys of a deployment.

    Raises, from every method:
        StoreUnavailableError: Redis cannot be reached, or refuses; the message says why.
    """

    def __init__(self, address: Address) -> None:
        self._address = address

    def records(self) -> list[bytes]:
        """Return what is kept of every key."""
        with connected(self._address) as connection:
            return list(connection.hvals(keys.API_KEYS))

    def put(self, key_id: str, record: bytes, most: int) -> bool:
        """Write a key's record; `False` when there are as many as there may be.

        It returns when a replica has it, where there are any: a revocation that only a
        primary knows is undone by a failover.

        Raises:
            UnreplicatedError: it is written, but it is not known that a replica has it.
        """
        version = secrets.token_hex(8)
        put = (_PUT, 2, keys.API_KEYS, keys.API_KEYS_VERSION, key_id, record, version, most)
        with connected(self._address) as connection:
            if not connection.eval(*put):
                return False
            try:
                is_safe = self._reaches_a_replica(connection, put)
            except (RedisError, RedisClusterException, OSError) as error:
                words = f"whether a replica of Redis has it is not known ({error})"
                raise UnreplicatedError(words) from None
        if not is_safe:
            raise UnreplicatedError("no replica of Redis has it yet: a failover now would undo it")
        return True

    def _reaches_a_replica(self, connection: Any, put: tuple[Any, ...]) -> bool:
        node = connection
        if self._address.cluster:
            # Whoever has the slot now: the command before followed all redirections.
            node = connection.get_redis_connection(connection.get_node_from_key(keys.API_KEYS))
        told = node.info("replication")
        # A replica that is away is not counted; that there was one lately, the backlog tells.
        if not (told.get("connected_slaves") or told.get("repl_backlog_active")):
            return True
        # WAIT is about what its own connection wrote. So both go together, also when they
        # are sent again; to write the same twice does no harm.
        with node.pipeline(transaction=False) as both:
            both.eval(*put)
            both.wait(1, _WAIT_MILLISECONDS)
            replicas: int = both.execute()[1]
        return replicas > 0
