"""Questions of delivery one that this instance shows to nobody any more: others may.

They are told that a question is free; what they could not be told then they are once the
store is back (`gateway.upkeep` looks). Of more than are remembered, and of those of a process
that ends meanwhile, they hear with the instance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, final

from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from gateway.offers import Offer
    from gateway.router import Router
    from session.model import Question

#: How many are remembered.
REMEMBERED: Final = 20_000
_PER_SWEEP: Final = 100


@final
class Releases:
    """Those that others are still to be told of, oldest first."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.waiting: deque[Question] = deque(maxlen=REMEMBERED)

    async def let_go(self, offer: Offer) -> None:
        """Let another instance show a question that nobody here is shown."""
        self.free(offer)
        await self.tell(offer.question)

    def free(self, offer: Offer) -> None:
        """Hold a question no longer, of which the others are to be told."""
        offer.held = False
        if not offer.waiters:
            self._router.offers.pop(offer.question.id, None)

    async def tell(self, question: Question) -> None:
        """Tell the others that a question is free; later, if the store is away."""
        router = self._router
        offer = router.offers.get(question.id)
        if offer is not None and offer.held:
            # Somebody here is shown it by now.
            return
        try:
            await router.store.release(question)
        except StoreUnavailableError:
            self.waiting.append(question)

    def make_up(self, start: Callable[[str, Coroutine[Any, Any, None]], bool]) -> None:
        """Tell what could not be told before, some of it at a time; ``start`` runs a step."""
        for _ in range(min(_PER_SWEEP, len(self.waiting))):
            question = self.waiting.popleft()
            if not start(question.tenant, self.tell(question)):
                self.waiting.appendleft(question)
                return
