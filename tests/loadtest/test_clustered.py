"""Two gateways on a real cluster, measured for a moment: what is checked is that it works."""

from __future__ import annotations

import pytest

from loadtest import clustered


@pytest.mark.slow
def test_round_trips_between_two_gateways_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert clustered.main(["--seconds", "0.3", "--runs", "1"]) == 0
    said = capsys.readouterr().out
    assert "CPU of both" in said
    assert "all served again after" in said
    # A question is admitted, held and settled; sweeps and retries are what is more.
    (line,) = (line for line in said.splitlines() if "commands to Redis" in line)
    assert 3.0 <= float(line.split()[3].rstrip(":")) < 10.0
