"""permessage-deflate (RFC 7692), as frontends of a load offer and speak it.

No context is taken over in either direction, so that a message costs memory only while
it is read: a load has tens of thousands of connections. What comes in is inflated by
itself, or a server that did take a context over would not be noticed.
"""

from __future__ import annotations

import zlib
from typing import Final

from loadtest import requests

#: What is offered, and what a server that agrees has to say at least.
OFFER: Final = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
#: The first byte of a whole text that is compressed.
DEFLATED: Final = 0xC1
# Cheap for short messages: 4 KiB of context, as gateways have it, and little memory.
_WINDOW_BITS: Final = 12
_MEMORY_LEVEL: Final = 5
_LEVEL: Final = 1
_RAW: Final = -15
# What ends a message and is not sent (section 7.2.1).
_TAIL: Final = b"\x00\x00\xff\xff"
# The most that one message may become here.
_LONGEST: Final = 16 * 1024 * 1024
_deflater: Final = zlib.compressobj(_LEVEL, zlib.DEFLATED, -_WINDOW_BITS, _MEMORY_LEVEL)


def is_agreed(extensions: bytes) -> bool:
    """Return whether a server's reply agrees to what is offered here."""
    parameters = [each.strip() for each in extensions.decode("latin-1").split(";")]
    return parameters[0] == "permessage-deflate" and "server_no_context_takeover" in parameters


def frame(payload: bytes) -> bytes:
    """Return a whole masked text frame, compressed."""
    # One for everybody: a full flush forgets what was before, which saves making a new one.
    packed = _deflater.compress(payload) + _deflater.flush(zlib.Z_FULL_FLUSH)
    return requests.frame(packed.removesuffix(_TAIL), opcode=DEFLATED & 0x7F)


def inflated(payload: bytes) -> bytes:
    """Return what a compressed message says.

    Raises:
        ValueError: it is none, or longer than any that is sent.
    """
    inflater = zlib.decompressobj(_RAW)
    try:
        plain = inflater.decompress(payload + _TAIL, _LONGEST)
    except zlib.error as error:
        raise ValueError(f"a message cannot be inflated: {error}") from error
    if inflater.unconsumed_tail:
        raise ValueError(f"a message is longer than {_LONGEST} bytes")
    return plain
