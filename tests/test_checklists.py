"""The pages of threats and faults have every row, and name only tests that there are."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = {
    "SECURITY.md": [
        *(f"A{number}" for number in range(1, 17)),
        *(f"B{number}" for number in range(1, 18)),
        *("E2", "E9", "E11", "E13"),
    ],
    "FAULTS.md": [
        *(f"C{number}" for number in range(1, 13)),
        *(f"D{number}" for number in range(1, 13)),
        *("E1", "E3", "E4", "E5", "E6", "E7", "E8", "E10", "E12"),
        *(f"F{number}" for number in range(1, 11)),
    ],
}
_ROW: Final = re.compile(r"^\| ([A-Z]\d+(?:, [A-Z]\d+)*) \|(.*)\|$", re.MULTILINE)
_TEST: Final = re.compile(r"`(test_\w+)`")

each_page = pytest.mark.parametrize("page", PAGES)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@functools.cache
def known_tests() -> frozenset[str]:
    """Return the names of all tests there are: functions of modules, and methods."""
    written = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
    paths = (ROOT / "tests").rglob("test_*.py")
    return frozenset(
        name for path in paths for name in written.findall(path.read_text(encoding="utf-8"))
    )


@each_page
def test_every_row_is_there_once_and_in_order(page: str) -> None:
    found = [row for rows, _ in _ROW.findall(text_of(page)) for row in rows.split(", ")]
    assert found == PAGES[page]


@each_page
def test_every_row_says_what_is_done_and_which_tests_show_it(page: str) -> None:
    for rows, cells in _ROW.findall(text_of(page)):
        threat, deed, shown = (cell.strip() for cell in cells.split("|"))
        assert threat, rows
        assert deed, rows
        assert _TEST.findall(shown), rows


@each_page
def test_every_test_that_is_named_exists(page: str) -> None:
    assert set(_TEST.findall(text_of(page))) - known_tests() == set()


@each_page
def test_every_file_that_is_named_exists(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", text_of(page))
    assert [link for link in links if not (ROOT / link).exists()] == []
