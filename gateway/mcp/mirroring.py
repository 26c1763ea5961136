"""Arguments that a header repeats, for proxies to read (MCP 2026-07-28).

Pure module. They are found in a tool's schema when it is declared; what a request says
of them is compared in `gateway.mcp.revisions.modern`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

_HEADER_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER: Final = "x-mcp-header"
_HEADER_TYPES: Final = ("string", "integer", "boolean")


class DeclarationError(ValueError):
    """Something cannot be declared like this."""


class HeaderParameter(NamedTuple):
    """A tool's argument that a header repeats, for proxies to read."""

    path: tuple[str, ...]
    header: str


def header_parameters(
    schema: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[HeaderParameter]:
    """Find the arguments that are annotated with ``x-mcp-header`` (MCP 2026-07-28)."""
    seen: set[str] = set()
    for key, node in schema.get("properties", {}).items():
        if not isinstance(node, dict):
            continue
        here = (*path, key)
        header = node.get(_HEADER)
        if header is not None:
            if not isinstance(header, str) or not _HEADER_TOKEN.fullmatch(header):
                raise DeclarationError(f"{key}: {_HEADER} must be a header's name")
            if node.get("type") not in _HEADER_TYPES:
                raise DeclarationError(f"{key}: only strings, integers and booleans fit a header")
            yield from _once(HeaderParameter(here, header), seen)
        for nested in header_parameters(node, here):
            yield from _once(nested, seen)


def _once(parameter: HeaderParameter, seen: set[str]) -> Iterator[HeaderParameter]:
    if parameter.header.lower() in seen:
        raise DeclarationError(f"two arguments use the header {parameter.header}")
    seen.add(parameter.header.lower())
    yield parameter
