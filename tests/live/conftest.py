"""Gateways that tests share: synchronous fixtures, as Trio's last only for one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.process import GatewayProcess, running_gateway

# Nobody balances load here, so there is nobody to tell of the end in advance.
LEAVE_AT_ONCE = ("--drain-settle-seconds", "0", "--drain-wait-seconds", "0.5")


@pytest.fixture(scope="session")
def gateway_process() -> Iterator[GatewayProcess]:
    """A gateway with the limits it has by default. Tests use a tenant or ids of their own."""
    with running_gateway(*LEAVE_AT_ONCE) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def impatient_gateway() -> Iterator[GatewayProcess]:
    """A gateway whose deadlines are short, so that tests see them pass."""
    with running_gateway(
        *LEAVE_AT_ONCE,
        *("--http-header-seconds", "0.3", "--http-body-seconds", "0.5"),
        *("--http-idle-seconds", "0.5"),
        *("--frontends-connect-seconds", "0.05", "--frontends-heartbeat-seconds", "0.8"),
        *("--frontends-close-seconds", "0.3", "--frontends-message-seconds", "0.3"),
    ) as gateway:
        yield gateway
