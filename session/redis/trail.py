"""The audit record in Redis, as the command line reads it, and changes it.

`session.redis.audit` writes it. An entry's position is the id that Redis gave it, by its
own clock; entries of several gateways stand in the order in which they arrived.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

from session.redis import keys
from session.redis.address import Address
from session.redis.blocking import SECONDS, connected

_PAGE: Final = 1_000
# Entries may come at any time, and the connection must not look dead meanwhile.
_BLOCK_MILLISECONDS: Final = int(SECONDS * 1000 / 2)
# KEYS: the record. ARGV: a position, what shall be there no more but at the end.
_REPLACE: Final = """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('XADD', KEYS[1], '*', 'e', ARGV[2])
return 1
"""


@final
class RedisTrail:
    """The records of a deployment.

    Raises, from every method:
        StoreUnavailableError: Redis cannot be reached, or refuses; the message says why.
    """

    def __init__(self, address: Address) -> None:
        self._address = address

    def exists(self, tenant: str) -> bool:
        """Whether there is a record of a tenant."""
        with connected(self._address) as connection:
            return bool(connection.exists(keys.audit(tenant)))

    def entries(self, tenant: str, since: float = 0.0) -> Iterator[tuple[str, bytes]]:
        """Return position and entry of what arrived ``since`` (Redis's clock), oldest first."""
        after = f"{int(since * 1000)}"
        with connected(self._address) as connection:
            while page := connection.xrange(keys.audit(tenant), min=after, count=_PAGE):
                for position, fields in page:
                    yield position.decode(), fields[b"e"]
                after = f"({page[-1][0].decode()}"

    def follow(self, tenant: str, after: str) -> Iterator[tuple[str, bytes]]:
        """Return what comes after a position, as it arrives; this does not end."""
        with connected(self._address) as connection:
            while True:
                found = connection.xread({keys.audit(tenant): after}, block=_BLOCK_MILLISECONDS)
                for _, page in found:
                    for position, fields in page:
                        after = position.decode()
                        yield after, fields[b"e"]

    def append(self, tenant: str, entry: bytes) -> None:
        """Append an entry; gateways see to the length."""
        with connected(self._address) as connection:
            connection.xadd(keys.audit(tenant), {b"e": entry})

    def replace(self, tenant: str, position: str, entry: bytes) -> bool:
        """Delete an entry and append another one, or return `False` if it is gone already."""
        with connected(self._address) as connection:
            return bool(connection.eval(_REPLACE, 1, keys.audit(tenant), position, entry))
