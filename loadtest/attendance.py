"""Who of all people and callers is connected yet, by what the processes of the load tell.

It keeps no clock, and refuses to judge how long connecting may take; it says only
when waiting for more is in vain.
"""

from __future__ import annotations

import re
from typing import Final

from loadtest.orders import Connected, Joining

# What the system's errors begin with says nothing to people.
_NUMBER: Final = re.compile(r"^\[Errno -?\d+\] ")


class Attendance:
    """Everybody of one run: so many ``connections``, in so many ``processes``."""

    def __init__(self, connections: int, processes: int) -> None:
        self._connections = connections
        self._processes = processes
        self._told: dict[int, Joining | Connected] = {}

    def hear(self, process: int, word: Joining | Connected) -> None:
        """Take what a process says of its part."""
        self._told[process] = word

    @property
    def connected(self) -> int:
        """How many are."""
        return sum(each.connections for each in self._told.values())

    @property
    def refused(self) -> int:
        """How many attempts came to nothing."""
        return sum(each.refused for each in self._told.values())

    @property
    def why(self) -> str:
        """Why the last of those did, in words; empty when there was none."""
        whys = [each.last_refusal for each in self._told.values() if each.last_refusal]
        return _NUMBER.sub("", whys[-1]) if whys else ""

    def is_hopeless(self) -> bool:
        """Whether every process was refused, and none was let in."""
        told = self._told.values()
        tried = len(told) == self._processes
        return tried and not self.connected and all(each.refused for each in told if each.missing)

    def __str__(self) -> str:
        """Say how it goes, for people."""
        said = f"connecting {self.connected:,} of {self._connections:,}"
        if self.refused:
            said += f", refused {self.refused:,}: {self.why}"
        return said
