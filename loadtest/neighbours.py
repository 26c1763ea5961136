"""Two tenants at one gateway: what one that asks too much does to the other.

The quiet one is measured alone, and then beside the noisy one. What is required of the noisy
one is that all it got was right, and that it was told no for the rest.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from gateway.auth.keys import KeyRecord, digest_of, file_bytes, text_of
from loadtest import plans
from loadtest.attendance import Attendance
from loadtest.coordinator import Coordinator, LoadError, Scraper, Watcher
from loadtest.plans import Plan
from loadtest.result import Neighbour, Result, Slice
from loadtest.scenarios import Scenario

#: How many times its quota the noisy one asks.
TIMES: Final = 10
_NAMES: Final = ("quiet", "noisy")
_SCOPES: Final = ("answer", "ask")
# It is there before the quiet one is measured, and after.
_BEFORE_SECONDS: Final = 2.0
_AFTER_SECONDS: Final = 4.0
_START_SECONDS: Final = 300.0
_OVER_QUOTA: Final = "over the quota "


@contextlib.contextmanager
def gateway_flags(scenario: Scenario) -> Iterator[tuple[tuple[str, ...], tuple[str, str]]]:
    """Yield the flags of a gateway with both tenants, and their credentials."""
    records, tokens = [], []
    for name in _NAMES:
        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        tokens.append(text_of(key_id, secret))
        record = KeyRecord(key_id, digest_of(secret), name, "load", _SCOPES, time.time())  # noqa: TID251 - when it was made
        records.append(record)
    with TemporaryDirectory(prefix="loadtest-") as folder:
        keys, quotas = Path(folder, "keys.json"), Path(folder, "quotas.toml")
        keys.touch(0o600)
        keys.write_bytes(file_bytes(records))
        quotas.write_text(f"[noisy]\nasks_per_second = {scenario.noise / TIMES}\n", "utf-8")
        yield ("--auth-keys", str(keys), "--quotas-file", str(quotas)), (tokens[0], tokens[1])


def noisy_plan(plan: Plan) -> Plan:
    """Return what the noisy one does while the quiet one is measured.

    Raises:
        ValueError: it has no credential of its own.
    """
    scenario, wishes = plan.scenario, plan.wishes
    if len(wishes.tokens) != len(_NAMES):
        raise ValueError(
            "two tenants need two credentials: --token-file with the quiet one's in its first "
            "line and the noisy one's in its second"
        )
    again = msgspec.structs.replace(
        scenario,
        rate=scenario.noise,
        duration=scenario.duration + _BEFORE_SECONDS + _AFTER_SECONDS,
        noise=0.0,
    )
    return msgspec.structs.replace(
        plan,
        name="noise",
        scenario=again,
        wishes=msgspec.structs.replace(wishes, tokens=wishes.tokens[1:], processes=1),
        processes=max(1, plans.processes(again, msgspec.structs.replace(wishes, processes=1))),
        run=f"{plan.run}-noise",
    )


class _Started(threading.Event):
    """Set when the noise has been there for so many seconds."""

    def connecting(self, seconds: float, attendance: Attendance) -> None:
        """Wait on: whoever does not connect is heard of by the failure."""

    def update(self, slice: Slice) -> None:  # noqa: A002 - what `Watcher` calls it
        """Hear of one more second."""
        if slice.at >= _BEFORE_SECONDS - 1:
            self.set()


def run(
    plan: Plan,
    scrapers: Sequence[Scraper],
    watcher: Callable[[], Watcher | None],
    connect_seconds: float = 120.0,
) -> Result:
    """Measure the quiet tenant alone, and beside the noisy one; the result is the latter.

    Raises:
        LoadError: a load could not be made.
        ValueError: there is one credential for two tenants.
    """
    other = noisy_plan(plan)
    alone = Coordinator(plan, scrapers, watcher()).run()
    if "interrupted" in alone.conditions:
        return alone
    started, heard = _Started(), _Heard()
    noise = threading.Thread(
        target=heard.run, args=(Coordinator(other, [], started, connect_seconds), started)
    )
    noise.start()
    try:
        if not started.wait(_START_SECONDS) or heard.failure is not None:
            raise LoadError(f"the noisy tenant: {heard.failure or 'it did not begin'}")
        beside = Coordinator(plan, scrapers, watcher()).run()
    finally:
        noise.join()
    if heard.result is None:
        raise LoadError(f"the noisy tenant: {heard.failure}")
    return judged(alone, beside, heard.result)


class _Heard:
    """What came of the noise, in another thread."""

    def __init__(self) -> None:
        self.result: Result | None = None
        self.failure: Exception | None = None

    def run(self, coordinator: Coordinator, started: threading.Event) -> None:
        try:
            self.result = coordinator.run()
        except (LoadError, OSError) as error:
            self.failure = error
        finally:
            started.set()


def judged(alone: Result, beside: Result, noise: Result) -> Result:
    """Return the run beside the noise, with what is to be said of the other two."""
    refused = dict(noise.truth.refused)
    over = sum(refused.pop(why) for why in list(refused) if why.startswith(_OVER_QUOTA))
    # Due and never asked: nobody promised that a tenant over its quota has callers enough.
    refused = {why: count for why, count in refused.items() if not why.startswith("due,")}
    beside.neighbour = Neighbour(
        p99_alone=alone.latency.p99,
        p99_beside=beside.latency.p99,
        asked=noise.truth.asked,
        answered=noise.truth.answered,
        over_quota=over,
    )
    truth = beside.truth
    for other in (alone.truth, noise.truth):
        truth.lost += other.lost
        truth.duplicated += other.duplicated
        truth.crossed += other.crossed
        truth.late += other.late
    for who, whys in (("alone", alone.truth.refused), ("noisy", refused)):
        truth.refused |= {f"{who}: {why}": count for why, count in whys.items()}
    if not over:
        truth.refused["noisy: it was never over its quota"] = 1
    beside.conditions["neighbour"] = noise.conditions["questions"]
    return beside
