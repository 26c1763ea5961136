"""The command line: what it refuses in words, and whole runs through it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gateway import cli as gateway_cli
from loadtest import cli
from loadtest.plans import Wishes
from loadtest.result import Result, Step, Truth, Verdict
from loadtest.scenarios import Scenario
from tests.loadtest.example import result
from tests.loadtest.liar import lying_server
from tests.loadtest.test_coordinator import refusing

LITTLE = ["--users", "20", "--callers", "6", "--rate", "40", "--duration", "1", "--think", "0"]


def _chosen(*arguments: str) -> tuple[Scenario, Wishes]:
    return cli.chosen(cli._parser().parse_args(arguments))


def test_a_scenario_is_changed_by_what_is_given() -> None:
    scenario, wishes = _chosen(
        *("baseline", "--users", "100", "--rate", "7", "--think", "exp:1s", "--duration", "2m"),
        *("--source", "127.0.0.2,127.0.0.3", "--timeout", "5s", "--reask", "--processes", "2"),
        *("--deflate", "--gateway", "env -i 'a b'"),
    )
    assert (scenario.frontends, scenario.callers, scenario.rate) == (100, 50, 7)
    assert (scenario.think, scenario.duration) == ("exp:1s", 120)
    assert wishes.sources == ("127.0.0.2", "127.0.0.3")
    assert (wishes.timeout, wishes.reask, wishes.processes) == (5, True, 2)
    assert wishes.deflate
    assert wishes.gateway == ("env", "-i", "a b")


def test_there_are_callers_enough_for_those_who_think() -> None:
    assert _chosen("baseline", "--rate", "1000", "--think", "2s")[0].callers == 4000
    assert _chosen("baseline", "--rate", "1000", "--callers", "7", "--think", "2s")[0].callers == 7


def test_callers_without_a_rate_ask_as_soon_as_they_can() -> None:
    assert _chosen("baseline", "--callers", "8")[0].rate is None
    assert _chosen("baseline", "--callers", "8", "--rate", "5")[0].rate == 5
    assert _chosen("find-limit", "--callers", "8")[0].rate == 500


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which scenario?"),
        (["baselin"], "invalid choice"),
        (["baseline", "--think", "soon"], "no think time"),
        (["baseline", "--frontends", "0"], "somebody has to be there"),
        (["baseline", "--callers", "0", "--rate", "1"], "somebody who asks"),
        *(
            ([name, "--driver", "trio-websocket"], f"nothing else: {name} needs the driver sel")
            for name in ("storm", "slow", "messages")
        ),
        (["messages", "--deflate"], "--deflate is for frontends of the driver selector"),
        (["baseline", "--deflate", "--driver", "trio-websocket"], "--deflate is for frontends"),
        (["baseline", "--rate", "0"], "invalid"),
        (["baseline", "--processes", "0"], "invalid"),
        (["baseline", "--users", "-1"], "invalid"),
        (["baseline", "--duration", "long"], "invalid"),
        (["baseline", "--target", "ws://here"], "two or three addresses"),
        (["baseline", "--gateway", "/no/such"], "'/no/such' is no command that can be run"),
        (["baseline", "--gateway", ""], "'' is no command that can be run"),
        (["baseline", "--gateway", "'"], "is no command that can be run"),
        (["baseline", "--require", "p99 is good"], "p99 is good"),
        (["soak", "--json", "/no/such/run.json"], "/no/such/run.json: there is no folder /no/such"),
        (["soak", "--report", "/"], "/: it is a folder"),
        (["--compare", "/no/a", "/no/b"], "/no/a"),
    ],
)
def test_what_does_not_go_together_is_refused_in_words(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert said in capsys.readouterr().err


def test_the_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list"]) == 0
    assert "find-limit" in capsys.readouterr().out


def test_two_results_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other, newer = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    one.write_bytes(msgspec.json.encode(result()))
    other.write_bytes(msgspec.json.encode(result()))
    assert cli.main(["--compare", str(one), str(other)]) == 0
    assert "p99" in capsys.readouterr().out
    newer.write_bytes(msgspec.json.encode(msgspec.structs.replace(result(), format=99)))
    with pytest.raises(SystemExit):
        cli.main(["--compare", str(one), str(newer)])
    assert "format 99" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("truth", "steps", "held", "failed"),
    [
        (Truth(asked=1, answered=1), 0, True, False),
        (Truth(asked=1, answered=1), 0, False, True),
        (Truth(asked=1, refused={"no": 1}), 0, True, True),
        (Truth(asked=1, refused={"no": 1}), 1, True, False),
        (Truth(asked=1, refused={"no": 1}), 1, False, True),
        (Truth(asked=1, crossed=1, refused={"no": 1}), 1, True, True),
    ],
)
def test_every_failure_is_one_but_a_refusal_that_was_provoked(
    truth: Truth, steps: int, *, held: bool, failed: bool
) -> None:
    step = Step(rate=1, answered_rate=1, p50=1, p99=1, failed=0, held=True)
    verdicts = [Verdict(requirement="limit>=9", found="x", held=held)]
    found = msgspec.structs.replace(result(), truth=truth, steps=[step] * steps, verdicts=verdicts)
    assert cli.failed(found) is failed


@pytest.mark.slow
def test_a_gateway_of_its_own_is_put_under_load_and_reported_of(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    written, page = tmp_path / "result.json", tmp_path / "page.html"
    arguments = ["--json", str(written), "--report", str(page), "--require", "p99<30s"]
    status = gateway_cli.main(["loadtest", "baseline", *LITTLE, *arguments])
    told = capfd.readouterr()
    assert status == 0, told
    assert "starting 1 gateway here" in told.err
    found = msgspec.json.decode(written.read_bytes(), type=Result)
    assert found.truth.asked == found.truth.answered > 0
    assert found.server
    assert [verdict.held for verdict in found.verdicts] == [True]
    assert json.loads(written.read_bytes())["scenario"] == "baseline"
    assert "<html" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_result_that_cannot_be_written_is_said_all_the_same(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A disk is full only when it is over; the page, which is on another one, is written."""
    page = tmp_path / "page.html"
    files = ["--json", "/dev/full", "--report", str(page)]
    with lying_server() as target:
        address = f"ws://{target.ws.authority},http://{target.mcp.authority}/mcp"
        assert cli.main(["baseline", *LITTLE, "--target", address, *files]) == 2
    told = capfd.readouterr()
    assert "Truth" in told.out
    assert "/dev/full: No space left on device" in told.err
    assert "<html" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_failure_makes_the_exit_status_1(capfd: pytest.CaptureFixture[str]) -> None:
    with lying_server(refusing) as target:
        address = f"ws://{target.ws.authority},http://{target.mcp.authority}/mcp"
        assert cli.main(["baseline", *LITTLE, "--target", address]) == 1
    assert "503" in capfd.readouterr().out


@pytest.mark.slow
def test_a_requirement_that_does_not_hold_makes_the_exit_status_1() -> None:
    with lying_server() as target:
        address = f"ws://{target.ws.authority},http://{target.mcp.authority}/mcp"
        assert cli.main(["baseline", *LITTLE, "--target", address, "--require", "p50<1us"]) == 1


@pytest.mark.slow
def test_closed_ports_are_said_to_be_with_exit_status_2() -> None:
    """And before that, every few seconds, how connecting goes."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    address = f"ws://127.0.0.1:{port},http://127.0.0.1:{port}/mcp"
    ended = subprocess.run(
        [sys.executable, "-m", "loadtest", "baseline", *LITTLE, "--target", address],
        capture_output=True,
        text=True,
        timeout=100,  # those who let somebody in have 120
    )
    assert ended.returncode == 2, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("connecting 0 of 26, ")]
    assert 1 <= len(lines) <= 3
    assert all(line.endswith(": Connection refused") for line in lines)
    assert f"stopped: nobody could connect to ws://127.0.0.1:{port} and " in ended.stderr
    assert "attempts were refused: Connection refused" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["selector", "trio-websocket"])
def test_ctrl_c_ends_the_load_and_reports_what_there_is(driver: str) -> None:
    command = [sys.executable, "-m", "loadtest", "soak", *LITTLE, "--duration", "1h"]
    with subprocess.Popen(
        [*command, "--driver", driver], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("processes:"):
                break
        # The first line of progress, once everybody is connected.
        while "/s" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        told, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert "interrupted" in told
    assert "Traceback" not in complaints


@pytest.mark.slow
@pytest.mark.parametrize("command", ["--list", "--compare"])
def test_who_stops_reading_what_is_printed_ends_it_quietly(tmp_path: Path, command: str) -> None:
    written = tmp_path / "run.json"
    written.write_bytes(msgspec.json.encode(result()))
    files = [str(written)] * 2 if command == "--compare" else []
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "loadtest", command, *files],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writing)
    assert (ended.stderr, ended.returncode) == ("", 0)


@pytest.mark.slow
def test_help_is_printed_by_the_module() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "loadtest", "--help"], capture_output=True, text=True
    )
    assert shown.returncode == 0
    assert "--reask" in shown.stdout
    assert "storm, slow and messages" in " ".join(shown.stdout.split())
