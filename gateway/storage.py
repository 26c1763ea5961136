"""The store and the bus that the settings name, and what the process says of them.

Which store it is matters here and nowhere else in the gateway.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import trio

from gateway.audit import Audit
from gateway.errors import UnusableError
from gateway.monitoring.probes import Check, Status
from gateway.outages import Outages, Troubles
from gateway.recorder import Recorder, write_line
from gateway.settings import MEMORY
from session import (
    AuditTrail,
    Bus,
    Credentials,
    MemoryAudit,
    MemoryBus,
    MemoryCredentials,
    MemoryQuotas,
    MemoryReceipts,
    MemoryStore,
    MemoryTools,
    Quotas,
    Receipts,
    Store,
    Tools,
    parse_store_address,
)
from session.errors import StoreUnusableError

if TYPE_CHECKING:
    from gateway.ids import Ids
    from gateway.metrics import Reading
    from gateway.settings import Settings
    from pool.connection import Callback
    from pool.connections import Connections
    from pool.timers import Timers
    from pool.workers import Workers
    from session.steps import Stepper

_NEARLY_FULL: Final = 0.9


class Storage(NamedTuple):
    """What keeps questions and sessions, and carries wake-ups."""

    #: For people: "memory", or where it is, without a password.
    name: str
    store: Store
    bus: Bus
    credentials: Credentials
    quotas: Quotas
    tools: Tools
    audit: AuditTrail
    receipts: Receipts
    #: Owns what reaches the store; `None` when there is nothing to own.
    run: Callable[..., Any] | None
    #: Whether new questions can be stored now.
    is_usable: Callable[[], bool]
    check: Callable[[], Check]
    readings: Callable[[], dict[str, Reading]]
    #: How long a session lives that neither asks nor waits for anything.
    session_idle_seconds: float
    #: Open questions of those that may be, in per cent; of a shared store nobody knows.
    fullness: Callable[[], float]


def opened(  # noqa: PLR0913 - the composition root hands over what stores need
    settings: Settings,
    *,
    connections: Connections,
    timers: Timers[Callback],
    clock: Callable[[], float],
    instance: str,
    ids: Ids,
    stepper: Stepper,
) -> Storage:
    """Make the store that ``--store`` names."""
    if settings.store == MEMORY:
        return _memory(settings, clock)
    return _redis(settings, connections, timers, instance, ids, stepper)


def audit_of(
    settings: Settings,
    storage: Storage,
    *,
    workers: Workers,
    clock: Callable[[], float],
    instance: str,
) -> Audit | None:
    """Make what a process records with; `None` when it records nothing."""
    to_log, to_store = settings.audit.goes_to(
        has_credentials=settings.auth.is_on, is_shared=storage.store.shared
    )
    if not (to_log or to_store):
        return None
    trail = storage.audit if to_store else None
    recorder = Recorder(trail, write_line if to_log else None, workers, clock)
    return Audit(recorder, clock, instance, with_texts=settings.audit.content == "text")


@contextlib.contextmanager
def said_plainly() -> Iterator[None]:
    """Have what cannot be started with told as one sentence, not as the tasks that it ended.

    Raises:
        OSError: a store or a file cannot be used; the message says what to do.
    """
    reason = ""
    try:
        yield
    except* (StoreUnusableError, UnusableError) as ended:
        reason = _first_of(ended)
    if reason:
        raise OSError(reason)


def _first_of(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


def _memory(settings: Settings, clock: Callable[[], float]) -> Storage:
    store = MemoryStore(settings.memory, clock)
    limits = settings.memory
    receipts = MemoryReceipts(clock)

    def check() -> Check:
        held = store.statistics()
        full = max(held.pending / limits.pending, held.bytes / limits.bytes)
        status = Status.HEALTHY if full < _NEARLY_FULL else Status.WARNING
        return Check(status, f"open questions: {held.pending:,}", dataclasses.asdict(held))

    def readings() -> dict[str, Reading]:
        held = store.statistics()
        return {
            "active_user_sessions": held.frontends,
            "frontend_router_questions_open": held.pending,
            "frontend_router_receipts_used": len(receipts),
        }

    return Storage(
        name="memory",
        store=store,
        bus=MemoryBus(),
        credentials=MemoryCredentials(clock),
        quotas=MemoryQuotas(trio.current_time, store.has_session),
        tools=MemoryTools(),
        audit=MemoryAudit(settings.audit.length),
        receipts=receipts,
        run=None,
        is_usable=lambda: True,
        check=check,
        readings=readings,
        session_idle_seconds=limits.session_idle_seconds,
        fullness=lambda: 100 * store.statistics().pending / limits.pending,
    )


def _redis(  # noqa: PLR0913, PLR0917 - as above
    settings: Settings,
    connections: Connections,
    timers: Timers[Callback],
    instance: str,
    ids: Ids,
    stepper: Stepper,
) -> Storage:
    # Only here: who keeps everything in memory need not load a client of Redis.
    audit_module = importlib.import_module("session.redis.audit")
    client_module = importlib.import_module("session.redis.client")
    credentials_module = importlib.import_module("session.redis.credentials")
    receipts_module = importlib.import_module("session.redis.receipts")
    quotas_module = importlib.import_module("session.redis.quotas")
    store_module = importlib.import_module("session.redis.store")
    where = parse_store_address(settings.store)
    client = client_module.RedisClient(
        where, settings.redis, connections=connections, timers=timers, name=instance
    )
    store = store_module.RedisStore(
        client,
        settings.redis,
        instance=instance,
        new_id=ids.new,
        # Of this turn, which is exact enough, and asked for at every question.
        now=timers.now,
        stepper=stepper,
    )

    def troubles() -> Troubles:
        held = client.statistics()
        found = {
            ("store_away", node.name): node.trouble or "its connection is lost"
            for node in held.nodes
            if node.is_away
        }
        if held.trouble:
            found["store_away", ""] = held.trouble
        for node in held.nodes:
            if node.refusal:
                found["store_refuses", node.name] = node.refusal
        return found

    async def run(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(client.run)
            nursery.start_soon(Outages(troubles).run)
            task_status.started()

    def check() -> Check:
        usable = client.is_usable()
        held = dataclasses.asdict(store.statistics()) | dataclasses.asdict(client.statistics())
        if usable:
            return Check(Status.HEALTHY, f"{held['instances']} instances share it", held)
        return Check(Status.UNHEALTHY, "Redis cannot be reached; it is tried again", held)

    def readings() -> dict[str, Reading]:
        held, link = store.statistics(), client.statistics()
        return {
            "frontend_router_questions_open": held.listings,
            "frontend_router_store_instances": held.instances,
            "frontend_router_store_usable": int(client.is_usable()),
            "frontend_router_redis_in_flight": link.in_flight,
            "frontend_router_redis_waiting": link.waiting,
            "frontend_router_redis_commands_total": link.commands,
            "frontend_router_redis_batches_total": link.batches,
            "frontend_router_redis_redirects_total": {
                ("moved",): link.moved,
                ("ask",): link.asked,
            },
            "frontend_router_redis_reconnects_total": link.reconnects,
            "frontend_router_redis_retries_total": link.retries,
            "frontend_router_redis_refused_total": link.refused,
            "frontend_router_questions_given_total": held.given,
            "frontend_router_session_cache_total": {
                ("hit",): held.session_hits,
                ("miss",): held.session_misses,
            },
            "frontend_router_events_total": {
                ("heard",): held.events,
                ("swept",): held.found_by_sweep,
                ("gap",): held.gaps,
                ("reread",): held.rereads,
            },
        }

    return Storage(
        name=str(where),
        store=store,
        bus=store,
        credentials=credentials_module.RedisCredentials(client),
        quotas=quotas_module.RedisQuotas(
            client,
            settings.redis,
            instance=instance,
            instances=lambda: store.statistics().instances,
            # Questions outlive who admitted them; how they end is for others to hear.
            kept={"pending": settings.questions.default_seconds},
        ),
        tools=store.tools,
        audit=audit_module.RedisAudit(client, instance=instance, length=settings.audit.length),
        receipts=receipts_module.RedisReceipts(client, settings.redis),
        run=run,
        is_usable=client.is_usable,
        check=check,
        readings=readings,
        session_idle_seconds=settings.redis.session_idle_seconds,
        fullness=lambda: 0.0,
    )
