"""What a coding brings, and what it costs: `python -m loadtest.codecs`.

For each payload and coding: how much of it is left, and the CPU time of packing and of
unpacking it; then what a WebSocket that has agreed to a coding holds while nothing is said.
The thresholds below which nothing is compressed (`--http-compress-bytes`,
`--frontends-compress-bytes`, `--frontends-dictionary-bytes`, `--redis-compress-bytes`) are
where the time becomes small beside that of the request itself.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
from websockets.frames import Frame, Opcode

from gateway.frontends.coding import Deflate, Tally
from gateway.frontends.frames import encode_text
from gateway.frontends.strange import NOTHING_AGREED, Agreed, StrangeFrames
from gateway.metrics import Metrics
from session import codec, dictionary

_SECONDS: Final = 0.2
_LIMIT: Final = 16 * 1024 * 1024
_WINDOW_BITS: Final = 12
_CONNECTIONS: Final = 500
_HEADER: Final = 10
_WIDE: Final = 16
_SENTENCES: Final = (
    "The migration adds an index to the table of orders and takes a lock for {} seconds. ",
    "Service {} answers more slowly than last week; its error budget is used up. ",
    "Customer {} asks for their money back and says that the parcel was damaged. ",
    "The diff touches {} files, two of which are generated, and no test covers the rest. ",
    "Credentials of environment {} expire tomorrow and nobody has rotated them yet. ",
)


class Row(NamedTuple):
    """One payload in one coding; times are microseconds of CPU."""

    payload: str
    size: int
    coding: str
    left: float
    pack: float
    unpack: float


class Coding(NamedTuple):
    """A coding as one of our wires, or the store, has it."""

    name: str
    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes], bytes]


def _deflated(data: bytes) -> bytes:
    """Return what permessage-deflate makes of a message, with a frame's longest header."""
    return Deflate(1, lambda *_what: None).of(encode_text(data))


def _inflated(frame: bytes) -> bytes:
    length = frame[1]
    start = 4 if length == 126 else _HEADER if length == 127 else 2  # noqa: PLR2004 - RFC 6455
    return zlib.decompressobj(-_WINDOW_BITS).decompress(frame[start:] + b"\0\0\xff\xff")


CODINGS: Final = (
    Coding("gzip", codec.gzipped, lambda data: codec.gunzip(data, _LIMIT)),
    Coding("deflate", _deflated, _inflated),
    Coding("zstd", codec.zstandardized, lambda data: codec.unzstd(data, _LIMIT)),
    Coding("zstd-dictionary", dictionary.packed, lambda data: dictionary.unpacked(data, _LIMIT)),
)


def payloads() -> dict[str, bytes]:
    """Return what goes over our wires, by name."""

    def text(size: int) -> str:
        parts, length, number = [], 0, 0
        while length < size:
            part = _SENTENCES[number % len(_SENTENCES)].format(number * 7919 % 10_007)
            parts.append(part)
            length += len(part)
            number += 1
        return "".join(parts)[:size]

    def question(context: str, choices: int) -> bytes:
        return msgspec.json.encode(
            {
                "type": "ask_user",
                "request_id": "9f86d081884c7d659a2feaa0c55ad015",
                "question": "Shall the release go out today?",
                "from": {"subject": "ci", "name": "release-bot"},
                "created_at": "2026-01-02T03:04:05.678Z",
                "deadline": "2026-01-02T03:09:05.678Z",
                "delivery": "all",
                "choices": [
                    {"value": f"choice-{number}", "label": text(24)} for number in range(choices)
                ],
                "context": context,
            }
        )

    return {
        "short question": question("", 0),
        "typical question": question(text(700), 4),
        "context of 4 KiB": question(text(4096), 4),
        "context of 32 KiB": question(text(32 * 1024), 4),
        "context of 1 MiB": question(text(1024 * 1024), 4),
    }


def measured(name: str, plain: bytes, coding: Coding) -> Row:
    """Return what a coding does to a payload."""
    packed = coding.pack(plain)
    pack = _microseconds(lambda: coding.pack(plain))
    unpack = _microseconds(lambda: coding.unpack(packed))
    return Row(name, len(plain), coding.name, len(packed) / len(plain), pack, unpack)


def held() -> dict[str, float]:
    """Return the bytes that a WebSocket holds, by what it agreed to, after one message each."""
    tally = Tally(Metrics())
    plain = b'{"type":"draft","request_id":"1","text":"%b"}' % (b"so " * 300)
    bits = (_WINDOW_BITS, _WINDOW_BITS)
    text = bytearray(Frame(Opcode.TEXT, _deflated(plain)[4:]).serialize(mask=True))
    text[0] |= 0x40
    ping = Frame(Opcode.PING, b"").serialize(mask=True)

    def binary(data: bytes) -> bytes:
        return Frame(Opcode.BINARY, data).serialize(mask=True)

    cases = {
        "nothing": (NOTHING_AGREED, ping),
        "deflate": (Agreed(bits), bytes(text)),
        "zstd": (Agreed(zstd=True), binary(codec.zstandardized(plain))),
        "zstd-dictionary": (Agreed(zstd=True), binary(dictionary.packed(plain))),
    }
    found = {}
    for name, (agreed, said) in cases.items():
        gc.collect()
        tracemalloc.start()
        crowd = [StrangeFrames(_LIMIT, 100, tally, agreed) for _ in range(_CONNECTIONS)]
        for each in crowd:
            each.receive(said, 0.0)
            each.protocol.data_to_send()
        gc.collect()
        found[name] = tracemalloc.get_traced_memory()[0] / _CONNECTIONS
        tracemalloc.stop()
    return found


def main() -> int:
    """Print the tables. Returns the exit status."""
    head = f"{'payload':20} {'bytes':>9}  {'coding':{_WIDE}} {'left':>6} {'pack us':>9}"
    print(f"{head} {'unpack us':>10}")
    for name, plain in payloads().items():
        for coding in CODINGS:
            row = measured(name, plain, coding)
            print(
                f"{row.payload:20} {row.size:9,}  {row.coding:{_WIDE}} {row.left:6.1%} "
                f"{row.pack:9,.1f} {row.unpack:10,.1f}"
            )
    for name, size in held().items():
        print(f"a WebSocket that agreed to {name:{_WIDE}} holds {size / 1024:5.1f} KiB")
    return 0


def _microseconds(step: object) -> float:
    assert callable(step)
    times = 0
    begun = time.process_time()
    while (spent := time.process_time() - begun) < _SECONDS:
        step()
        times += 1
    return spent / times * 1e6


if __name__ == "__main__":
    sys.exit(main())
