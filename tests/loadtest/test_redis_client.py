"""The measurement of the client of Redis runs, and says what it found."""

from __future__ import annotations

import pytest

from loadtest.redis_client import main

pytestmark = pytest.mark.slow


def test_both_clients_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--commands", "2000", "--tasks", "10", "--rounds", "1"])
    said = capsys.readouterr().out
    for name in ("ours, tasks", "ours, parked jobs", "redis-py, a thread"):
        assert name in said
    assert "times redis-py by CPU" in said
