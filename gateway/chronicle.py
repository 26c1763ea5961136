"""Who was shown a question, and who looked at it: noted in the store, late and together.

Most questions that programs answer are over before anybody could ask about them, so nothing
is noted of one that was open for less than `NOTED_AFTER` seconds, and nothing is kept for it
here. Then the offers of this process say what there is to note, and what is noted is told to
the store with that of many others; what was not told yet when a question ends is part of its
outcome. Notes are for people to read: what is too much is left out, and nothing waits for it.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, final

import msgspec

from session.model import Noted, Outcome, Question

if TYPE_CHECKING:
    from gateway.offers import Offer, Recipient

#: How long a question is open before anything of it is noted, in seconds.
NOTED_AFTER: Final = 1.0
#: Of one question at a time, of each kind.
_OF_ONE: Final = 16
#: Questions at a time: some thousands a second, and the rest has no notes.
_AT_A_TIME: Final = 500
#: Questions that were noted and have more to note.
_MORE: Final = 10_000
# Steps over offers at a time, however many there are.
_LOOKED_AT: Final = 20_000


@final
class Chronicle:
    """Finds what is to be noted."""

    __slots__ = ("_looked_at", "_more", "left_out")

    def __init__(self) -> None:
        self._looked_at = 0.0
        self._more: dict[Offer, None] = {}
        #: Questions of which something was not noted, as it was too much.
        self.left_out = 0

    def more(self, offer: Offer | None) -> None:
        """Hear that there is more of a question than was noted."""
        if offer is None or not offer.noted_at or offer in self._more:
            # Its turn comes.
            return
        if len(self._more) >= _MORE:
            self.left_out += 1
            return
        self._more[offer] = None

    def __len__(self) -> int:
        return len(self._more)

    def due(self, offers: dict[str, Offer], now: float) -> list[tuple[Question, list[Noted]]]:
        """Return what is to be noted now; it counts as noted."""
        found = []
        for offer in list(islice(self._more, _AT_A_TIME)):
            del self._more[offer]
            if offer.question.id in offers:
                found.append(offer)
        # The newest last: behind what was noted when this was looked at before, all was.
        before = self._looked_at - 2 * NOTED_AFTER
        for offer in islice(reversed(offers.values()), _LOOKED_AT):
            if offer.noted_at:
                if offer.noted_at < before:
                    break
            elif now - offer.question.created_at > NOTED_AFTER:
                found.append(offer)
                if len(found) >= _AT_A_TIME:
                    break
        self._looked_at = now
        noted = []
        for offer in found:
            notes = _since(offer)
            offer.noted_at = now
            if notes:
                noted.append((offer.question, notes))
        return noted

    def told(self, outcome: Outcome, offer: Offer | None) -> Outcome:
        """Return an outcome with what was not noted of its question before."""
        notes = () if offer is None else tuple(_since(offer))
        return msgspec.structs.replace(outcome, history=notes) if notes else outcome


def _since(offer: Offer) -> list[Noted]:
    """Return what there is of an offer that was not noted yet, oldest first."""
    return [
        *_of(offer, "offered", offer.holders),
        *(_of(offer, "seen", offer.seen) if offer.seen else ()),
    ]


def _of(offer: Offer, kind: str, times: dict[Recipient, float]) -> list[Noted]:
    since = offer.noted_at
    fresh = ((recipient, at) for recipient, at in times.items() if at > since)
    return [
        Noted(kind, at, recipient.frontend_id, recipient.user)  # type: ignore[arg-type]  # one of the two above
        for recipient, at in islice(fresh, _OF_ONE)
    ]
