"""A result is read again as it was written."""

from __future__ import annotations

import msgspec
import pytest

from loadtest.result import Result, Truth
from tests.loadtest.example import result


def test_a_result_survives_being_written() -> None:
    assert msgspec.json.decode(msgspec.json.encode(result()), type=Result) == result()


def test_a_field_that_nobody_knows_is_refused() -> None:
    written = msgspec.to_builtins(result()) | {"later": 1}
    with pytest.raises(msgspec.ValidationError, match="later"):
        msgspec.convert(written, Result)


@pytest.mark.parametrize(
    ("truth", "failures"),
    [
        (Truth(asked=9, answered=9), 0),
        (Truth(lost=1, duplicated=2, crossed=4, late=8), 15),
        (Truth(refused={"too many": 16, "closed": 32}), 48),
    ],
)
def test_every_broken_promise_is_a_failure(truth: Truth, failures: int) -> None:
    assert truth.failures == failures
