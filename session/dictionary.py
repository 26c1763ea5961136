"""The zstd dictionaries that come with this version: what is known before anything is said.

Each is a file named by the id in its own header (RFC 8878 section 5), trained by
`loadtest.dictionary`. All of them are read, so that what an earlier version wrote can be
read as well; `CURRENT` is the one that is written with. Nothing is read after the import.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from session import codec
from session.steps import Steps

_SUFFIX: Final = ".zdict"


def _packaged() -> Mapping[int, bytes]:
    folder = files("session").joinpath("dictionaries")
    return {
        int(each.name.removesuffix(_SUFFIX)): each.read_bytes()
        for each in folder.iterdir()
        if each.name.endswith(_SUFFIX)
    }


#: Every dictionary that can be read with, by its id.
KNOWN: Final = _packaged()
#: The id of the one that is written with.
CURRENT: Final = 56_834

_PACKER: Final = codec.Packer(KNOWN[CURRENT])


def packed(data: bytes) -> bytes:
    """Return a zstd frame that names the current dictionary."""
    return _PACKER.packed(data)


def packing(data: bytes) -> Steps[bytes]:
    """Do as `packed` does with what is long, step by step."""
    return _PACKER.packing(data)


def unpacked(data: bytes, limit: int) -> bytes:
    """Return what is in a zstd frame, with a dictionary or without one.

    Raises:
        session.codec.UnknownDictionaryError: it names one that is not among ours.
        session.codec.CodingError: nothing usable; `TooLongError` when it is too much.
    """
    return codec.unzstd(data, limit, KNOWN)


def unpacking(data: bytes, limit: int) -> Steps[bytes]:
    """Do as `unpacked` does, step by step."""
    return codec.unpacking(data, limit, KNOWN)
