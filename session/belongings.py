"""What a session of the memory store has besides itself, and loses with it.

Pure module. Whoever uses it knows which sessions there are.
"""

from __future__ import annotations

from typing import Final, final

from session.store import Heard, Listening

# A stream that has been open for less than this opens now: it is the latest whatever the clock
# says, which another primary may have behind.
_NEW_MICROSECONDS: Final = 100_000


@final
class Belongings:
    """The streams and subscriptions of all sessions, so many of each in a session."""

    __slots__ = ("_listening", "_streams", "_subscriptions")

    def __init__(self) -> None:
        self._streams: dict[str, dict[str, tuple[str, str | int]]] = {}
        self._subscriptions: dict[str, dict[str, None]] = {}
        #: Who listens, until when, and where that comes among those of a session.
        self._listening: dict[str, dict[str, tuple[int, float]]] = {}

    def __len__(self) -> int:
        """Return how many sessions have any."""
        return len(self._streams.keys() | self._subscriptions.keys() | self._listening.keys())

    def save_stream(
        self, session_id: str, stream_id: str, waits_for: tuple[str, str | int], limit: int
    ) -> None:
        """Note what a stream waits for; the oldest go first."""
        streams = self._streams.setdefault(session_id, {})
        streams[stream_id] = waits_for
        while len(streams) > limit:
            del streams[next(iter(streams))]

    def find_stream(self, session_id: str, stream_id: str) -> tuple[str, str | int] | None:
        """Return what a stream waits for."""
        return self._streams.get(session_id, {}).get(stream_id)

    def save_subscription(self, session_id: str, uri: str, limit: int) -> bool:
        """Note a subscription; return whether there was room for it."""
        uris = self._subscriptions.get(session_id, {})
        if uri not in uris and len(uris) >= limit:
            return False
        self._subscriptions.setdefault(session_id, uris)[uri] = None
        return True

    def end_subscription(self, session_id: str, uri: str) -> None:
        """Forget a subscription."""
        uris = self._subscriptions.get(session_id)
        if uris is not None:
            uris.pop(uri, None)
            if not uris:
                del self._subscriptions[session_id]

    def listen(self, session_id: str, listening: Listening, now: float) -> Heard:
        """Note who listens; return to what a session is subscribed, and who tells it."""
        name = listening.listener
        there = self._listening.get(session_id, {})
        before = there.get(name)
        others = {each: known for each, known in there.items() if each != name and known[1] > now}
        latest = max(((order, each) for each, (order, _) in others.items()), default=(0, ""))
        order = listening.order
        if not order:
            age = round(listening.age * 1_000_000)
            order = int(now * 1_000_000) - age
            if age < _NEW_MICROSECONDS:
                order = max(order, latest[0] + 1)
        self._listening[session_id] = {**others, name: (order, now + listening.seconds)}
        return Heard(
            uris=tuple(self._subscriptions.get(session_id, ())),
            order=order,
            tells=(order, name) > latest,
            is_shared=bool(others),
            is_news=bool(others) and (before is None or before[0] != order),
        )

    def end_listening(self, session_id: str, listening: Listening) -> None:
        """Forget who listens, unless that was said anew."""
        there = self._listening.get(session_id, {})
        known = there.get(listening.listener)
        if known is not None and known[0] == listening.order:
            del there[listening.listener]
            if not there:
                del self._listening[session_id]

    def forget(self, session_id: str) -> None:
        """Forget all that a session had: it has ended."""
        self._streams.pop(session_id, None)
        self._subscriptions.pop(session_id, None)
        self._listening.pop(session_id, None)
