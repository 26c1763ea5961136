"""A gateway with what the suite asks for: `python -m tests.conformance --mcp-port N`."""

from __future__ import annotations

import argparse
import sys

import trio

from gateway import drain, logs
from gateway.app import Gateway
from gateway.mcp.seals import Seals
from gateway.settings import MEMORY, Settings
from tests.conformance import reading
from tests.conformance.asking import Asking
from tests.conformance.tasks import Jobs
from tests.conformance.tools import Tools


def declare(gateway: Gateway) -> None:
    """Declare what the suite calls, beside what the product has."""
    registry = gateway.registry
    Tools(registry).declare()
    reading.declare(registry)
    Asking(Seals("conformance", gateway.clock, keys=lambda: gateway.signing.all("seals"))).declare(
        registry
    )
    Jobs(gateway)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("--mcp-port", type=int, default=0)
    parser.add_argument("--store", default=MEMORY)
    arguments = parser.parse_args()
    logs.configure("info", sys.stdout)
    settings = Settings(
        ws_port=0,
        mcp_port=arguments.mcp_port,
        monitoring_port=0,
        store=arguments.store,
        drain=drain.Settings(0, 0.5),
    )
    trio.run(Gateway(settings, declare=declare).run, strict_exception_groups=True)


if __name__ == "__main__":
    main()
