"""The file of tenants' quotas is taken whole, or refused with where and why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.quotas.settings import Settings
from gateway.quotas.tenants import QuotasFile, quotas_of
from gateway.setting_names import SettingsError

USUAL = Settings(pending=7)


def test_a_table_says_what_is_other_than_usual() -> None:
    quotas = quotas_of(
        b'[acme]\nasks_per_second = 50\nsubject_frontends = 2\n["a.com"]\npending = 0', USUAL
    )
    assert quotas["acme"].tenant["asks_per_second"] == 50.0
    assert quotas["acme"].tenant["pending"] == 7
    assert quotas["acme"].subject == {"frontends": 2}
    assert "pending" not in quotas["a.com"].tenant


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[acme", "not TOML"),
        (b"\xff", "not TOML"),
        (b"acme = 5", "write \\[acme\\]"),
        (b"[acme]\npendng = 5", "no quota pendng; the nearest is pending"),
        (b"[acme]\nfile = 'x'", "no quota file"),
        (b"[acme]\npending = -1", "\\[acme\\] pending is at least 0"),
        (b"[acme]\npending = 1.5", "takes a whole number"),
        (b"[acme]\nasks_per_second = 'many'", "takes a number"),
        (b"[acme]\nasks_per_second = inf", "finite"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: bytes, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        quotas_of(b"[good]\npending = 1\n" + text if text[:1] == b"[" else text, USUAL)


def test_a_file_is_looked_into_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "quotas.toml"
    file = QuotasFile(str(path), USUAL)
    with pytest.raises(SettingsError, match="cannot be read"):
        file.read()
    path.write_text("[acme]\npending = 1\n")
    quotas = file.read()
    assert quotas is not None
    assert quotas["acme"].tenant["pending"] == 1
    assert file.read() is None
    path.write_text("[acme]\npending = x\n")
    for _ in range(2):
        # Until it is right it is looked into each time.
        with pytest.raises(SettingsError, match="TOML"):
            file.read()
    path.write_text("[acme]\npending = 2\n")
    os.utime(path, ns=(1, 1))
    quotas = file.read()
    assert quotas is not None
    assert quotas["acme"].tenant["pending"] == 2


def test_a_file_that_is_far_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quotas.toml"
    path.write_bytes(b"#" * (8 * 1024 * 1024 + 1))
    with pytest.raises(SettingsError, match="longer than"):
        QuotasFile(str(path), USUAL).read()
