"""permessage-deflate of a load's frontends, beside an implementation of somebody else."""

from __future__ import annotations

import zlib

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from loadtest import deflating

TEXT = b'{"type":"user_response","answer":"' + b"blue " * 200 + b'"}'


def other() -> PerMessageDeflate:
    """The server's side, which takes no context over and holds 4 KiB of it."""
    return PerMessageDeflate(
        remote_no_context_takeover=True,
        local_no_context_takeover=True,
        remote_max_window_bits=15,
        local_max_window_bits=12,
    )


def payload_of(frame: bytes) -> bytes:
    """Return the payload of a short masked frame whose mask is zeros."""
    assert (frame[0], frame[1] & 0x80, frame[2:6]) == (0xC1, 0x80, bytes(4))
    assert len(frame) == 6 + (frame[1] & 0x7F)
    return frame[6:]


def test_what_is_said_is_short_and_each_message_is_understood_by_itself() -> None:
    for _ in range(3):
        payload = payload_of(deflating.frame(TEXT))
        assert len(payload) < len(TEXT) / 5
        frame = Frame(Opcode.TEXT, payload, rsv1=True)
        # A new one each time: nothing is known from the message before.
        assert other().decode(frame).data == TEXT


def test_what_is_heard_is_what_was_said() -> None:
    for size in (0, 1, 100, 70_000):
        coded = other().encode(Frame(Opcode.TEXT, TEXT[:40] + b"x" * size))
        assert coded.rsv1
        assert deflating.inflated(bytes(coded.data)) == TEXT[:40] + b"x" * size


def test_a_server_that_takes_its_context_over_is_noticed() -> None:
    keeping = zlib.compressobj(6, zlib.DEFLATED, -12)
    first, second = (
        (keeping.compress(TEXT) + keeping.flush(zlib.Z_SYNC_FLUSH))[:-4] for _ in range(2)
    )
    assert deflating.inflated(first) == TEXT
    with pytest.raises(ValueError, match="cannot be inflated"):
        deflating.inflated(second)


def test_a_message_that_would_fill_the_memory_is_none() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(16 * 1024 * 1024 + 100)) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 20_000
    with pytest.raises(ValueError, match="longer than"):
        deflating.inflated(bomb[:-4])


@pytest.mark.parametrize(
    ("said", "agreed"),
    [
        (b"permessage-deflate; server_no_context_takeover; client_no_context_takeover", True),
        (b"permessage-deflate; server_max_window_bits=12; server_no_context_takeover", True),
        # A server that kept its context could not be understood.
        (b"permessage-deflate; client_no_context_takeover", False),
        (b"x-webkit-deflate-frame", False),
        (b"", False),
    ],
)
def test_a_server_agrees_or_does_not(said: bytes, *, agreed: bool) -> None:
    assert deflating.is_agreed(said) is agreed
