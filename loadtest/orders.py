"""What the coordinator and the processes of the load tell each other: one JSON object a line."""

from __future__ import annotations

from typing import Final

import msgspec

from loadtest.plans import Plan
from loadtest.result import Truth


class Begin(msgspec.Struct, tag="begin"):
    """The first line to a process: what the load is, and which part of it is yours."""

    plan: Plan
    part: int
    #: How long connecting may take.
    connect_seconds: float


class Go(msgspec.Struct, tag="go"):
    """Everybody is connected everywhere: start."""


class Rate(msgspec.Struct, tag="rate"):
    """Ask so many questions a second, all processes together."""

    rate: float


class Stop(msgspec.Struct, tag="stop"):
    """Ask no more, and drain."""


class Joining(msgspec.Struct, tag="joining"):
    """So many of my connections are open by now, and so many are not; said now and then."""

    connections: int
    missing: int
    #: Attempts that came to nothing.
    refused: int
    last_refusal: str


class Connected(msgspec.Struct, tag="connected"):
    """All my connections are open; or, when some are missing, will never be."""

    connections: int
    missing: int
    refused: int
    last_refusal: str


class Part(msgspec.Struct, tag="part", kw_only=True):
    """What happened here in one second."""

    index: int
    at: float
    seconds: float
    asked: int
    answered: int
    failed: int
    in_flight: int
    frames: int
    #: Milliseconds.
    lag: float
    cpu: float
    histogram: str


class Done(msgspec.Struct, tag="done", kw_only=True):
    """The last line of a process: everything that came of it."""

    truth: Truth
    #: Latencies since the last `Part`.
    histogram: str
    refused_handshakes: int
    asked_again: int
    #: Questions that were due and could not be asked, because every caller waited.
    unasked: int
    cpu: float
    #: Messages to frontends that came compressed; their bytes on the wire, and unpacked.
    deflated: int = 0
    deflated_bytes: int = 0
    inflated_bytes: int = 0


Order = Begin | Go | Rate | Stop
Told = Joining | Connected | Part | Done
_encoder: Final = msgspec.json.Encoder()
_orders: Final = msgspec.json.Decoder(Order)
_told: Final = msgspec.json.Decoder(Told)


def encode(message: Order | Told) -> bytes:
    """Return the line."""
    return _encoder.encode(message) + b"\n"


def order(line: bytes) -> Order:
    """Read a line to a process."""
    found: Order = _orders.decode(line)
    return found


def told(line: bytes) -> Told:
    """Read a line from a process."""
    found: Told = _told.decode(line)
    return found
