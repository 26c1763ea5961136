"""The table of codings: that its rows are true, not how fast they are."""

from __future__ import annotations

import pytest

from loadtest import codecs


def test_payloads_are_of_the_sizes_that_they_say() -> None:
    sizes = {name: len(plain) for name, plain in codecs.payloads().items()}
    assert sizes["short question"] < 400
    assert 1_000 < sizes["typical question"] < 1_500
    assert 1024 * 1024 < sizes["context of 1 MiB"] < 1024 * 1024 + 1_000


@pytest.mark.slow
@pytest.mark.parametrize("coding", codecs.CODINGS, ids=lambda coding: coding.name)
def test_a_row_says_what_is_left(coding: codecs.Coding) -> None:
    for name in ("short question", "typical question", "context of 32 KiB", "context of 1 MiB"):
        plain = codecs.payloads()[name]
        assert coding.unpack(coding.pack(plain)) == plain
    plain = codecs.payloads()["typical question"]
    row = codecs.measured("typical question", plain, coding)
    assert row.left == len(coding.pack(plain)) / len(plain)
    assert row.unpack > 0
    assert row.pack > 0


@pytest.mark.slow
def test_each_payload_has_a_row_for_each_coding(capsys: pytest.CaptureFixture[str]) -> None:
    assert codecs.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 5 * len(codecs.CODINGS) + 4


def test_a_coding_costs_a_connection_little() -> None:
    """No compressor and no window stays with a connection, whatever it agreed to."""
    held = codecs.held()
    assert max(held.values()) - held["nothing"] < 2 * 1024
