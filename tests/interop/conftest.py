"""What tests with other people's programs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop import go_programs


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the Go programs; return where they are."""
    directory = tmp_path_factory.mktemp("go")
    go_programs.build(directory)
    return directory
