"""What errors of Redis are to us."""

from __future__ import annotations

import pytest
from redis import exceptions

from session.redis.replies import TRANSIENT, UNSETTLED, code_of, error_of, meaning_of, refusal_of


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("OOM command not allowed", exceptions.OutOfMemoryError),
        ("NOPERM no", exceptions.NoPermissionError),
        ("WRONGPASS no", exceptions.AuthenticationError),
        ("NOSCRIPT none", exceptions.NoScriptError),
        ("CROSSSLOT keys", exceptions.ClusterCrossSlotError),
        ("ERR anything", exceptions.ResponseError),
        ("WHATEVER", exceptions.ResponseError),
    ],
)
def test_an_error_is_the_exception_of_its_code(
    text: str, kind: type[exceptions.RedisError]
) -> None:
    error = error_of(text)
    assert type(error) is kind
    assert error.args == (text,)


def test_a_refusal_says_what_there_is_to_do_or_what_redis_said() -> None:
    assert str(refusal_of("OOM command not allowed")).startswith("The store's memory is full: ")
    assert str(refusal_of("NOPERM no")) == "The store refuses: NOPERM no."


@pytest.mark.parametrize(
    ("text", "user", "wanted"),
    [
        ("NOPERM no permissions to run 'get'", "", ["user default", "'get'", "Permissions"]),
        ("NOPERM no permissions to run 'get'", "ann", ["user ann may not"]),
        ("OOM command not allowed", "", ["its memory is full", "maxmemory"]),
        ("WRONGTYPE not ours", "", ["WRONGTYPE not ours", "look at its log"]),
    ],
)
def test_who_runs_the_store_is_told_what_to_do(text: str, user: str, wanted: list[str]) -> None:
    for words in wanted:
        assert words in meaning_of(text, user)


def test_what_we_sent_is_not_repeated_and_no_error_is_long() -> None:
    said = meaning_of("ERR unknown command 'FOO', with args beginning with: 'a question'", "")
    assert "FOO" in said
    assert "a question" not in said
    assert len(meaning_of("ERR " + "x" * 10_000, "")) < 500


def test_what_passes() -> None:
    assert code_of("CLUSTERDOWN Hash slot not served") in TRANSIENT & UNSETTLED
    assert code_of("LOADING Redis is loading") in TRANSIENT - UNSETTLED
    assert code_of("ERR no") not in TRANSIENT
