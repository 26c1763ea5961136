"""What must outlive a process: sessions, questions, drafts and presence.

This is the front door. `model`, `lifecycle` and `errors` are pure and may be
imported directly as well.
"""

from session.asides import Tally, voter_of
from session.audit import AuditTrail, MemoryAudit
from session.bus import Bus, BusReceiver
from session.credentials import Credentials, MemoryCredentials
from session.memory import MemoryStatistics, MemoryStore
from session.memory_bus import MemoryBus
from session.memory_settings import Settings as MemorySettings
from session.quotas import MemoryQuotas, Quotas
from session.receipts import MemoryReceipts, Receipts
from session.redis.address import Address as StoreAddress
from session.redis.address import parse_address as parse_store_address
from session.redis.settings import Settings as RedisSettings
from session.store import Admission, Found, Heard, Listed, Listening, Settlement, Store
from session.tools import MemoryTools, Offered, Tools

__all__ = [
    "Admission",
    "AuditTrail",
    "Bus",
    "BusReceiver",
    "Credentials",
    "Found",
    "Heard",
    "Listed",
    "Listening",
    "MemoryAudit",
    "MemoryBus",
    "MemoryCredentials",
    "MemoryQuotas",
    "MemoryReceipts",
    "MemorySettings",
    "MemoryStatistics",
    "MemoryStore",
    "MemoryTools",
    "Offered",
    "Quotas",
    "Receipts",
    "RedisSettings",
    "Settlement",
    "Store",
    "StoreAddress",
    "Tally",
    "Tools",
    "parse_store_address",
    "voter_of",
]
