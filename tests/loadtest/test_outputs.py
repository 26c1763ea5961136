"""Where a result can be left, and what is said of where it cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loadtest import outputs


@pytest.mark.parametrize("name", ["new.json", "old.json"])
def test_a_file_may_be_there_or_not(tmp_path: Path, name: str) -> None:
    (tmp_path / "old.json").touch()
    outputs.check(str(tmp_path / name))
    assert not (tmp_path / "new.json").exists()


def test_a_place_where_no_file_can_be_is_said_before_it_is_needed(tmp_path: Path) -> None:
    for name, said in (("", "it is a folder"), ("a/b.json", "there is no folder")):
        with pytest.raises(ValueError, match=said):
            outputs.check(str(tmp_path / name))


def test_a_file_that_cannot_be_opened_is_said_before_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="File name too long"):
        outputs.check(str(tmp_path / ("n" * 300)))


def test_what_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("of yesterday")
    outputs.check(str(tmp_path / "old.json"))
    assert (tmp_path / "old.json").read_text() == "of yesterday"
    os.mkfifo(tmp_path / "pipe")
    outputs.check(str(tmp_path / "pipe"))


def test_one_file_that_cannot_be_written_keeps_no_other_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = tmp_path / "gone" / "a", tmp_path / "b"
    assert outputs.leave("it went well", [(str(bad), lambda: b"a"), (str(good), lambda: b"b")]) == [
        f"{bad}: No such file or directory"
    ]
    assert capsys.readouterr().out == "it went well\n"
    assert good.read_bytes() == b"b"
    assert outputs.leave("again", [(str(good), lambda: b"c")]) == []
