"""What callers use of quotas: asks and notices, open questions, and streams that wait.

A call that is over a quota is refused before anything is done for it; what it used is
given back when it is over, and the slot of a question when that has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.mcp.call import Call
    from gateway.quotas.allowances import Allowances
    from gateway.quotas.standing import Standing
    from pool.portions import Slots
    from session.model import Principal


def tries(quotas: Allowances, call: Call, *, holds: bool) -> tuple[Slots, ...] | None:
    """Have an ask count, and the wait for it if it ``holds``; return what its question uses.

    `None`: the store has to be asked whether it may, by `ask`.
    """
    standing = quotas.of(call.principal)
    if standing is None:
        return ()
    if not quotas.tries(standing.asks, 1.0, standing.asking if holds else standing.pending):
        return None
    if standing.asks:
        call.exchange.headers = quotas.headers(standing)
    if holds and standing.streams:
        call.hold(standing.streams)
    return standing.pending


async def ask(quotas: Allowances, call: Call, *, holds: bool) -> tuple[Slots, ...]:
    """Do the same after asking the store.

    Raises:
        OverQuotaError: a quota is used up.
        StoreUnavailableError: that cannot be found out now.
    """
    standing = quotas.of(call.principal)
    if standing is None:
        return ()
    await _claim(quotas, call, standing, standing.asking if holds else standing.pending)
    if holds and standing.streams:
        call.hold(standing.streams)
    return standing.pending


async def notice(quotas: Allowances, call: Call) -> None:
    """Have a notification count as an ask; see `ask`."""
    standing = quotas.of(call.principal)
    if standing is not None:
        await _claim(quotas, call, standing, ())


async def stream(quotas: Allowances, call: Call) -> None:
    """Have a call count that waits for an outcome; see `ask`."""
    call.hold(await listen(quotas, call.principal))


async def listen(quotas: Allowances, principal: Principal) -> tuple[Slots, ...]:
    """Have a stream count; return what it uses until it ends. See `ask`."""
    standing = quotas.of(principal)
    if standing is None:
        return ()
    if not quotas.tries((), 0, standing.streams):
        await quotas.claim(principal, (), 0, standing.streams)
    return standing.streams


async def _claim(
    quotas: Allowances, call: Call, standing: Standing, slots: tuple[Slots, ...]
) -> None:
    try:
        if not quotas.tries(standing.asks, 1.0, slots):
            await quotas.claim(call.principal, standing.asks, 1.0, slots)
    finally:
        if standing.asks:
            call.exchange.headers = quotas.headers(standing)
