"""The README's table is written from the settings and is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import names
from gateway.settings_table import main, renewed, table

README = Path(__file__).parents[2] / "README.md"
MARKED = "before\n<!-- settings -->\nof yesterday\n<!-- /settings -->\nafter\n"


def test_the_table_in_the_readme_is_current() -> None:
    assert main(["--check"], README) == 0


def test_every_setting_has_one_row() -> None:
    rows = [line for line in table().splitlines() if line.startswith("| `--")]
    assert [row.split("`")[1] for row in rows] == [name.flag for name in names()]
    assert all(row.count("|") - row.count("\\|") == 4 for row in rows)


def test_only_what_is_between_the_marks_is_renewed() -> None:
    text = renewed(MARKED)
    assert text.startswith("before\n<!-- settings -->\n\n**The process**")
    assert text.endswith("|\n\n<!-- /settings -->\nafter\n")
    assert "of yesterday" not in text
    assert renewed(text) == text


@pytest.mark.parametrize("text", ["", "<!-- settings -->", "<!-- /settings --><!-- settings -->"])
def test_without_its_marks_nothing_is_renewed(text: str) -> None:
    with pytest.raises(ValueError, match="mark its place"):
        renewed(text)


def test_a_stale_table_is_told_and_left_until_it_is_renewed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "README.md"
    path.write_text(MARKED)
    assert main(["--check"], path) == 1
    assert "stale: make docs" in capsys.readouterr().err
    assert path.read_text() == MARKED
    assert main([], path) == 0
    assert main(["--check"], path) == 0


def test_a_file_without_marks_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "README.md"
    path.write_text("mine")
    assert main([], path) == 1
    assert path.read_text() == "mine"
    assert "no table" in capsys.readouterr().err
