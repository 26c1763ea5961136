"""How a real gateway sends its frontends elsewhere.

SOCKETS=10000 in the environment has it send so many.
"""

from __future__ import annotations

import re
import signal

import pytest

from tests.live.peer import SOCKETS, websockets
from tests.live.process import running_gateway

pytestmark = pytest.mark.slow


def test_frontends_are_sent_away_one_after_the_other_each_with_a_pause() -> None:
    quick = ("--drain-settle-seconds", "0", "--drain-wait-seconds", "0")
    with running_gateway(*quick) as gateway, websockets(gateway.ws_port, SOCKETS) as peers:
        gateway.process.send_signal(signal.SIGTERM)
        pauses = []
        for peer in peers:
            frame = peer.frame_but_pings()
            assert frame.close_code == 1012
            told = re.fullmatch(rb".*; retry_after_ms=(\d+)", frame.payload[2:])
            assert told, frame
            pauses.append(int(told[1]))
        # How evenly they leave is tested where time is a test's own: tests/gateway/test_drain.py.
        assert 0 <= min(pauses) < 200
        assert 800 < max(pauses) < 1000
