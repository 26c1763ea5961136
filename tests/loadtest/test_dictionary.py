"""Training: the same dictionary each time, and the one that is shipped is as good."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from loadtest.corpus import corpus
from loadtest.dictionary import main, trained
from session import codec, dictionary
from tests.session.test_dictionary import QUESTIONS


def test_what_is_trained_is_written_under_its_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tmp_path) == 0
    (path,) = tmp_path.iterdir()
    made = path.read_bytes()
    assert str(zstandard.ZstdCompressionDict(made).dict_id()) == path.stem
    assert str(path) in capsys.readouterr().out
    assert made == trained(corpus())


def test_the_dictionary_that_is_shipped_is_as_good_as_one_trained_now() -> None:
    # Another version of the library may choose other parts of the corpus.
    anew, shipped = (
        codec.Packer(trained(corpus())),
        codec.Packer(dictionary.KNOWN[dictionary.CURRENT]),
    )
    said = [json.dumps(message).encode() for message in QUESTIONS.values()]
    left = sum(len(shipped.packed(plain)) for plain in said)
    assert left <= 1.05 * sum(len(anew.packed(plain)) for plain in said)
