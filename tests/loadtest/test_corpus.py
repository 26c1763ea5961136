"""The corpus: that it is the same everywhere, and made of messages of ours."""

from __future__ import annotations

import json

from loadtest.corpus import QUESTIONS, corpus
from tests.session.test_dictionary import QUESTIONS as TYPICAL


def test_the_same_corpus_comes_out_each_time() -> None:
    made = corpus()
    assert made == corpus()
    assert QUESTIONS * 2 < len(made) < QUESTIONS * 4


def test_every_kind_of_message_is_in_it() -> None:
    kinds = {json.loads(each).get("type") for each in corpus() if each[:1] == b"{"}
    assert kinds == {
        *("ask_user", "user_response", "response_ack", "question_closed", "notify_user"),
        *("connect", "connect_ack", "draft", "seen", "error"),
        None,
    }


def test_what_it_is_measured_with_is_not_in_it() -> None:
    whole = b"\n".join(corpus())
    assert not [text for each in TYPICAL.values() if (text := each["question"]).encode() in whole]
