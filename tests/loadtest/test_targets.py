"""Where a load goes, and what it shows there."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from loadtest import targets
from loadtest.coordinator import LoadError
from loadtest.places import Target, mcp_place, ws_place
from loadtest.plans import Wishes
from loadtest.scenarios import SCENARIOS


def test_credentials_are_in_a_file_or_in_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("fr_quiet\nfr_noisy\n")
    assert targets.credentials(str(file), {}) == ("fr_quiet", "fr_noisy")
    assert targets.credentials(None, {targets.VARIABLE: "fr_a"}) == ("fr_a",)
    assert targets.credentials(None, {}) == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b"", "is empty"), (b"\xff", "no API key")],
)
def test_a_file_without_a_credential_is_refused(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        targets.credentials(str(file), {})


def test_targets_that_are_named_are_taken_with_their_credentials() -> None:
    given = (Target(ws_place(1), mcp_place(2)),)
    wishes = Wishes(tokens=("a",))
    with targets.running(SCENARIOS["baseline"], wishes, given) as found:
        assert found == (given, wishes)


@pytest.mark.slow
@pytest.mark.parametrize("known", ["", "nobody is there"])
def test_a_gateway_that_has_ended_is_said_to_have_with_its_last_words(
    tmp_path: Path, known: str
) -> None:
    """Whether the load has found that out or not."""
    file = tmp_path / "pid"
    script = f'echo $$ > {shlex.quote(str(file))}; exec "$@"'
    wishes = Wishes(gateway=("sh", "-c", script, "sh", sys.executable, "-m", "gateway"))
    said = f"{known}.*has ended with exit status -9:\n.*gateway_started"
    with (
        pytest.raises(LoadError, match=f"(?s){said}"),
        targets.running(SCENARIOS["baseline"], wishes, ()),
    ):
        pid = int(file.read_text())
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        if known:
            raise LoadError(known)
