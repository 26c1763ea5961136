"""What is printed to be copied starts the program that printed it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import invocation


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program in an environment of its own."""
    program = tmp_path / "my env" / "bin" / "frontend-router"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    return program


def python_of(program: Path) -> str:
    """Return the Python of the same environment."""
    return str(program.with_name("python"))


def test_it_is_the_path_where_the_shell_would_not_find_the_name(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert invocation.command(python_of(installed)) == f"'{installed}'"
    monkeypatch.chdir(tmp_path)
    assert invocation.command(python_of(installed)) == "'my env/bin/frontend-router'"


def test_it_is_the_name_where_the_shell_finds_this_very_program(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(installed.parent))
    assert invocation.command(python_of(installed)) == "frontend-router"
    other = tmp_path / "other"
    other.mkdir()
    (other / "frontend-router").write_text("#!/bin/sh\n", encoding="ascii")
    (other / "frontend-router").chmod(0o755)
    monkeypatch.setenv("PATH", f"{other}:{installed.parent}")
    monkeypatch.chdir(tmp_path)
    assert invocation.command(python_of(installed)) == "'my env/bin/frontend-router'"


def test_without_a_program_it_is_the_module(installed: Path) -> None:
    installed.unlink()
    python = python_of(installed)
    assert invocation.command(python) == f"'{python}' -m gateway"
