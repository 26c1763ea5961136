"""Who typed a command."""

from __future__ import annotations

import os
import platform
import pwd

import pytest

from gateway.terminal.operator import operator


def test_it_is_the_user_of_the_process_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    assert operator() == f"{pwd.getpwuid(os.getuid()).pw_name}@{platform.node()}"


def test_a_user_without_a_name_is_a_number() -> None:
    assert operator(uid=4_000_000_000) == f"4000000000@{platform.node()}"
