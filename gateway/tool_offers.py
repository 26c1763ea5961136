"""The tools that the frontends of this instance offer, as the store should know them.

What is here is the truth about this instance, and the store's part of it is made again
from it: after the store was away, and every minute. It refuses to know what tools mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final, final

from session.errors import StoreUnavailableError
from session.model import ToolOffer

if TYPE_CHECKING:
    from gateway.offers import Recipient
    from gateway.quotas.allowances import Allowances
    from gateway.tool_definitions import Definition, Settings
    from pool.portions import Slots
    from session import Tools

_GOODBYES: Final = 20_000
_NOTHING: Final[Mapping[str, str]] = {}


class TooManyToolsError(Exception):
    """This instance keeps as many tools as it may; the message says which limit is met."""


@final
class _Definitions:
    """The definitions of all offers here, each once."""

    __slots__ = ("_known", "size")

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, int]] = {}
        self.size = 0

    def __getitem__(self, digest: str) -> bytes:
        return self._known[digest][0]

    def cost(self, definitions: Iterable[Definition]) -> int:
        """Return how many bytes would be new."""
        return sum(len(each.data) for each in definitions if each.digest not in self._known)

    def __contains__(self, digest: str) -> bool:
        return digest in self._known

    def add(self, definition: Definition) -> None:
        """Keep a definition, once more."""
        data, uses = self._known.get(definition.digest, (definition.data, 0))
        self._known[definition.digest] = (data, uses + 1)
        self.size += 0 if uses else len(data)

    def drop(self, digest: str) -> None:
        """Keep a definition once less."""
        data, uses = self._known[digest]
        if uses > 1:
            self._known[digest] = (data, uses - 1)
        else:
            del self._known[digest]
            self.size -= len(data)


@final
class ToolOffers:
    """Owned by the composition root.

    Args:
        changed: told of each tenant whose tools were changed by this instance.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - made once, by the composition root
        self,
        settings: Settings,
        store: Tools,
        clock: Callable[[], float],
        instance: str,
        changed: Callable[[str], None],
        quotas: Allowances | None = None,
    ) -> None:
        self.settings = settings
        self._store = store
        self._clock = clock
        self._instance = instance
        self._changed = changed
        self._quotas = quotas
        self._definitions = _Definitions()
        self._offers: dict[Recipient, ToolOffer] = {}
        # Who makes them, by what the store knows them by.
        self._makers: dict[tuple[str, str], Recipient] = {}
        self._used: dict[Recipient, list[Slots]] = {}
        #: How many tools are offered here.
        self.tools = 0
        #: What the store may not know of, and what it may still know; beyond so many, it
        #: forgets them with the instance.
        self.unsaid: dict[Recipient, None] = {}
        self.goodbyes: deque[ToolOffer] = deque(maxlen=_GOODBYES)

    def __len__(self) -> int:
        return len(self._offers)

    @property
    def size(self) -> int:
        """Bytes of definitions."""
        return self._definitions.size

    def knows(self, digest: str) -> bool:
        """Whether somebody here offers a tool with this definition, so that it is good."""
        return digest in self._definitions

    async def put(self, recipient: Recipient, definitions: list[Definition]) -> bool:
        """Have a frontend offer these tools, in place of those before.

        Returns whether it does: not when it is not attached, or not any more.

        Raises:
            TooManyToolsError: there is no room for them.
            OverQuotaError: its tenant, or its subject, offers as many as it may.
            StoreUnavailableError: whether it may cannot be found out now.
        """
        more = self._fitting(recipient, definitions)
        taken = await self._more(recipient, more)
        is_right = False
        try:
            # While it was asked whether it may, it may have gone or offered others, and others
            # may have taken the room.
            is_right = recipient.attached and self._fitting(recipient, definitions) == more
        finally:
            if not is_right:
                _give_back(taken, len(taken))
        if not is_right:
            return recipient.attached and await self.put(recipient, definitions)
        if taken or more < 0:
            used = self._used.setdefault(recipient, [])
            used += taken
            self._fewer(recipient, used, -more)
        before = self._offers.get(recipient)
        self._note(recipient, definitions)
        if definitions:
            await self.say(recipient)
        elif before is not None:
            await self.say_goodbye(before)
        return True

    async def say_anew(self, recipient: Recipient) -> None:
        """Say what a frontend offers that is somebody else now, or is called otherwise."""
        offer = self._offers.get(recipient)
        if offer is not None:
            self._keep(recipient, self._offer_of(recipient, offer.tools, offer.offered_at))
            await self.say(recipient)

    async def say(self, recipient: Recipient) -> None:
        """Say what a frontend offers; later, if the store is away."""
        offer = self._offers.get(recipient)
        if offer is None:
            return
        definitions = {digest: self._definitions[digest] for digest in offer.tools.values()}
        try:
            changed = await self._store.offer(offer, definitions)
        except StoreUnavailableError:
            self.unsaid[recipient] = None
            return
        if self._offers.get(recipient) is not offer:
            # It has gone, or offers others, and that may have been said before this.
            if recipient not in self._offers:
                await self.say_goodbye(offer)
            else:
                self.unsaid[recipient] = None
        if changed:
            self._changed(offer.tenant)

    async def take(self, recipient: Recipient) -> None:
        """A frontend offers nothing any more."""
        offer = self._forget(recipient)
        used = self._used.pop(recipient, [])
        _give_back(used, len(used))
        if offer is not None:
            await self.say_goodbye(offer)

    async def say_goodbye(self, offer: ToolOffer) -> None:
        """Say that a frontend offers nothing, unless it does again; later, if the store is away."""
        key = _key(offer)
        if key in self._makers:
            # What it offers now is in the store in place of this, or will be.
            return
        changed = False
        try:
            changed = await self._store.withdraw(offer)
        except StoreUnavailableError:
            self.goodbyes.append(offer)
        again = self._makers.get(key)
        if again is not None:
            # It offers something since, and that may have been said before this was done.
            self.unsaid[again] = None
        if changed:
            self._changed(offer.tenant)

    def forgotten(self) -> None:
        """All has to be said anew."""
        self.unsaid.update(dict.fromkeys(self._offers))

    def due(self, most: int) -> tuple[list[Recipient], list[ToolOffer]]:
        """Return what is to be said now, and to be said goodbye to; the caller does so."""
        said = list(islice(self.unsaid, most))
        for recipient in said:
            del self.unsaid[recipient]
        return said, [self.goodbyes.popleft() for _ in range(min(most, len(self.goodbyes)))]

    # -- inside

    def _fitting(self, recipient: Recipient, definitions: list[Definition]) -> int:
        """Return how many tools more these are than a frontend offers, if there is room.

        Raises:
            TooManyToolsError: there is not.
        """
        before = self._offers.get(recipient)
        more = len(definitions) - (0 if before is None else len(before.tools))
        if self.tools + more > self.settings.maximum:
            raise TooManyToolsError(f"{self.settings.maximum} tools are offered here already")
        if self.size + self._definitions.cost(definitions) > self.settings.bytes:
            raise TooManyToolsError("the tools that are offered here take all memory for them")
        return more

    async def _more(self, recipient: Recipient, more: int) -> list[Slots]:
        """Take so many of quotas."""
        quotas = self._quotas
        standing = None if quotas is None else quotas.of(recipient.principal)
        if quotas is None or standing is None:
            return []
        taken: list[Slots] = []
        done = False
        try:
            for _ in range(more):
                if not quotas.tries((), 0, standing.registered_tools):
                    await quotas.claim(recipient.principal, (), 0, standing.registered_tools)
                taken += standing.registered_tools
            done = True
        finally:
            if not done:
                _give_back(taken, len(taken))
        return taken

    def _fewer(self, recipient: Recipient, used: list[Slots], fewer: int) -> None:
        """Give back what so many tools used."""
        before = self._offers.get(recipient)
        if fewer > 0 and before is not None:
            _give_back(used, fewer * (len(used) // len(before.tools)))
        if not used:
            del self._used[recipient]

    def _note(self, recipient: Recipient, definitions: list[Definition]) -> None:
        before = self._offers.get(recipient)
        for definition in definitions:
            self._definitions.add(definition)
        self._forget(recipient)
        if definitions:
            tools = {each.name: each.digest for each in definitions}
            recipient.tools = tools
            self.tools += len(tools)
            since = self._clock() if before is None else before.offered_at
            self._keep(recipient, self._offer_of(recipient, tools, since))

    def _keep(self, recipient: Recipient, offer: ToolOffer) -> None:
        before = self._offers.get(recipient)
        if before is not None:
            del self._makers[_key(before)]
        self._offers[recipient] = offer
        self._makers[_key(offer)] = recipient

    def _offer_of(self, recipient: Recipient, tools: dict[str, str], since: float) -> ToolOffer:
        presence = recipient.presence
        return ToolOffer(
            presence.connection_id,
            presence.frontend_id,
            presence.tenant,
            presence.user,
            self._instance,
            since,
            tools,
        )

    def _forget(self, recipient: Recipient) -> ToolOffer | None:
        offer = self._offers.pop(recipient, None)
        self.unsaid.pop(recipient, None)
        recipient.tools = _NOTHING
        if offer is not None:
            del self._makers[_key(offer)]
            self.tools -= len(offer.tools)
            for digest in offer.tools.values():
                self._definitions.drop(digest)
        return offer


def _key(offer: ToolOffer) -> tuple[str, str]:
    """Return by what the store knows an offer: one of each connection."""
    return offer.tenant, offer.connection_id


def _give_back(used: list[Slots], count: int) -> None:
    for _ in range(min(count, len(used))):
        used.pop().take_back()
