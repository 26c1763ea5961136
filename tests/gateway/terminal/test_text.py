"""What commands a terminal is spelled out; all else stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.terminal.text import indented, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ship it?", "Ship it?"),
        ("größer 中文 😀\tdone\n", "größer 中文 😀\tdone\n"),
        ("one\r\ntwo", "one\ntwo"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("done\rundone", "done\\x0dundone"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("\ud800", "\\ud800"),
        ("a\x7fb\x00", "a\\x7fb\\x00"),
    ],
)
def test_what_commands_a_terminal_is_spelled_out(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_any_text_can_be_shown(text: str) -> None:
    shown = plain(text)
    shown.encode()
    assert all(character.isprintable() or character in "\t\n" or character.isspace()
               or ord(character) > 0x9F for character in shown)  # fmt: skip
    assert plain(shown) == shown


def test_a_later_line_cannot_pass_for_one_of_ours() -> None:
    assert indented("Yes?\n[2] ops: no?") == "Yes?\n    [2] ops: no?"
