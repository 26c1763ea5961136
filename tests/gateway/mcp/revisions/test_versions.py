"""Which revisions there are."""

from __future__ import annotations

from mcp_types import version

from gateway.mcp.revisions import versions


def test_every_released_revision_but_the_first_is_served_newest_first() -> None:
    """2024-11-05 had another transport."""
    assert (*reversed(versions.SUPPORTED),) == version.KNOWN_PROTOCOL_VERSIONS[1:]
    assert versions.MODERN == version.LATEST_MODERN_VERSION
    assert versions.LATEST_HANDSHAKE == version.LATEST_HANDSHAKE_VERSION
