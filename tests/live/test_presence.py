"""Subscribers of `frontends://connected` at a gateway: who comes, is renamed and goes."""

from __future__ import annotations

import pytest
import trio

from tests.interop.person import person_at
from tests.live.process import GatewayProcess
from tests.live.subscribing import CONNECTED, ERAS, subscribed, told_that

pytestmark = pytest.mark.slow

# Nobody waits this long when all is well.
PATIENCE = 30


@pytest.mark.parametrize("era", ERAS)
async def test_subscribers_are_told_who_comes_says_who_it_is_and_goes(
    gateway_process: GatewayProcess, era: str
) -> None:
    port, name = gateway_process.mcp_port, f"presence-{era}"
    with trio.fail_after(PATIENCE):
        async with subscribed(port, CONNECTED, era) as subscriber:
            async with person_at(gateway_process.ws_port, frontend_id=name, name="Ann") as person:
                await told_that(subscriber, port, lambda shown: shown.get(name) == "Ann")
                await person.say(type="connect", frontend_id=name, name="Ann Lee")
                await told_that(subscriber, port, lambda shown: shown.get(name) == "Ann Lee")
            await told_that(subscriber, port, lambda shown: name not in shown)
