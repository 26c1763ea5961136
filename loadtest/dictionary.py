"""Trains the dictionary that short messages are compressed with: `python -m loadtest.dictionary`.

It writes a file named by the id in its header into ``session/dictionaries``. A dictionary
never changes once it was released, as frontends keep it for ever and stores have values
that need it: a better one is another file with another id, and `session.dictionary` then
writes with that and reads with both.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Final

import zstandard

from loadtest.corpus import corpus
from session import dictionary

# Larger ones were no better, and each frontend has to load it once.
_SIZE: Final = 12 * 1024
# The length of segments and of what they are compared by, and the level whose matches set
# the tables: the best of some hundred that were tried on messages of no corpus.
_SEGMENT: Final = 2_500
_COMPARED: Final = 8
_LEVEL: Final = 12
# RFC 8878 section 5: below are ids of public dictionaries. These take two bytes in a frame.
_FIRST_ID: Final = 32_768
_IDS: Final = 32_768


def trained(samples: list[bytes]) -> bytes:
    """Return a dictionary for messages like these; the same for the same ones."""
    # What is trained in another way is another dictionary.
    how = b"%d %d %d %d" % (_SIZE, _SEGMENT, _COMPARED, _LEVEL)
    digest = zlib.crc32(b"\n".join((how, *samples)))
    made = zstandard.train_dictionary(
        _SIZE,
        [*samples],
        k=_SEGMENT,
        d=_COMPARED,
        level=_LEVEL,
        dict_id=_FIRST_ID + digest % _IDS,
    )
    return made.as_bytes()


def main(folder: Path | None = None) -> int:
    """Write the dictionary. Returns the exit status."""
    made = trained(corpus())
    number = zstandard.ZstdCompressionDict(made).dict_id()
    into = folder or Path(dictionary.__file__).parent / "dictionaries"
    path = into / f"{number}.zdict"
    path.write_bytes(made)
    print(f"{path}: {len(made)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
