"""The sweeps of an instance: what is due is ended, and what was not heard is found.

All places are asked at once, and nobody waits for long: a server that says nothing keeps
the other places from nothing. What it was asked stays asked, once, and a later sweep takes
its reply, so that nothing is done unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

import trio

from pool.promises import Promise
from session.errors import StoreUnavailableError
from session.redis.keys import PLACES, Place
from session.redis.overdue import Batch, Overdue, done_by, end_all
from session.redis.scripts import SWEEP
from session.store import Settlement

if TYPE_CHECKING:
    from session.redis.client import RedisClient
    from session.redis.events import Events
    from session.redis.inboxes import Inboxes
    from session.redis.settings import Settings
    from session.steps import Stepper

_EVENTS_PER_SWEEP: Final = 2_000


@final
class _Asked:
    """What a place was asked, and until when a sweep waits for that."""

    __slots__ = ("heard", "reply", "until")

    def __init__(self, reply: Promise[Any], heard: int, until: float) -> None:
        self.reply = reply
        self.heard = heard
        self.until = until


@final
class Sweeps:
    """A part of `session.redis.store.RedisStore`."""

    def __init__(  # noqa: PLR0913 - made once, by the store
        self,
        client: RedisClient,
        settings: Settings,
        *,
        instance: str,
        new_id: Callable[[], str],
        events: Events,
        inboxes: Inboxes,
        stepper: Stepper,
    ) -> None:
        self._client = client
        self._instance = instance
        self._events = events
        self._inboxes = inboxes
        self._lease_seconds = settings.lease_seconds
        # Whoever is silent for longer is cut off, and refuses what is asked next at once.
        self._patience = settings.reply_seconds
        self._overdue = Overdue(
            client,
            events,
            kept_seconds=settings.kept_seconds,
            replicas=settings.awaited_replicas,
            new_id=new_id,
            stepper=stepper,
            patience=self._patience,
        )
        #: The instances that live, by the last sweep.
        self.alive: frozenset[str] = frozenset((instance,))
        # What earlier sweeps did not see the end of.
        self._asked: dict[Place, _Asked] = {}
        self._batches: list[Batch] = []
        self._unread: dict[Place, None] = {}

    async def sweep(self, limit: int) -> Sequence[Settlement]:
        """Time out what is due by Redis's clock, and find what was not heard.

        What is silent now is left to the sweeps that come.

        Raises:
            StoreUnavailableError: a place could not be swept, and nothing was ended.
        """
        asked, self._asked = self._asked, {}
        batches, self._batches = self._batches, []
        for place in PLACES:
            if place not in asked:
                asked[place] = self._ask(place, limit)
        answered, failure, forgotten = await self._take(asked, batches, limit)
        failure = await self._read_anew(answered) or failure
        settled, self._batches, trouble = await end_all(batches)
        failure = failure or trouble
        if forgotten:
            self._events.forgotten()
        if failure is not None and not settled:
            raise failure
        return settled

    async def _take(
        self, asked: dict[Place, _Asked], batches: list[Batch], limit: int
    ) -> tuple[set[Place], StoreUnavailableError | None, bool]:
        """Take what the places say; return those that did, what failed, and `was_gone`."""
        # What is due there is listed once more while it is being ended.
        busy = {batch.place for batch in batches}
        left = limit - sum(len(batch) for batch in batches)
        answered: set[Place] = set()
        failure: StoreUnavailableError | None = None
        forgotten = False
        for place, each in asked.items():
            if not await done_by(each.reply, each.until):
                self._asked[place] = each
                failure = _silent(place)
                continue
            try:
                was_gone, due, last, events, alive = await each.reply
            except StoreUnavailableError as error:
                failure = error
                continue
            answered.add(place)
            forgotten = forgotten or bool(was_gone)
            self.alive = frozenset(name.decode() for name in alive)
            if due and left > 0 and place not in busy:
                batches.append(self._overdue.begin(place, due[:left]))
                left -= min(left, len(due))
            if self._events.swept(place, each.heard, int(last), events):
                self._unread[place] = None
        return answered, failure, forgotten

    async def _read_anew(self, answered: set[Place]) -> StoreUnavailableError | None:
        """Read the places that have to be, as far as they answer; return what failed."""
        failure: StoreUnavailableError | None = None
        for place in [place for place in self._unread if place in answered]:
            # Behind the others, if it has to be read again.
            self._unread.pop(place, None)
            self._unread[place] = None
            try:
                with trio.move_on_after(self._patience) as scope:
                    opened, ended = await self._inboxes.reread(place, partial(self._wait_on, scope))
                    self._events.reread(place, opened, ended)
                    self._unread.pop(place, None)
            except StoreUnavailableError as error:
                failure = error
            if scope.cancelled_caught:
                # The next one may be silent with it: no sweep waits for more than one.
                return _silent(place)
        return failure

    def _wait_on(self, scope: trio.CancelScope) -> None:
        """Take much that is read for no silence."""
        scope.deadline = trio.current_time() + self._patience

    def _ask(self, place: Place, limit: int) -> _Asked:
        heard = self._events.last_of(place)
        reply = self._client.call(
            SWEEP,
            (place.due, place.log, place.alive),
            (
                self._instance,
                self._lease_seconds,
                heard,
                -(-limit // len(PLACES)),
                _EVENTS_PER_SWEEP,
                place.channel,
                self._events.gone,
                sorted(self.alive).index(self._instance),
            ),
            slot=place.slot,
            eager=True,
        )
        return _Asked(reply, heard, trio.current_time() + self._patience)


def _silent(place: Place) -> StoreUnavailableError:
    return StoreUnavailableError(f"Redis leaves place {place.number} without a reply; try later")
