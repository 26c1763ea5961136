"""A file is read when there is something new, and no further than it may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.watched_file import UnreadableError, read_if_changed


def test_it_is_read_when_it_is_another_one_or_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = read_if_changed(str(path), None, 10)
    assert first is not None
    assert first[1] == b"one"
    assert read_if_changed(str(path), first[0], 10) is None
    path.write_bytes(b"three")
    changed = read_if_changed(str(path), first[0], 10)
    assert changed is not None
    assert changed[1] == b"three"


def test_what_is_too_long_or_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(UnreadableError, match="cannot be read: No such file"):
        read_if_changed(str(path), None, 10)
    path.write_bytes(b"x" * 10)
    assert read_if_changed(str(path), None, 10) is not None
    path.write_bytes(b"x" * 11)
    with pytest.raises(UnreadableError, match="longer than 10 bytes"):
        read_if_changed(str(path), None, 10)
