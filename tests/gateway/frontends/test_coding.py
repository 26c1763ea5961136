"""Compressed messages: what a frontend that agreed to them is sent, and may send."""

from __future__ import annotations

import itertools
import json
import secrets
import zlib
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from gateway.frontends.coding import Counted, Deflate, Zstd, deflate_extension
from gateway.frontends.frames import encode_text
from gateway.frontends.strange import Agreed
from session import codec, dictionary
from tests.gateway.frontends.world import Tab, World, frame

LONG = "Shall it go out today? " * 60
DEFLATE = Agreed((12, 12))
ZSTD = Agreed(zstd=True)
LIMIT = 1 << 20


@pytest.fixture
def world() -> World:
    return World()


def deflated(message: dict[str, Any]) -> bytes:
    """Return what a client that agreed to permessage-deflate sends."""
    extension = PerMessageDeflate(True, True, 12, 12)
    whole = Frame(Opcode.TEXT, json.dumps(message).encode())
    return whole.serialize(mask=True, extensions=[extension])


def inflated(tab: Tab) -> list[dict[str, Any]]:
    """Return the messages that a frontend got, in whatever coding."""
    found = []
    data = tab.wire.taken()
    while data:
        size, start = data[1], 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
        payload = data[start : start + size]
        if data[0] == 0xC1:
            payload = zlib.decompressobj(-12).decompress(payload + b"\x00\x00\xff\xff")
        elif data[0] == 0x82:
            payload = dictionary.unpacked(payload, LIMIT)
        found.append(json.loads(payload))
        data = data[start + size :]
    return found


@pytest.mark.parametrize(("agreed", "name"), [(DEFLATE, "permessage-deflate"), (ZSTD, "zstd")])
def test_a_long_question_comes_compressed_and_a_short_one_does_not(
    world: World, agreed: Agreed, name: str
) -> None:
    tab = Tab(world, agreed)
    tab.say({"type": "connect", "user": "ann"})
    (welcome,) = inflated(tab)
    assert welcome["compression"] == [name]
    world.ask(LONG)
    sent = tab.wire.sent
    world.ask("Short?")
    assert len(sent) < len(LONG) / 2
    assert [message["question"] for message in inflated(tab)] == [LONG, "Short?"]


@pytest.mark.parametrize("agreed", [DEFLATE, ZSTD])
def test_what_goes_to_many_is_compressed_once(world: World, agreed: Agreed) -> None:
    tabs = [Tab(world, agreed) for _ in range(20)]
    for tab in tabs:
        tab.say({"type": "connect"})
        tab.wire.taken()
    before = counted(world)
    world.ask(LONG)
    assert {json.dumps(inflated(tab)) for tab in tabs} == {json.dumps(inflated_of(world, tabs))}
    plain = counted(world) - before
    assert len(LONG) < plain < 2 * len(LONG)


def counted(world: World) -> float:
    return sum(
        value for labels, value in world.metrics.coded.samples().items() if labels[2] == "plain"
    )


def inflated_of(world: World, tabs: list[Tab]) -> list[dict[str, Any]]:
    """Return what one more frontend of the same kind is shown."""
    tab = Tab(world)
    tab.say({"type": "connect"})
    return [message for message in inflated(tab) if message["type"] == "ask_user"]


def test_an_answer_may_come_compressed(world: World) -> None:
    for agreed, coded in ((DEFLATE, deflated), (ZSTD, zstandard_frame)):
        tab = Tab(world, agreed)
        tab.say({"type": "connect"})
        question, outcomes = world.ask("Why?")
        answer = {"type": "user_response", "request_id": question.id, "answer": LONG}
        tab.send(coded(answer))
        assert [outcome.answer for outcome in outcomes] == [LONG]


def zstandard_frame(message: dict[str, Any]) -> bytes:
    return frame(codec.zstandardized(json.dumps(message).encode()), Opcode.BINARY)


OURS = [1, dictionary.CURRENT]


def test_a_short_question_is_compressed_for_who_has_the_dictionary(world: World) -> None:
    tab = Tab(world, ZSTD)
    tab.say({"type": "connect", "dictionaries": OURS})
    (welcome,) = inflated(tab)
    number = dictionary.CURRENT
    url = f"dictionaries/{number}"
    assert welcome["dictionary"] == {"id": number, "url": url, "used": True}
    world.ask("Shall it?")
    assert tab.wire.sent[0] == 0x82
    assert codec.names_dictionary(bytes(tab.wire.sent[2:]))
    assert len(tab.wire.sent) < 128
    assert [message["question"] for message in inflated(tab)] == ["Shall it?"]
    assert world.metrics.coded.samples()["zstd-dictionary", "out", "plain"] > 200


@pytest.mark.parametrize("known", [None, [], [1, 2]])
def test_who_does_not_have_it_is_told_where_it_is(world: World, known: list[int] | None) -> None:
    tab = Tab(world, ZSTD)
    tab.say({"type": "connect"} if known is None else {"type": "connect", "dictionaries": known})
    (welcome,) = inflated(tab)
    assert welcome["dictionary"]["used"] is False
    world.ask("Shall it?")
    world.ask(LONG)
    assert tab.wire.sent[0] == 0x81
    sent = bytes(tab.wire.sent)
    assert [message["question"] for message in inflated(tab)] == ["Shall it?", LONG]
    assert not codec.names_dictionary(sent[sent.index(codec.ZSTD) :])
    # Once it has fetched it, it says so.
    tab.say({"type": "connect", "dictionaries": OURS})
    first, *_ = inflated(tab)
    assert first["dictionary"]["used"] is True


def test_nothing_is_said_of_it_to_who_cannot_use_it(world: World) -> None:
    for agreed in (Agreed(), DEFLATE):
        tab = Tab(world, agreed)
        tab.say({"type": "connect", "dictionaries": OURS})
        welcome, *_ = inflated(tab)
        assert "dictionary" not in welcome
        world.ask("Shall it?")
        assert tab.wire.sent[0] == 0x81
    unused = World(dictionary_bytes=0)
    tab = Tab(unused, ZSTD)
    tab.say({"type": "connect", "dictionaries": OURS})
    (welcome,) = inflated(tab)
    assert "dictionary" not in welcome


def test_a_frontend_has_so_many_dictionaries(world: World) -> None:
    for many, kind in ((64, "connect_ack"), (65, "error")):
        tab = Tab(world, ZSTD)
        tab.say({"type": "connect", "dictionaries": list(range(many))})
        assert [message["type"] for message in inflated(tab)] == [kind]


def test_what_comes_may_need_the_dictionary_before_anything_was_said(world: World) -> None:
    tab = Tab(world, ZSTD)
    hello = json.dumps({"type": "connect", "user": "ann", "dictionaries": OURS}).encode()
    tab.send(frame(dictionary.packed(hello), Opcode.BINARY))
    (welcome,) = inflated(tab)
    assert welcome["dictionary"]["used"] is True
    samples = world.metrics.coded.samples()
    assert samples["zstd-dictionary", "in", "plain"] == len(hello)
    assert samples["zstd-dictionary", "in", "coded"] == len(dictionary.packed(hello))


def test_a_dictionary_that_is_not_known_is_named_as_the_reason(world: World) -> None:
    foreign = dictionary.packed(b'{"type":"connect"}').replace(
        dictionary.CURRENT.to_bytes(2, "little"), b"\x01\x90", 1
    )
    tab = Tab(world, ZSTD)
    tab.send(frame(foreign, Opcode.BINARY))
    ((opcode, payload),) = tab.frames()
    assert (opcode, payload[:2]) == (8, (1007).to_bytes(2))
    assert b"dictionary" in payload
    assert world.metrics.coding_refused.samples() == {("zstd-dictionary",): 1.0}


def test_what_comes_compressed_is_counted_and_so_is_what_is_refused(world: World) -> None:
    draft = {"type": "draft", "request_id": "1", "text": "a" * 2000}
    size = len(json.dumps(draft))
    for agreed, coded, name in (
        (DEFLATE, deflated, "deflate"),
        (ZSTD, zstandard_frame, "zstd"),
    ):
        tab = Tab(world, agreed)
        tab.send(coded(draft))
        samples = world.metrics.coded.samples()
        assert samples[name, "in", "plain"] == size
        assert 0 < samples[name, "in", "coded"] < size / 10
        tab.send(coded({**draft, "text": "a" * (2 << 20)}))
        assert world.metrics.coding_refused.samples()[(name,)] == 1
    # Fragments of one are counted as they come; what came plain is not.
    whole = deflated(draft)
    tab = Tab(world, DEFLATE)
    tab.say(draft)
    tab.send(fragments(draft))
    samples = world.metrics.coded.samples()
    assert samples["deflate", "in", "plain"] == 2 * size
    assert len(whole) / 2 < samples["deflate", "in", "coded"] / 2 < len(whole) * 2


def fragments(message: dict[str, Any]) -> bytes:
    """Return a compressed message in two frames."""
    deflater = zlib.compressobj(wbits=-12)
    packed = deflater.compress(json.dumps(message).encode())
    packed += deflater.flush(zlib.Z_SYNC_FLUSH)
    packed = packed.removesuffix(b"\x00\x00\xff\xff")
    first = bytearray(Frame(Opcode.TEXT, packed[:10], fin=False).serialize(mask=True))
    first[0] |= 0x40
    return bytes(first) + Frame(Opcode.CONT, packed[10:]).serialize(mask=True)


def in_two(message: dict[str, Any]) -> bytes:
    """Return a plain message in two frames."""
    payload = json.dumps(message).encode()
    first = Frame(Opcode.TEXT, payload[:10], fin=False)
    return first.serialize(mask=True) + Frame(Opcode.CONT, payload[10:]).serialize(mask=True)


@given(
    ways=st.lists(st.sampled_from((frame, in_two, deflated, fragments)), min_size=1, max_size=8),
    cuts=st.lists(st.integers(0, 1000), max_size=4),
)
def test_messages_of_all_kinds_may_come_one_behind_the_other(
    ways: list[Callable[[dict[str, Any]], bytes]], cuts: list[int]
) -> None:
    tab = Tab(World(), DEFLATE)
    sent = [f"question-{number}" for number in range(len(ways))]
    data = b"".join(
        way({"type": "user_response", "request_id": name, "answer": "Yes"})
        for way, name in zip(ways, sent, strict=True)
    )
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in itertools.pairwise(edges):
        tab.send(data[start:end])
    heard = inflated(tab)
    assert {message["type"] for message in heard} == {"response_ack"}
    assert [message["request_id"] for message in heard] == sent


SAYINGS: list[dict[str, Any]] = [
    {"type": "connect", "frontend_id": "f"},
    {"type": "connect", "frontend_id": "g" * 130},
    {"type": "draft", "request_id": "q", "text": "t"},
    {"type": "user_response", "request_id": "q", "answer": LONG},
    {"type": "unheard-of"},
]
SAID = st.one_of(
    st.tuples(
        st.sampled_from((frame, in_two, deflated, fragments, zstandard_frame)),
        st.sampled_from(SAYINGS),
    ).map(lambda each: each[0](each[1])),
    st.tuples(st.sampled_from(list(Opcode)), st.binary(max_size=125), st.booleans()).map(
        lambda each: frame(each[1], each[0], fin=each[2] or each[0] > Opcode.BINARY)
    ),
    st.binary(max_size=20),
)


@settings(max_examples=150)
@given(
    st.lists(SAID, max_size=8),
    st.lists(st.integers(0, 2000), max_size=6),
    st.sampled_from([Agreed(), DEFLATE, ZSTD]),
)
def test_how_a_dialogue_is_cut_changes_nothing(
    said: list[bytes], cuts: list[int], agreed: Agreed
) -> None:
    data = b"".join(said)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert dialogue(agreed, pieces) == dialogue(agreed, [data] if data else [])


def dialogue(agreed: Agreed, pieces: list[bytes]) -> list[Any]:
    """Return what a frontend hears that says this, but ids and times."""
    world = World()
    tab = Tab(world, agreed)
    for piece in pieces:
        if tab.wire.is_open:
            tab.send(piece)
    heard: list[Any] = [tab.wire.closing, tab.wire.aborted, world.failures]
    for opcode, payload in tab.frames():
        if opcode == Opcode.TEXT and payload[:1] == b"{":
            message = json.loads(payload)
            heard.append([message.get(name) for name in ("type", "request_id", "code", "message")])
        elif opcode >= Opcode.CLOSE:
            heard.append((opcode, payload))
    return heard


def test_a_bomb_closes_the_socket_and_a_damaged_message_does(world: World) -> None:
    bomb = {"type": "draft", "request_id": "1", "text": "a" * (2 << 20)}
    for agreed, coded in ((DEFLATE, deflated), (ZSTD, zstandard_frame)):
        tab = Tab(world, agreed)
        tab.send(coded(bomb))
        assert tab.close_code() == 1009
    for agreed, broken, code in (
        (DEFLATE, b"\xc1\x84\x00\x00\x00\x00\xff\xff\xff\xff", 1002),
        (ZSTD, frame(b"no zstd", Opcode.BINARY), 1007),
        (ZSTD, frame(codec.zstandardized(b"\xff\xfe"), Opcode.BINARY), 1007),
    ):
        tab = Tab(world, agreed)
        tab.send(broken)
        assert tab.close_code() == code


def test_nobody_compresses_who_did_not_agree(world: World) -> None:
    for agreed in (Agreed(), ZSTD):
        tab = Tab(world, agreed)
        tab.send(deflated({"type": "connect"}))
        assert tab.close_code() == 1002
    tab = Tab(world, DEFLATE)
    tab.send(zstandard_frame({"type": "connect"}))
    assert tab.close_code() == 1003


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        ("permessage-deflate", True),
        ("permessage-deflate; client_max_window_bits", True),
        ("permessage-deflate; server_max_window_bits=15", True),
        ("permessage-deflate; server_max_window_bits=10", False),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", False),
        ("x-webkit-deflate-frame", False),
        ("", False),
    ],
)
def test_an_offer_that_would_bind_us_is_declined(offered: str, agreed: bool) -> None:
    assert bool(deflate_extension(offered)) == agreed


def _noting(said: list[tuple[str, int, int]]) -> Counted:
    return lambda *what: said.append(what)


def _finished(steps: Generator[None, None, Frame]) -> Frame:
    try:
        next(steps)
    except StopIteration as stop:
        frame: Frame = stop.value
        return frame
    raise AssertionError("the frame is not whole")


@pytest.mark.parametrize("size", [0, 100, 511, 512, 70_000])
def test_a_frame_is_what_the_library_reads(size: int) -> None:
    said: list[tuple[str, int, int]] = []
    plain = encode_text((b"0123456789abcdef" * 5000)[:size])
    for coding in (Deflate(512, _noting(said)), Zstd(512, _noting(said))):
        coded = coding.of(plain)
        assert coding.of(plain) is coded
        reader = StreamReader()
        reader.feed_data(coded)
        event = _finished(
            Frame.parse(
                reader.read_exact,
                mask=False,
                extensions=[PerMessageDeflate(True, True, 12, 12)],
            )
        )
        data = bytes(event.data)
        if event.opcode is Opcode.BINARY:
            data = codec.unzstd(data, LIMIT)
        assert encode_text(data) == plain
    assert len(said) == (2 if len(plain) >= 512 else 0)


def test_what_does_not_get_smaller_stays_as_it_is() -> None:
    noise = encode_text(secrets.token_bytes(3000))
    for coding in (Deflate(1, lambda *_what: None), Zstd(1, lambda *_what: None)):
        assert coding.of(noise) is noise
