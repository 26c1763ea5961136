"""What a load is made against: the gateways that are named, or some that are started for it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from loadtest import neighbours, places, plans, server
from loadtest.coordinator import LoadError
from loadtest.places import Target
from loadtest.plans import Wishes
from loadtest.scenarios import Scenario
from loadtest.server import Server

#: The environment variable that has the credential, as for `frontend-router ask`.
VARIABLE: Final = "FRONTEND_ROUTER_TOKEN"
# A process that takes no connection any more may take a moment to be gone.
_GONE_SECONDS: Final = 1.0


def credentials(file: str | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the credentials that are shown, one for each tenant.

    Raises:
        ValueError: the file that was named has none.
    """
    try:
        text = Path(file).read_text("ascii") if file else environment.get(VARIABLE, "")
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} has no API key or access token") from None
    found = tuple(text.split())
    if file and not found:
        raise ValueError(f"{file} is empty; it should have an API key or access token")
    return found


@contextlib.contextmanager
def running(
    scenario: Scenario, wishes: Wishes, given: tuple[Target, ...]
) -> Iterator[tuple[tuple[Target, ...], Wishes]]:
    """Yield the targets, gateways of our own when none is given, and how they are loaded.

    Raises:
        LoadError: one of our own has ended before the load has; the message has its last words.
    """
    if given:
        yield given, wishes
        return
    # A gateway of our own asks nobody who they are, or knows only its own two tenants.
    tokens: tuple[str, ...] = ()
    flags: tuple[str, ...] = plans.GATEWAY_FLAGS
    count = 1 if scenario.noise else plans.instances(scenario)
    print(f"no --target: starting {count} gateway{'s' * (count > 1)} here", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        if scenario.noise:
            more, tokens = stack.enter_context(neighbours.gateway_flags(scenario))
            flags = (*flags, *more)
        started = [
            stack.enter_context(server.gateway(None, *flags, command=wishes.gateway))
            for _ in range(count)
        ]
        print(f"started, {started[0].runs}", file=sys.stderr)
        used = tuple(
            Target(
                places.ws_place(each.ws_port),
                places.mcp_place(each.mcp_port),
                f"http://{places.LOOPBACK}:{each.monitoring_port}",
            )
            for each in started
        )
        try:
            yield used, msgspec.structs.replace(wishes, tokens=tokens)
        except LoadError as error:
            if words := _epitaph(started, _GONE_SECONDS):
                raise LoadError(f"{error}; {words}") from error
            raise
        if words := _epitaph(started):
            raise LoadError(words)


def _epitaph(started: Sequence[Server], seconds: float = 0.0) -> str:
    """Return how one of them ended, with its last words; nothing while all run."""
    return next(filter(None, (each.epitaph(seconds) for each in started)), "")
