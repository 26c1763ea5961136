"""The model goes through JSON and back, and knows what a failure is."""

from __future__ import annotations

import msgspec
import pytest

from loadtest.result import Client, Connecting, Latency, Result, Truth


def _result() -> Result:
    return Result(
        scenario="baseline",
        began="2026-01-01T00:00:00Z",
        conditions={"users": "10"},
        seconds=1.0,
        truth=Truth(asked=1, answered=1),
        latency=Latency(count=1, mean=1, p50=1, p90=1, p99=1, p999=1, max=1, histogram=""),
        client=Client(processes=1, lag_max=0.1, cpu=0.1),
        slices=[],
        server=[],
        connecting=Connecting(connections=2, seconds=0.1, refused=0),
    )


def test_a_result_goes_through_json_and_back() -> None:
    encoded = msgspec.json.encode(_result())
    assert msgspec.json.decode(encoded, type=Result) == _result()


def test_a_name_that_nobody_knows_is_refused() -> None:
    encoded = msgspec.json.encode(_result()).replace(b'"scenario"', b'"scenery"')
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(encoded, type=Result)


def test_everything_that_is_no_answer_is_a_failure() -> None:
    assert Truth(asked=5, answered=5).failures == 0
    assert Truth(lost=1, duplicated=2, crossed=4, late=8, refused={"no": 16}).failures == 31
