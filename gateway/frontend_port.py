"""What frontends reach: a part of the composition root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.frontends.endpoint import FrontendsEndpoint
from gateway.frontends.static import StaticFiles
from gateway.ports import url_host

if TYPE_CHECKING:
    from gateway.app import Gateway


def frontends_endpoint_of(gateway: Gateway, mcp_port: int) -> FrontendsEndpoint:
    """Return the endpoint of frontends; the inbox tells people where agents are served."""
    settings = gateway.settings
    access = gateway.access
    return FrontendsEndpoint(
        settings.frontends,
        router=gateway.router,
        workers=gateway.workers,
        timers=gateway.timers,
        ids=gateway.ids,
        static=StaticFiles.of_inbox(settings.access.origins),
        health=gateway.probes.outline,
        config={
            "version": gateway.version,
            "ws_path": "/ws",
            "sign_in": access is not None,
            "origins": settings.access.origins,
            "mcp_url": settings.auth.resource or f"http://{url_host(settings.host)}:{mcp_port}/mcp",
        },
        doorman=None if access is None else access.doorman,
        instance=gateway.instance,
        version=gateway.version,
        metrics=gateway.metrics,
        large=gateway.large,
        quotas=None if gateway.quotas is None else gateway.quotas.allowances,
        tools=gateway.tools.offers,
        calls=gateway.tools.calls,
    )
