"""What a file has is the password, or what is wrong with it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from session.redis.password import PasswordFileError, password_in


def test_what_stands_around_it_is_none_of_it(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(" s3same \n")
    assert password_in(str(file)) == "s3same"


def test_what_cannot_be_read_is_said_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with pytest.raises(PasswordFileError, match=f"--redis-password-file {file} .*No such file"):
        password_in(str(file))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(PasswordFileError, match="it is not UTF-8"):
        password_in(str(file))
