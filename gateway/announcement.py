"""What a gateway says of itself: to its log, to who started it, and to agents."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, Final

import structlog

from gateway import invocation
from gateway.ports import url_host
from gateway.router import Router

if TYPE_CHECKING:
    from gateway.app import Gateway

log = structlog.get_logger()

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
  Try it:             {program} ask "Which colour?" --choice red --choice blue
"""


def announce(gateway: Gateway) -> None:
    """Say that a gateway is there, and where."""
    host = url_host(gateway.settings.host)
    numbers = gateway.ports
    inbox = f"http://{host}:{numbers['ws']}/"
    mcp = f"http://{host}:{numbers['mcp']}/mcp"
    log.info(
        "gateway_started",
        version=gateway.version,
        instance=gateway.instance,
        store=gateway.storage.name,
        compiled=COMPILED,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        inbox=inbox,
        mcp=mcp,
        **{f"{name}_port": number for name, number in numbers.items()},
    )
    if sys.stdout.isatty():
        print(  # noqa: T201 - for the person who typed the command
            BANNER.format(
                inbox=inbox,
                mcp=mcp,
                program=invocation.command(),
                monitoring=f"http://{host}:{numbers['monitoring']}/health",
            )
        )
