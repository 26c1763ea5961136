"""What must outlive a process: sessions, questions, drafts and presence.

This is the front door. `model`, `lifecycle` and `errors` are pure and may be
imported directly as well.
"""

from session.bus import Bus, BusReceiver
from session.memory import MemoryBus, MemoryStatistics, MemoryStore
from session.memory import Settings as MemorySettings
from session.store import Admission, Found, Settlement, Store

__all__ = [
    "Admission",
    "Bus",
    "BusReceiver",
    "Found",
    "MemoryBus",
    "MemorySettings",
    "MemoryStatistics",
    "MemoryStore",
    "Settlement",
    "Store",
]
