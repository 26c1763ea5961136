"""What the process says of itself, to probes and to metrics, each time it is asked."""

from __future__ import annotations

import dataclasses
import platform
import resource
import sys
from typing import TYPE_CHECKING, Final, final

import trio

from gateway.monitoring.probes import Check, Status

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.metrics import Reading

_NEARLY_FULL: Final = 0.9


@final
class Reports:
    """Reads the parts of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def workers(self) -> Check:
        """Return how the worker nursery does."""
        state = self._gateway.workers.statistics()
        full = state.queued / self._gateway.settings.nursery.queue
        status = Status.HEALTHY if full < _NEARLY_FULL else Status.WARNING
        return Check(status, f"jobs in the queue: {state.queued:,}", dataclasses.asdict(state))

    def connections(self) -> Check:
        """Return how the connections do."""
        state = self._gateway.connections.statistics()
        status = Status.HEALTHY if state.accepting else Status.WARNING
        message = "accepting" if state.accepting else "out of file descriptors"
        return Check(status, message, {"open": state.open, "refused": state.refused})

    def system_info(self) -> dict[str, object]:
        """Return what runs here, for people."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "instance": self._gateway.instance,
            "python": platform.python_version(),
            "platform": sys.platform,
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        }

    def readings(self) -> dict[str, Reading]:
        """Return what metrics cannot count by themselves."""
        gateway = self._gateway
        connections = gateway.connections.statistics()
        workers = gateway.workers.statistics()
        reading = gateway.large.reading.statistics()
        writing = gateway.large.writing.statistics()
        storing = gateway.large.storing.statistics()
        mcp = gateway.mcp.statistics()
        return {
            "http_requests_in_flight": mcp.active + mcp.listeners,
            "websocket_connections_active": gateway.frontends.connected(),
            "mcp_active_requests": mcp.active,
            "channel_utilization_percent": {
                ("workers",): 100 * workers.queued / gateway.settings.nursery.queue,
                ("questions",): gateway.storage.fullness(),
            },
            "active_user_sessions": len(gateway.hub),
            "frontend_router_info": {(gateway.version, gateway.instance): 1},
            "frontend_router_connections": connections.open,
            "frontend_router_connections_blocked": connections.blocked,
            "frontend_router_outbox_bytes": connections.outbox_bytes,
            "frontend_router_worker_queue_depth": workers.queued,
            "frontend_router_tasks": trio.lowlevel.current_statistics().tasks_living,
            "frontend_router_workers": workers.workers,
            "frontend_router_workers_busy": workers.busy,
            "frontend_router_loop_lag_seconds": connections.lag,
            "frontend_router_loop_stall_seconds": connections.stall,
            "frontend_router_timers": connections.timers,
            "frontend_router_withdrawals_waiting": len(gateway.router.withdrawals.waiting),
            "frontend_router_tools_offered": gateway.tools.offers.tools,
            "frontend_router_tool_bytes": gateway.tools.offers.size,
            "frontend_router_presence_watches": len(gateway.router.people.news),
            "frontend_router_resources_watched": mcp.watched,
            "frontend_router_presence_unsaid": gateway.router.people.news.unsaid,
            "frontend_router_connections_accepted_total": connections.accepted,
            "frontend_router_slow_consumers_total": connections.slow_consumers,
            "frontend_router_large_waiting": {
                ("reading",): reading.queued,
                ("writing",): writing.queued,
                ("storing",): storing.queued,
            },
            "frontend_router_notes_left_out_total": gateway.router.chronicle.left_out,
            "frontend_router_refused_total": {
                ("large",): reading.refused + writing.refused + storing.refused,
                ("connections",): connections.refused,
                ("idle",): connections.made_room,
                ("withdrawals",): gateway.router.withdrawals.given_up,
            },
            **gateway.storage.readings(),
            **({} if gateway.quotas is None else gateway.quotas.readings()),
            **self._audit(),
        }

    def _audit(self) -> dict[str, Reading]:
        audit = self._gateway.audit
        if audit is None:
            return {}
        entries = audit.recorder.statistics()
        return {
            "frontend_router_audit_waiting": entries.waiting,
            "frontend_router_audit_entries_total": {
                ("written",): entries.written,
                ("dropped",): entries.dropped,
            },
        }
