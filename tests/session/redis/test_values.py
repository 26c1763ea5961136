"""Values in a store that some have compressed and others have not."""

from __future__ import annotations

import gzip
import json

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from session import codec, dictionary
from session.model import McpSession, Outcome, Question, State
from session.redis import records, values
from session.redis.keys import session as session_key
from session.redis.sessions import session_bytes, session_of
from session.redis.settings import Settings
from tests.session.redis.asking import answered, place, question
from tests.session.redis.conftest import Servers
from tests.session.redis.instances import QUICK, Open

LONG = "Why does the parser refuse what the other one takes? " * 60


def written(value: object) -> bytes:
    return json.dumps(value).encode()


@given(st.dictionaries(st.text(), st.text() | st.integers()), st.integers(0, 400))
def test_what_is_written_is_read_whatever_the_threshold(
    value: dict[str, object], threshold: int
) -> None:
    data = written(value)
    for pack in (values.packed, values.packed_for_all):
        kept = pack(data, threshold)
        assert values.plain(kept) == data
        assert len(kept) <= len(data)
        if not threshold or len(data) < threshold:
            assert kept is data


def test_a_value_may_have_come_from_anywhere() -> None:
    data = written({"text": LONG})
    streamed = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    for frame in (
        data,
        gzip.compress(data),
        codec.zstandardized(data),
        streamed.compress(data) + streamed.flush(),
        dictionary.packed(data),
    ):
        assert values.plain(frame) == data


def test_a_value_that_cannot_be_read_is_as_one_of_another_version() -> None:
    bomb = zstandard.ZstdCompressor().compress(b"0" * (values.LIMIT + 1))
    packed = dictionary.packed(b"{}" * 100)
    foreign = packed.replace(dictionary.CURRENT.to_bytes(2, "little"), b"\x01\x90", 1)
    for bad in (
        b"\x28\xb5\x2f\xfd",
        b"\x1f\x8b\x08",
        b"\x28",
        packed[:-1],
        packed * 2,
        bomb,
        foreign,
    ):
        with pytest.raises(msgspec.DecodeError):
            values.plain(bad)
        with pytest.raises(msgspec.DecodeError):
            records.question(bad)
        assert session_of("s", bad) is None


def test_what_is_long_stays_plain_where_packing_would_keep_others_waiting() -> None:
    data = b'"%b"' % (b"a" * (4 << 20))
    assert values.packed(data, 1) is data
    assert values.packed(data[: 4 << 20], 1) is not data


def test_an_attempt_is_told_from_others_by_its_first_letters_in_a_frame_too() -> None:
    outcome = Outcome(State.ANSWERED, 1.0, LONG)
    one, other = (records.outcome_bytes(outcome, letter * records.ATTEMPT, 512) for letter in "ab")
    assert one[: records.ATTEMPT] == b"a" * records.ATTEMPT
    assert one[records.ATTEMPT :].startswith(codec.ZSTD)
    assert one != other
    assert records.outcome(one) == records.outcome(other) == outcome


@pytest.mark.parametrize("pack", [gzip.compress, codec.zstandardized, dictionary.packed])
def test_a_session_is_read_whatever_it_was_packed_with(pack: object) -> None:
    assert callable(pack)
    kept = McpSession("s", "acme", "ann", "2025-11-25", 1_700_000_000.0, client_name=LONG)
    assert session_of("s", pack(session_bytes(kept))) == kept


# -- in a real one


PLAIN = Settings(lease_seconds=1.0, refresh_seconds=1.0, compress_bytes=0)


def kept_in(servers: Servers, asked: Question, field: str) -> bytes:
    """Return what a server has of a question."""
    where = place(asked)
    text = servers.at(where, "HGET", where.question(asked.id), field)
    assert isinstance(text, str)
    return text.encode(errors="surrogateescape")


@pytest.mark.slow
async def test_instances_that_compress_and_those_that_do_not_share_their_questions(
    servers: Servers, open_instance: Open
) -> None:
    old, new = await open_instance(PLAIN), await open_instance(QUICK)
    for asker, reader in ((old, new), (new, old)):
        asked = question(context=LONG)
        await asker.store.admit(asked)
        assert kept_in(servers, asked, "b").startswith(codec.ZSTD) is (asker is new)
        found = await reader.store.find("acme", asked.id)
        assert found is not None
        assert found.question == asked
        assert await reader.store.hold("acme", asked.id) == asked
        # It is there already, whoever asks it again.
        assert not (await reader.store.admit(asked)).outcome
        outcome = answered(LONG)
        settled = await reader.store.settle(asked, outcome)
        assert settled is not None
        assert settled.won
        ended = kept_in(servers, asked, "o")
        assert ended[records.ATTEMPT :].startswith(codec.ZSTD) is (reader is new)
        late = await asker.store.settle(asked, answered())
        assert late is not None
        assert (late.won, late.outcome) == (False, outcome)
        again = await asker.store.find("acme", asked.id)
        assert again is not None
        assert again.outcome == outcome


@pytest.mark.slow
async def test_a_compressed_question_times_out_and_an_unreadable_one_does_not_stop_the_sweep(
    servers: Servers, open_instance: Open
) -> None:
    one = await open_instance()
    asked, broken = (question(seconds=-1, context=LONG) for _ in range(2))
    for each in (asked, broken):
        await one.store.admit(each)
    where = place(broken)
    servers.at(where, "HSET", where.question(broken.id), "b", codec.ZSTD)
    (settled,) = await one.sweep()
    assert settled.question == asked


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["off", "on"])
async def test_sessions_are_plain_unless_all_their_readers_can_read_more(
    servers: Servers, open_instance: Open, setting: str
) -> None:
    settings = Settings(lease_seconds=1.0, compress_sessions=setting)
    one, other = await open_instance(settings), await open_instance(settings)
    session_id = "0b0e7a7c-4b8e-4d1a-9f0e-3f1f5f2f9a10"
    kept = McpSession(session_id, "acme", "ann", "2025-11-25", 1_700_000_000.0, client_name=LONG)
    await one.store.save_session(kept)
    data = servers.do("GET", session_key(session_id)).encode(errors="surrogateescape")
    assert data.startswith(codec.ZSTD) is (setting == "on")
    assert not (setting == "on" and codec.names_dictionary(data))
    assert await other.store.find_session(session_id) == kept
