"""A gateway that allows texts of sixteen mebibytes, and tells how long its steps take.

The processor's time of the longest step of any task is what everybody else has to wait for. It
is compared with what else takes time there, as a loaded machine makes everything slow.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.live.conftest import LEAVE_AT_ONCE
from tests.live.process import GatewayProcess, started
from tests.live.test_large import LARGEST, MESSAGE
from tests.yardstick import as_if_idle

_MOST_SECONDS: Final = 0.05


class Watched:
    """A gateway, and how long its longest step was."""

    def __init__(self, gateway: GatewayProcess, told: Path) -> None:
        self.gateway = gateway
        self._told = told

    def tries(self, what: str) -> Iterator[None]:
        """Have the same done up to three times; assert that no step of it has to take long.

        What it takes is the least of them: a machine that is short of memory has the kernel
        add to a step what is none of ours.
        """
        least = math.inf
        for _ in range(3):
            self._told.unlink(missing_ok=True)
            yield
            took = float(self._told.read_text()) if self._told.exists() else 0.0
            least = min(least, took)
            if as_if_idle(took) < _MOST_SECONDS:
                return
        pytest.fail(f"{what}: {least:.3f} s")


def watching(
    tmp_path_factory: pytest.TempPathFactory, *flags: str, outbox: int = 4 * MESSAGE
) -> Iterator[Watched]:
    """Have such a gateway, with what a test wants besides."""
    told = tmp_path_factory.mktemp("steps") / "longest"
    command = [
        *(sys.executable, "-m", "tests.live.stepwatch", str(told), *LEAVE_AT_ONCE),
        *("--ws-port", "0", "--mcp-port", "0", "--monitoring-port", "0"),
        *("--questions-question-bytes", str(LARGEST), "--questions-answer-bytes", str(LARGEST)),
        *("--http-body-bytes", str(MESSAGE), "--frontends-message-bytes", str(MESSAGE)),
        # Peers read one after the other, however long that takes.
        *("--connections-outbox-bytes", str(outbox), "--connections-send-seconds", "120"),
        *flags,
    ]
    with started(command, Path(__file__).parents[2]) as gateway:
        yield Watched(gateway, told)
