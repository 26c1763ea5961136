"""Things waiting their turn, in lanes, so that a burst delays only its own lane.

Pure module: nothing here waits. Who is next is a rotation over the lanes that
have something, however deep each one is. There is a bound on everything
together and one on each lane; beyond them a thing is refused, never dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar, final

T = TypeVar("T", bound=Hashable)


class QueueFullError(Exception):
    """There is no room: ``lane`` says for whom, ``limit`` how many may wait.

    A ``limit`` of 0 means that nothing is accepted any more.
    """

    def __init__(self, lane: str, limit: int, *, whole: bool) -> None:
        where = "the queue" if whole else f"the lane {lane!r} of the queue"
        super().__init__(
            f"{limit} are already waiting in {where}; try again later"
            if limit
            else "nothing more is accepted here; try another instance"
        )
        self.lane = lane
        self.limit = limit


@final
class FairQueue(Generic[T]):
    """First in, first out within a lane; the lanes take turns.

    A lane exists while something is in it. The same thing is in a lane once.
    """

    __slots__ = ("_lanes", "_length", "_maximum", "_per_lane")

    def __init__(self, maximum: int, per_lane: int) -> None:
        self._maximum = maximum
        self._per_lane = per_lane
        self._length = 0
        # Whose turn it is comes first. A lane is an ordered dict rather than a
        # deque: somebody in the middle can leave in constant time.
        self._lanes: OrderedDict[str, OrderedDict[T, None]] = OrderedDict()

    def put(self, lane: str, item: T) -> None:
        """Add ``item`` to the end of its lane.

        Raises:
            QueueFullError: the queue or the lane is full; nothing has changed.
        """
        if self._length >= self._maximum:
            raise QueueFullError(lane, self._maximum, whole=True)
        items = self._lanes.get(lane)
        if items is None:
            # A lane that was empty waits for one round, as everybody does.
            items = self._lanes[lane] = OrderedDict()
        elif len(items) >= self._per_lane:
            raise QueueFullError(lane, self._per_lane, whole=False)
        if item not in items:
            items[item] = None
            self._length += 1

    def get_nowait(self) -> T | None:
        """Take what is next, or return ``None`` when nothing waits."""
        if not self._length:
            return None
        lane, items = self._lanes.popitem(last=False)
        item, _ = items.popitem(last=False)
        if items:
            self._lanes[lane] = items
        self._length -= 1
        return item

    def discard(self, lane: str, item: T) -> bool:
        """Take ``item`` out of its lane, wherever it is; return whether it was there."""
        items = self._lanes.get(lane)
        if items is None or item not in items:
            return False
        del items[item]
        if not items:
            del self._lanes[lane]
        self._length -= 1
        return True

    def close(self) -> None:
        """Refuse everything from now on; what waits already can still be taken."""
        self._maximum = 0

    def lanes(self) -> dict[str, int]:
        """Return how many wait in each lane that has any, next turn first."""
        return {lane: len(items) for lane, items in self._lanes.items()}

    def __len__(self) -> int:
        return self._length
