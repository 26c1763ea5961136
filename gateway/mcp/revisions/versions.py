"""The MCP revisions served here, by family.

Pure module. Revisions are an enumerated set and not an ordered scale: nothing
compares their names.
"""

from __future__ import annotations

from typing import Final

MODERN: Final = "2026-07-28"
#: Newest first.
HANDSHAKE: Final = ("2025-11-25", "2025-06-18", "2025-03-26")
LATEST_HANDSHAKE: Final = HANDSHAKE[0]
#: What a caller is told when it wants another one, newest first.
SUPPORTED: Final = (MODERN, *HANDSHAKE)
