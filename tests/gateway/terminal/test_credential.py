"""Where a command has its credential from, and that it shows nothing of it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from gateway.terminal.credential import (
    VARIABLE,
    CredentialFileError,
    add_argument,
    credential,
)


def found(*arguments: str) -> str:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_argument(parser)
    return credential(parser.parse_args(arguments))


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_there_may_be_none() -> None:
    assert found() == ""


def test_it_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "fr_1_2")
    assert found() == "fr_1_2"


def test_it_is_in_a_file_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "another")
    file = tmp_path / "token"
    file.write_text("  fr_1_2\r\n\n")
    assert found("--token-file", str(file)) == "fr_1_2"


def test_it_is_no_argument() -> None:
    """Others on the machine see those."""
    with pytest.raises(SystemExit):
        found("--token", "fr_1_2")


@pytest.mark.parametrize(
    "text", ["can ary", "canary\ncanary", "canary\0", "canäry", "canary\x7f", "canary\x1b[0m"]
)
def test_what_is_no_credential_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(CredentialFileError, match=r"token has no API key .* one line") as why:
        found("--token-file", str(file))
    assert "can" not in str(why.value).replace(str(tmp_path), "")
    if "\0" not in text:
        monkeypatch.setenv(VARIABLE, text)
        with pytest.raises(CredentialFileError, match=VARIABLE) as why:
            found()
        assert "can" not in str(why.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialFileError, match="no API key"):
        found("--token-file", str(file))


def test_a_file_that_has_none_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text(" \n")
    with pytest.raises(CredentialFileError, match=r"empty is empty"):
        found("--token-file", str(empty))
    with pytest.raises(CredentialFileError, match=r"missing cannot be read: No such file"):
        found("--token-file", str(tmp_path / "missing"))
    with pytest.raises(CredentialFileError, match=r"cannot be read: Is a directory"):
        found("--token-file", str(tmp_path))
