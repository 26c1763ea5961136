"""The callers' port of a process, and what it serves: a part of the composition root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import announcement
from gateway.mcp import page_tools
from gateway.mcp.endpoint import McpEndpoint
from gateway.mcp.inquiries import Inquiries
from gateway.mcp.page_tools import PageTools
from gateway.mcp.results import Implementation
from gateway.mcp.tools import product_registry
from gateway.settings import MEMORY

if TYPE_CHECKING:
    from gateway.app import Gateway


def mcp_endpoint_of(gateway: Gateway) -> McpEndpoint:
    """Make the port that callers come to, with all that is declared."""
    settings = gateway.settings
    kept = settings.memory if settings.store == MEMORY else settings.redis
    quotas = None if gateway.quotas is None else gateway.quotas.allowances
    gateway.registry = product_registry(
        settings.tools,
        router=gateway.router,
        workers=gateway.workers,
        timers=gateway.timers,
        quotas=quotas,
        kept_seconds=kept.answer_seconds,
    )
    tools = gateway.tools
    pages = PageTools(
        settings.page_tools,
        registry=gateway.registry,
        router=gateway.router,
        calls=tools.calls,
        catalogs=tools.catalogs,
        tools=tools.store,
        workers=gateway.workers,
        timers=gateway.timers,
        quotas=quotas,
        resource=settings.auth.resource,
    )
    page_tools.register(pages, gateway.registry)
    if gateway.access is not None:
        gateway.registry.denied = gateway.access.lacks_scope
    gateway.declare(gateway)
    inquiries = Inquiries(
        gateway.timers,
        gateway.ids,
        seconds=settings.mcp.inquiry_seconds,
        limit=settings.mcp.inquiries,
        pass_on=gateway.storage.bus.respond if gateway.router.shared else None,
    )
    gateway.upkeep.on_response = inquiries.heard
    endpoint = McpEndpoint(
        settings.mcp,
        registry=gateway.registry,
        store=gateway.storage.store,
        workers=gateway.workers,
        timers=gateway.timers,
        ids=gateway.ids,
        inquiries=inquiries,
        clock=gateway.clock,
        server=Implementation("frontend-router", gateway.version, "frontend-router"),
        health=gateway.probes.outline,
        codings=gateway.codings,
        large=gateway.large,
        resource=settings.auth.resource,
        on_call=gateway.metrics.mcp_done,
        instructions=announcement.INSTRUCTIONS,
        quotas=quotas,
        announce=gateway.storage.bus.session,
        tell=gateway.storage.bus.cancel if gateway.router.shared else None,
    )
    gateway.upkeep.on_cancellation = endpoint.cancellations.heard
    gateway.upkeep.on_session = endpoint.watches.changed
    gateway.upkeep.on_missed = endpoint.watches.missed
    tools.on_changed = endpoint.page_tools_changed(tools.catalogs)
    return endpoint
