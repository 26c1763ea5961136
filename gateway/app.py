"""The composition root: every part is made here, and every task has its owner here.

    serve()                          one Trio run
    +-- nursery: process
        +-- workers.run              the bounded worker nursery (owns its workers)
        +-- router.run               ends what is overdue, moves on what is unseen
        +-- monitoring.serve         the monitoring port (hypercorn owns its connections)
        +-- connections.run          the one task that owns every other socket
        |   +-- keep time            what is due on the timers
        +-- _watch_signals           SIGTERM drains, a second one ends at once

Nothing else starts tasks. Everything below is told the time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import platform
import resource
import signal
import socket
import sys
from functools import partial
from importlib import metadata
from typing import Final, final

import structlog
import trio

from gateway.clock import WallClock
from gateway.frontends.endpoint import FrontendsEndpoint
from gateway.frontends.static import StaticFiles
from gateway.http.access import Allowlist
from gateway.http.connection import HttpConnection
from gateway.http.head import Heads
from gateway.http.messages import Handler
from gateway.http.response import Site
from gateway.hub import Hub
from gateway.ids import Ids
from gateway.mcp.endpoint import McpEndpoint
from gateway.mcp.results import Implementation
from gateway.mcp.tools import product_registry
from gateway.metrics import Metrics, Reading
from gateway.monitoring.endpoint import MonitoringApp, serve_monitoring
from gateway.monitoring.probes import Check, Probes, Status
from gateway.ports import allowed_connections, bound, port_of, url_host
from gateway.router import Router
from gateway.settings import Settings
from pool.connection import Callback, Connection
from pool.connections import Connections
from pool.timers import Timers
from pool.workers import Workers
from session import MemoryBus, MemoryStore
from session.model import Delivery, Principal

log = structlog.get_logger()

# Everybody is this, as long as there are no credentials.
TENANT: Final = "default"
ANYBODY: Final = Principal(TENANT, "anonymous")

_REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: 38\r\n\r\n"
    b'{"error":"Too many connections here."}'
)
# Who leaves leaves no cycles (tests/costs), so the collector may look seldom at what has
# lived for long, and at little at a time: its pauses are everybody's.
_COLLECT_AFTER: Final = (10_000, 2, 1_000)
_NEARLY_FULL: Final = 0.9
#: Whether the hot path runs as C (`make compiled`) or from source.
COMPILED: Final = not (sys.modules[Router.__module__].__file__ or "").endswith(".py")
INSTRUCTIONS: Final = (
    "ask_user puts a question in front of a person and returns the answer; it may take minutes. "
    "If the call is cut off, ask again with the same idempotency_key, or use wait=return and "
    "collect_answer."
)
BANNER: Final = """
  frontend-router is running.

  People answer at    {inbox}
  Agents connect to   {mcp}
  Health              {monitoring}

  Claude Code:        claude mcp add --transport http frontend-router {mcp}
  Try it:             frontend-router ask "Which colour?" --choice red --choice blue
"""


def serve(settings: Settings) -> int:
    """Run the gateway until it is told to stop. Returns the exit status.

    Raises:
        OSError: a port cannot be bound; the message names it.
    """
    connections = allowed_connections(settings.connections.maximum)
    if connections < settings.connections.maximum:
        fewer = dataclasses.replace(settings.connections, maximum=connections)
        settings = dataclasses.replace(settings, connections=fewer)
    gateway = Gateway(settings)
    # Before the first connection there is nobody to say goodbye to; after the last
    # one, whoever asks for the end is about to get it.
    signal.signal(
        signal.SIGTERM, lambda _number, _frame: None if gateway.has_started else sys.exit(0)
    )
    trio.run(gateway.run, strict_exception_groups=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return 0


@final
class Gateway:
    """The parts of one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.version = metadata.version("frontend-router")
        self.metrics = Metrics()
        self.ids = Ids()
        self.instance = f"{platform.node()}-{self.ids.new()[:8]}"
        self.clock = WallClock().now
        self.has_started = False
        self.is_ready = False
        #: The ports by what they are for, once they are bound.
        self.ports: dict[str, int] = {}
        self.stopping = trio.Event()

    async def run(self) -> None:
        """Open the ports, serve, drain."""
        with contextlib.ExitStack() as stack:
            ports = self._bind(stack)
            self.ports = {name: port_of(sock) for name, sock in ports.items()}
            self._assemble(ports)
            async with trio.open_nursery() as process:
                await process.start(self.workers.run)
                await process.start(self.router.run)
                await process.start(partial(serve_monitoring, self.monitoring, ports["monitoring"]))
                await process.start(self.connections.run)
                # Started, not only scheduled: a signal may come right after the announcement.
                await process.start(self._watch_signals, process.cancel_scope)
                # What was made so far lives as long as the process does: the
                # collector need not look at it again and again.
                gc.collect()
                gc.freeze()
                gc.set_threshold(*_COLLECT_AFTER)
                self.is_ready = True
                self._announce()
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
            name: stack.enter_context(bound(self.settings.host, port, f"--{name}-port"))
            for name, port in wanted.items()
        }

    def _assemble(self, ports: dict[str, socket.socket]) -> None:
        settings = self.settings
        self.timers: Timers[Callback] = Timers(trio.current_time())
        self.connections = Connections(settings.connections, self.timers, _connection_failed)
        self.workers = Workers(settings.workers, on_failure=_job_failed)
        self.store = MemoryStore(settings.memory, self.clock)
        self.hub = Hub()
        self.router = Router(
            settings.questions,
            store=self.store,
            bus=MemoryBus(),
            hub=self.hub,
            ids=self.ids,
            clock=self.clock,
            delivery=Delivery(settings.delivery),
            on_settled=self.metrics.question_settled,
        )
        self.allowlist = Allowlist(settings.access, [port_of(sock) for sock in ports.values()])
        self.probes = self._make_probes()
        self.monitoring = MonitoringApp(self.probes, self.metrics, self.allowlist)
        self.frontends = self._make_frontends(port_of(ports["mcp"]))
        self.mcp = self._make_mcp()
        self._listen(ports["ws"], self.frontends.handle)
        self._listen(ports["mcp"], self.mcp.handle)
        self._register_gauges()

    def _make_probes(self) -> Probes:
        return Probes(
            components={
                "store": self._check_store,
                "workers": self._check_workers,
                "connections": self._check_connections,
            },
            is_ready=lambda: self.is_ready,
            clock=self.clock,
            lag=lambda: trio.current_time() - self.timers.now(),
            new_id=self.ids.new,
            version=self.version,
            system_info=self._system_info,
        )

    def _make_frontends(self, mcp_port: int) -> FrontendsEndpoint:
        return FrontendsEndpoint(
            self.settings.frontends,
            router=self.router,
            workers=self.workers,
            timers=self.timers,
            ids=self.ids,
            static=StaticFiles.of_inbox(),
            health=self.probes.response,
            config={
                "version": self.version,
                "ws_path": "/ws",
                "mcp_url": f"http://{url_host(self.settings.host)}:{mcp_port}/mcp",
            },
            tenant=TENANT,
            instance=self.instance,
            version=self.version,
            metrics=self.metrics,
        )

    def _make_mcp(self) -> McpEndpoint:
        registry = product_registry(
            self.settings.tools, router=self.router, workers=self.workers, timers=self.timers
        )
        return McpEndpoint(
            self.settings.mcp,
            registry=registry,
            store=self.store,
            workers=self.workers,
            timers=self.timers,
            ids=self.ids,
            clock=self.clock,
            server=Implementation("frontend-router", self.version, "frontend-router"),
            identify=lambda _request: ANYBODY,
            health=self.probes.response,
            on_call=self.metrics.mcp_done,
            instructions=INSTRUCTIONS,
        )

    def _listen(self, sock: socket.socket, handler: Handler) -> None:
        settings = self.settings
        site = Site(
            handler,
            Heads(settings.http, self.allowlist),
            settings.http,
            self.timers,
            self.metrics.request_done,
        )
        self.connections.listen(sock, partial(HttpConnection, site), refusal=_REFUSAL)

    # -- going away

    async def _watch_signals(
        self,
        process: trio.CancelScope,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            self.has_started = True
            task_status.started()
            async for number in signals:
                if self.stopping.is_set():
                    log.warning("gateway_stopped_at_once", signal=signal.Signals(number).name)
                    process.cancel()
                    return
                log.info("gateway_draining", signal=signal.Signals(number).name)
                self.stopping.set()

    async def _drain(self) -> None:
        """Go away without losing anybody: see `gateway.drain` for the steps' times."""
        drain = self.settings.drain
        self.is_ready = False
        await trio.sleep(drain.settle_seconds)
        self.connections.stop_listening()
        self.router.draining = True
        with trio.move_on_after(drain.wait_seconds):
            await self.router.wait_until_nobody_waits()
        await self.router.tell_waiters_to_come_back()
        self.mcp.stop_listening()
        for frontend in self.frontends.sockets():
            frontend.restart()
        with trio.move_on_after(drain.leave_seconds):
            await self.workers.drain()
            await self.connections.wait_until_sent()

    # -- watching

    def _announce(self) -> None:
        host = url_host(self.settings.host)
        numbers = self.ports
        log.info(
            "gateway_started",
            version=self.version,
            instance=self.instance,
            store="memory",
            compiled=COMPILED,
            python=f"{platform.python_implementation()} {platform.python_version()}",
            **{f"{name}_port": number for name, number in numbers.items()},
        )
        if sys.stdout.isatty():
            print(  # noqa: T201 - for the person who typed the command
                BANNER.format(
                    inbox=f"http://{host}:{numbers['ws']}/",
                    mcp=f"http://{host}:{numbers['mcp']}/mcp",
                    monitoring=f"http://{host}:{numbers['monitoring']}/health",
                )
            )

    def _check_store(self) -> Check:
        held = self.store.statistics()
        limits = self.settings.memory
        full = max(held.pending / limits.pending, held.bytes / limits.bytes)
        status = Status.HEALTHY if full < _NEARLY_FULL else Status.WARNING
        return Check(status, f"{held.pending} questions are open", dataclasses.asdict(held))

    def _check_workers(self) -> Check:
        state = self.workers.statistics()
        full = state.queued / self.settings.workers.queue
        status = Status.HEALTHY if full < _NEARLY_FULL else Status.WARNING
        return Check(status, f"{state.queued} jobs are queued", dataclasses.asdict(state))

    def _check_connections(self) -> Check:
        state = self.connections.statistics()
        status = Status.HEALTHY if state.accepting else Status.WARNING
        message = "accepting" if state.accepting else "out of file descriptors"
        return Check(status, message, {"open": state.open, "refused": state.refused})

    def _system_info(self) -> dict[str, object]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "instance": self.instance,
            "python": platform.python_version(),
            "platform": sys.platform,
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        }

    def _register_gauges(self) -> None:
        self.metrics.read_from(self._readings)

    def _readings(self) -> dict[str, Reading]:
        connections = self.connections.statistics()
        workers = self.workers.statistics()
        held = self.store.statistics()
        mcp = self.mcp.statistics()
        return {
            "http_requests_in_flight": mcp.active + mcp.listeners,
            "websocket_connections_active": self.frontends.connected(),
            "mcp_active_requests": mcp.active,
            "channel_utilization_percent": {
                ("workers",): 100 * workers.queued / self.settings.workers.queue,
                ("questions",): 100 * held.pending / self.settings.memory.pending,
            },
            "active_user_sessions": held.frontends,
            "frontend_router_info": {(self.version, self.instance): 1},
            "frontend_router_connections": connections.open,
            "frontend_router_connections_blocked": connections.blocked,
            "frontend_router_outbox_bytes": connections.outbox_bytes,
            "frontend_router_worker_queue_depth": workers.queued,
            "frontend_router_workers": workers.workers,
            "frontend_router_workers_busy": workers.busy,
            "frontend_router_loop_lag_seconds": connections.lag,
            "frontend_router_loop_stall_seconds": connections.stall,
            "frontend_router_timers": connections.timers,
            "frontend_router_questions_open": held.pending,
            "frontend_router_connections_accepted_total": connections.accepted,
            "frontend_router_slow_consumers_total": connections.slow_consumers,
            "frontend_router_refused_total": {("connections",): connections.refused},
        }


def _connection_failed(connection: Connection | None, error: Exception) -> None:
    log.error("connection_failed", peer=connection.peer if connection else "", exc_info=error)


def _job_failed(lane: str, error: BaseException) -> None:
    log.error("job_failed", tenant=lane, exc_info=error)
