"""The composition root: every part is made here, and every task has its owner here.

    serve()                          one Trio run
    +-- nursery: process
        +-- workers.run              the bounded worker nursery (owns its workers)
        +-- large.run                three workers: large messages are read, written, and stored
        +-- connections.run          the one task that owns every socket but the monitoring port's
        |   +-- keep time            what is due on the timers
        |   +-- flush                what a tick of other tasks wrote, in one go
        +-- storage.run              with Redis: a connector for each node, the topology, outages
        +-- recorder.run             writes the audit record (where there is one)
        +-- authenticator.run        reads keys anew (where there are credentials)
        +-- recheck.run              ends what ended credentials opened
        +-- quotas.run               keeps quotas in step (where something is limited)
        +-- upkeep.run               ends what is overdue, moves on what is unseen
        +-- monitoring.serve         the monitoring port (hypercorn owns its connections)
        +-- _watch_signals           SIGTERM drains, a second one ends at once; SIGHUP reloads
        +-- _watch_parent            one of --workers drains when its parent is gone

Nothing else starts tasks. Everything below is told the time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import platform
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Final, final

import structlog
import trio

from gateway import announcement, reload, storage
from gateway.approvals import Approvals
from gateway.callers import mcp_endpoint_of
from gateway.clock import WallClock
from gateway.codings import Codings
from gateway.drain import send_away
from gateway.failures import Failures
from gateway.frontend_port import frontends_endpoint_of
from gateway.http.access import Allowlist
from gateway.http.head import Heads
from gateway.http.messages import Handler
from gateway.http.proxied import opened
from gateway.http.proxies import Proxies
from gateway.http.response import Site
from gateway.hub import Hub
from gateway.ids import Ids
from gateway.large import Large
from gateway.mcp.registry import Registry
from gateway.metrics import Metrics
from gateway.monitoring.endpoint import MonitoringApp, serve_monitoring
from gateway.monitoring.probes import Probes
from gateway.ports import allowed_connections, bound, port_of
from gateway.quotas.keeper import keeper_of
from gateway.reload import Reloader
from gateway.reports import Reports
from gateway.router import Router
from gateway.settings import Settings
from gateway.signing import SigningKeys
from gateway.upkeep import Upkeep
from gateway.web_tools import WebTools
from pool.connection import Callback
from pool.connections import Connections
from pool.timers import Timers
from pool.workers import Workers
from session.model import NOBODY, SCOPES, Delivery, Principal

if TYPE_CHECKING:
    from gateway.access import Access

log = structlog.get_logger()

# Everybody is this, as long as there are no credentials.
ANYBODY: Final = Principal("default", "anonymous", scopes=SCOPES)

_REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: 38\r\n\r\n"
    b'{"error":"Too many connections here."}'
)
# Who leaves leaves no cycles (tests/costs), so the collector may look seldom at what has
# lived for long, and at little at a time: its pauses are everybody's.
_COLLECT_AFTER: Final = (10_000, 2, 1_000)
_NEARLY_FULL: Final = 0.9


def serve(settings: Settings, parent: int | None = None, reloader: Reloader | None = None) -> int:
    """Run the gateway until it is told to stop. Returns the exit status.

    With ``parent``, a descriptor, it is one of several on the same ports, and stops when
    that is readable.

    Raises:
        OSError: a port cannot be bound, or the store cannot be used; the message says which.
    """
    connections = allowed_connections(settings.connections.maximum)
    if connections < settings.connections.maximum:
        fewer = dataclasses.replace(settings.connections, maximum=connections)
        settings = dataclasses.replace(settings, connections=fewer)
    gateway = Gateway(settings, parent, reloader)
    # Before the first connection there is nobody to say goodbye to; after the last
    # one, whoever asks for the end is about to get it.
    signal.signal(
        signal.SIGTERM, lambda _number, _frame: None if gateway.has_started else sys.exit(0)
    )
    if reloader is not None and not sys.stdout.isatty():
        # Who says to look at the settings again before there is anybody to look does no harm.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with storage.said_plainly():
        trio.run(gateway.run, strict_exception_groups=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return 0


@final
class Gateway:
    """The parts of one process."""

    def __init__(
        self,
        settings: Settings,
        parent: int | None = None,
        reloader: Reloader | None = None,
        declare: Callable[[Gateway], None] = lambda _gateway: None,
    ) -> None:
        self.settings = settings
        #: Declares more in ``registry`` than the product does, before anybody is served.
        self.declare = declare
        self.parent = parent
        self.reloader = reloader
        self.version = metadata.version("frontend-router")
        self.metrics = Metrics()
        self.codings = Codings(settings.http.body_bytes, self.metrics)
        self.ids = Ids()
        self.instance = f"{platform.node()}-{self.ids.new()[:8]}"
        self.clock = WallClock().now
        self.has_started = False
        self.is_ready = False
        #: The ports by what they are for, once they are bound.
        self.ports: dict[str, int] = {}
        self.stopping = trio.Event()
        #: Everything that callers are offered, once it is declared.
        self.registry = Registry()

    async def run(self) -> None:
        """Open the ports, serve, drain."""
        with contextlib.ExitStack() as stack:
            ports = self._bind(stack)
            self.ports = {name: port_of(sock) for name, sock in ports.items()}
            self._assemble(ports)
            async with trio.open_nursery() as process:
                # First: a signal may come while the store is waited for.
                await process.start(self._watch_signals, process.cancel_scope)
                await process.start(self.workers.run)
                await process.start(self.large.run)
                await process.start(self.connections.run)
                if self.storage.run is not None:
                    await process.start(self.storage.run)
                await self.signing.refresh()
                if self.audit is not None:
                    await process.start(self.audit.recorder.run)
                if self.access is not None:
                    await process.start(self.access.authenticator.run)
                    await process.start(self.access.recheck.run)
                if self.quotas is not None:
                    await process.start(self.quotas.run)
                await process.start(self.upkeep.run)
                await process.start(partial(serve_monitoring, self.monitoring, ports["monitoring"]))
                if self.parent is not None:
                    process.start_soon(self._watch_parent, self.parent)
                # What was made so far lives as long as the process does: the
                # collector need not look at it again and again.
                gc.collect()
                gc.freeze()
                gc.set_threshold(*_COLLECT_AFTER)
                self.is_ready = True
                announcement.announce(self)
                await self.stopping.wait()
                await self._drain()
                process.cancel_scope.cancel()
        log.info("gateway_stopped")

    # -- making the parts

    def _bind(self, stack: contextlib.ExitStack) -> dict[str, socket.socket]:
        wanted = {
            "ws": self.settings.ws_port,
            "mcp": self.settings.mcp_port,
            "monitoring": self.settings.monitoring_port,
        }
        return {
            name: stack.enter_context(
                bound(self.settings.host, port, f"--{name}-port", shared=self.parent is not None)
            )
            for name, port in wanted.items()
        }

    def _assemble(self, ports: dict[str, socket.socket]) -> None:
        settings = self.settings
        self.timers: Timers[Callback] = Timers(trio.current_time())
        failures = Failures(self.timers)
        self.connections = Connections(settings.connections, self.timers, failures.connection)
        self.workers = Workers(settings.nursery, on_failure=failures.job)
        self.large = Large(settings.large, failures.job)
        self.storage = storage.opened(
            settings,
            connections=self.connections,
            timers=self.timers,
            clock=self.clock,
            instance=self.instance,
            ids=self.ids,
            stepper=self.large.store,
        )
        self.audit = storage.audit_of(
            settings,
            self.storage,
            workers=self.workers,
            clock=self.clock,
            instance=self.instance,
        )
        #: What is signed and sealed here is good at every instance.
        self.signing = SigningKeys(settings.mcp.key_file, self.storage.receipts)
        self.hub = Hub()
        self.router = Router(
            settings.questions,
            store=self.storage.store,
            bus=self.storage.bus,
            hub=self.hub,
            ids=self.ids,
            clock=self.clock,
            delivery=Delivery(settings.delivery),
            on_settled=self.metrics.question_settled,
            instance=self.instance,
            audit=self.audit,
            approvals=Approvals(
                self.signing,
                self.storage.receipts,
                clock=self.clock,
                ids=self.ids,
                audit=self.audit,
            ),
        )
        self.upkeep = Upkeep(self.router, self.workers, self.storage.session_idle_seconds)
        self.storage.bus.subscribe(self.upkeep)
        self.allowlist = Allowlist(settings.access, [port_of(sock) for sock in ports.values()])
        self.proxies = Proxies(
            settings.access.proxies,
            speaks_proxy_protocol=settings.access.proxy_protocol == "on",
        )
        self.reports = Reports(self)
        self.probes = self._make_probes()
        self.monitoring = MonitoringApp(self.probes, self.metrics, self.allowlist)
        self.access = self._make_access()
        self.quotas = keeper_of(self)
        self.tools = WebTools(
            settings.page_tools,
            router=self.router,
            store=self.storage.tools,
            bus=self.storage.bus,
            instance=self.instance,
            quotas=None if self.quotas is None else self.quotas.allowances,
        )
        self.upkeep.tools = self.tools
        self.frontends = frontends_endpoint_of(self, port_of(ports["mcp"]))
        self.frontends.admit_embedders(settings.access.origins)
        self.mcp = mcp_endpoint_of(self)
        self.sites: list[Site] = []
        if self.access is None:
            self._listen(ports["ws"], self.frontends.handle, ANYBODY)
            self._listen(ports["mcp"], self.mcp.handle, ANYBODY)
        else:
            self._listen(ports["ws"], self.access.guarded_frontends(self.frontends.handle), NOBODY)
            self._listen(ports["mcp"], self.access.guarded_callers(self.mcp.handle), NOBODY)
        self.metrics.read_from(self.reports.readings)

    def _make_probes(self) -> Probes:
        return Probes(
            components={
                "store": self.storage.check,
                "workers": self.reports.workers,
                "connections": self.reports.connections,
            },
            is_ready=self._can_serve,
            clock=self.clock,
            lag=lambda: trio.current_time() - self.timers.now(),
            new_id=self.ids.new,
            version=self.version,
            system_info=self.reports.system_info,
        )

    def _make_access(self) -> Access | None:
        if not self.settings.auth.is_on:
            return None
        # Only here: cryptography takes a while to load.
        access: type[Access] = importlib.import_module("gateway.access").Access
        return access(self)

    def _can_serve(self) -> bool:
        knows_keys = self.access is None or self.access.authenticator.is_ready
        return self.is_ready and knows_keys and self.storage.is_usable()

    def _listen(self, sock: socket.socket, handler: Handler, principal: Principal) -> None:
        settings = self.settings
        site = Site(
            handler,
            Heads(settings.http, self.allowlist),
            settings.http,
            self.timers,
            self.metrics.request_done,
            principal=principal,
            pack=self.codings.packed,
            pack_stream=self.codings.stream,
            in_steps=self.large.beside,
            proxies=self.proxies,
        )
        self.sites.append(site)
        self.connections.listen(
            sock, partial(opened, site, _REFUSAL), refusal=_REFUSAL, is_proxy=self.proxies.trusts
        )

    # -- going away

    async def _watch_signals(
        self,
        process: trio.CancelScope,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        # A terminal that is closed says the same, and means the end.
        reloads = self.reloader is not None and not sys.stdout.isatty()
        heard = (signal.SIGTERM, signal.SIGINT, *((signal.SIGHUP,) if reloads else ()))
        with trio.open_signal_receiver(*heard) as signals:
            self.has_started = True
            task_status.started()
            async for number in signals:
                if number == signal.SIGHUP:
                    self._reload()
                    continue
                if self.stopping.is_set() or not self.is_ready:
                    log.warning("gateway_stopped_at_once", signal=signal.Signals(number).name)
                    process.cancel()
                    return
                log.info("gateway_draining", signal=signal.Signals(number).name)
                self.stopping.set()

    def _reload(self) -> None:
        assert self.reloader is not None
        if not self.is_ready:
            log.warning("reload_ignored", reason="the gateway starts, or leaves")
        elif (changes := self.reloader.read()) is not None:
            reload.apply(self, changes)

    async def _watch_parent(self, parent: int) -> None:
        await trio.lowlevel.wait_readable(parent)
        log.warning("gateway_draining", reason="the process that started this one has ended")
        self.stopping.set()

    async def _drain(self) -> None:
        """Go away without losing anybody: see `gateway.drain` for the steps' times."""
        drain = self.settings.drain
        self.is_ready = False
        await trio.sleep(max(drain.settle_seconds, self.storage.bus.decline()))
        self.connections.stop_listening()
        self.router.draining = True
        with trio.move_on_after(drain.wait_seconds):
            await self.upkeep.wait_until_nobody_waits()
        await self.upkeep.tell_waiters_to_come_back()
        self.mcp.stop_listening()
        await send_away(self.frontends.sockets(), drain)
        with trio.move_on_after(drain.leave_seconds):
            await self.large.drain()
            await self.workers.drain()
            await self.connections.wait_until_sent()
            if self.quotas is not None:
                self.quotas.say_left_out()
            if self.audit is not None:
                await self.audit.recorder.drain()
