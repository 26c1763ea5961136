"""What is wrong with a Redis is said with what to do; who asks it is tested where it is asked."""

from __future__ import annotations

import ssl

import pytest
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from session.redis import troubles
from session.redis.address import Address
from session.redis.troubles import Trouble

ANN = Address((("redis", 6379),), user="ann")
NOBODY = Address((("redis", 6379),))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoPermissionError("no permissions to run 'get'"), "user ann may not do"),
        (AuthenticationError("invalid username-password pair"), "--redis-password-file"),
        (ResponseError("WRONGPASS invalid username-password pair"), "--redis-password-file"),
        (ResponseError("NOAUTH Authentication required."), "--redis-password-file"),
        (ResponseError("DENIED Redis is running in protected mode"), "set a password"),
        (ResponseError("ERR unknown command 'HELLO'"), "use Redis 7.0 or later"),
        (ResponseError("NOPROTO unsupported protocol version"), "use Redis 7.0 or later"),
    ],
)
def test_a_refusal_that_stays_is_said_with_the_next_step(error: RedisError, words: str) -> None:
    said, is_permanent = troubles.refusal("It", error, ANN)
    assert said.startswith("It")
    assert words in said
    assert is_permanent


def test_a_refusal_that_may_pass_is_said_as_it_came() -> None:
    error = ResponseError("LOADING Redis is loading the dataset in memory")
    assert troubles.refusal("It", error, NOBODY) == Trouble(
        f"It refuses us ({error}); look at its log and its configuration", False
    )


def test_who_names_no_user_is_the_default_one() -> None:
    assert (
        "user default may not"
        in troubles.refusal("It", NoPermissionError("NOPERM get"), NOBODY).said
    )


def test_what_is_not_there_may_come() -> None:
    for trouble in (
        troubles.unreached("It", ConnectionRefusedError(111, "Connection refused")),
        troubles.silent("It", has_tls=False),
        troubles.closed("It"),
    ):
        assert trouble.said.startswith("It ")
        assert not trouble.is_permanent


def test_tls_is_named_where_it_may_be_the_reason() -> None:
    assert "TLS" not in troubles.silent("It", has_tls=False).said
    assert "has TLS" in troubles.silent("It", has_tls=True).said
    assert "write redis:// if it has no TLS" in troubles.not_understood("It", ssl.SSLError()).said
    assert "rediss:// if it wants TLS" in troubles.not_understood("It", ValueError("HTTP")).said
