"""API keys: which are good, whose they are, and which records can be used."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.keys import (
    KeyRecord,
    KeysError,
    KeyTable,
    digest_of,
    file_bytes,
    name_of,
    record_bytes,
    records_of,
    records_of_file,
    text_of,
)
from gateway.errors import CredentialError
from session.model import Principal

NOW = 1_800_000_000.0
ID = "0123456789abcdef"
SECRET = "s" * 43
GOOD = text_of(ID, SECRET)


def record(**more: Any) -> KeyRecord:
    fields: dict[str, Any] = {
        "id": ID,
        "digest": digest_of(SECRET),
        "tenant": "acme",
        "subject": "ci",
        "scopes": ("ask",),
        "created_at": NOW,
    }
    return KeyRecord(**(fields | more))


def refused(text: str, table: KeyTable | None = None, now: float = NOW) -> None:
    with pytest.raises(CredentialError) as why:
        (KeyTable([record()]) if table is None else table).find(text, now)
    assert str(why.value) == "This API key is not valid here: it is mistyped, revoked or expired."


def test_a_good_key_says_whose_it_is() -> None:
    table = KeyTable([record(groups=("doctors",), expires_at=NOW + 1)])
    found = table.find(GOOD, NOW)
    assert found == Principal("acme", "ci", ("doctors",), frozenset({"ask"}), f"key:{ID}", NOW + 1)
    assert table.has(found)
    assert len(table) == 1


def test_a_key_without_an_end_has_none() -> None:
    assert KeyTable([record()]).find(GOOD, 1e12).expires_at == math.inf


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fr_",
        f"fr_{ID}",
        f"fr_{ID}_",
        text_of(ID, "t" * 43),
        text_of(ID, SECRET[:-1]),
        text_of(ID, SECRET + "s"),
        text_of("f" * 16, SECRET),
        text_of(ID.upper(), SECRET),
        GOOD.upper(),
        GOOD + "\n",
        " " + GOOD,
        text_of(ID, digest_of(SECRET)),
        text_of("", ""),
        text_of(ID, "0" * 43),
    ],
)
def test_all_else_is_refused_in_the_same_words(text: str) -> None:
    refused(text)


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    refused(text)
    refused(text_of(ID, text))
    refused(f"fr_{text}_{SECRET}")


def test_a_key_of_nobody_is_compared_with_what_matches_nothing() -> None:
    """The digest that stands for none is no digest of any secret that could be sent."""
    refused(text_of("f" * 16, SECRET), KeyTable())


def test_a_revoked_key_is_none() -> None:
    found = KeyTable([record()]).find(GOOD, NOW)
    table = KeyTable([record(revoked_at=NOW)])
    refused(GOOD, table)
    assert not table.has(found)
    assert not table.knows(GOOD)
    assert len(table) == 0


@pytest.mark.parametrize(
    "more",
    [
        {"scopes": ("ask",)},
        {"scopes": ("ask", "admin", "list")},
        {"tenant": "other"},
        {"subject": "bob"},
        {"groups": ("doctors",)},
        {"expires_at": NOW + 1},
    ],
)
def test_a_key_that_stands_for_something_else_is_not_there_for_what_it_was(
    more: dict[str, Any],
) -> None:
    before = {"scopes": ("ask", "admin"), "groups": ("doctors", "nurses"), "expires_at": NOW + 9}
    found = KeyTable([record(**before)]).find(GOOD, NOW)
    table = KeyTable([record(**before | more)])
    assert not table.has(found)
    assert table.has(table.find(GOOD, NOW))
    # In another order they are the same scopes.
    assert KeyTable([record(**before | {"scopes": ("admin", "ask")})]).has(found)


def test_a_key_ends_at_its_end() -> None:
    table = KeyTable([record(expires_at=NOW)])
    assert table.find(GOOD, NOW - 0.1).subject == "ci"
    refused(GOOD, table, NOW)


def test_what_is_known_of_a_key_is_its_id() -> None:
    table = KeyTable([record()])
    assert table.knows(text_of(ID, "t" * 43))
    assert not table.knows(text_of("f" * 16, SECRET))
    # What can never become a key is known to be none.
    assert table.knows("fr_nonsense")


def test_only_a_digest_is_kept() -> None:
    kept = record_bytes(record())
    assert SECRET.encode() not in kept
    assert hashlib.sha256(SECRET.encode()).hexdigest().encode() in kept
    assert SECRET not in repr(record())


def test_records_are_read_as_they_were_written() -> None:
    records = [record(groups=("a", "b")), record(id="f" * 16, revoked_at=NOW)]
    assert records_of(map(record_bytes, records)) == records
    assert records_of_file(file_bytes(records)) == records
    assert records_of_file(file_bytes([])) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"id": ""}, "16 hexadecimal"),
        ({"id": ID + "0"}, "16 hexadecimal"),
        ({"id": ID + "\n"}, "16 hexadecimal"),
        ({"id": "A" * 16}, "16 hexadecimal"),
        ({"digest": ""}, "64 hexadecimal"),
        ({"digest": SECRET}, "64 hexadecimal"),
        ({"digest": "A" * 64}, "64 hexadecimal"),
        ({"tenant": ""}, "128 printable"),
        ({"tenant": "t" * 129}, "128 printable"),
        ({"subject": "a\nb"}, "128 printable"),
        ({"subject": "\ud800"}, "128 printable"),
        ({"groups": ("",)}, "128 printable"),
        ({"scopes": ()}, "scopes are"),
        ({"scopes": ("everything",)}, "scopes are"),
        ({"scopes": ("ask", "ASK")}, "scopes are"),
    ],
)
def test_a_record_that_cannot_be_used_is_named_and_makes_all_unusable(
    more: dict[str, Any], words: str
) -> None:
    bad = record(**more)
    assert words in bad.problem()
    if "\ud800" not in bad.subject:
        with pytest.raises(KeysError, match=words):
            records_of_file(file_bytes([record(id="f" * 16), bad]))
        with pytest.raises(KeysError, match=words):
            records_of([record_bytes(bad)])


def test_one_key_is_not_there_twice() -> None:
    """Else one that is not revoked could stand for one that is."""
    with pytest.raises(KeysError, match="two of them"):
        records_of_file(file_bytes([record(revoked_at=NOW), record()]))


def test_a_record_shows_no_more_of_a_strange_id_than_an_id_has() -> None:
    with pytest.raises(KeysError) as why:
        records_of([record_bytes(record(id=GOOD))])
    assert SECRET[:8] not in str(why.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"null",
        b"[null]",
        b"[[]]",
        b"[{}]",
        b"[",
        b"\xff",
        b'[{"id":"\xff"}]',
        b"fr_" + ID.encode(),
        b'[{"unknown":' + b"[" * 100_000,
        b"[" * 100_000,
    ],
)
def test_what_is_no_file_of_keys_is_refused(data: bytes) -> None:
    with pytest.raises(KeysError, match="no file of keys"):
        records_of_file(data)
    with pytest.raises(KeysError, match="cannot be read"):
        records_of([data])


@given(
    st.dictionaries(
        st.sampled_from(KeyRecord.__struct_fields__),
        st.none() | st.text() | st.integers() | st.lists(st.text()),
    )
)
def test_any_record_is_refused_or_can_be_used(more: dict[str, Any]) -> None:
    written = msgspec.to_builtins(record()) | more
    try:
        (found,) = records_of([msgspec.json.encode(written)])
    except (KeysError, UnicodeEncodeError):
        return
    assert found.problem() == ""
    KeyTable([found])


@pytest.mark.parametrize(
    ("credential", "name"),
    [
        ("fr_0123456789abcdef_" + "s" * 43, "key:0123456789abcdef"),
        ("fr_0123456789abcdef_mistyped", "key:0123456789abcdef"),
        ("fr_0123456789abcdef", ""),
        ("fr_0123456789ABCDEF_x", ""),
        ("eyJh.eyJz.c2ln", "token"),
        ("hunter2", ""),
        ("", ""),
    ],
)
def test_what_a_credential_calls_itself_is_nothing_secret(credential: str, name: str) -> None:
    assert name_of(credential) == name
