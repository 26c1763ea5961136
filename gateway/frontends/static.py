"""The inbox's files, held in memory and served as they are.

Pure once loaded. Nothing outside the folder can be named: a request's path is
looked up among the files found at the start, never joined to a directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final, NamedTuple, final

_TYPES: Final = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".ico": b"image/x-icon",
    ".js": b"text/javascript; charset=utf-8",
    ".json": b"application/json",
    ".png": b"image/png",
    ".svg": b"image/svg+xml",
    ".webmanifest": b"application/manifest+json",
}

# No inline script or style, nobody frames the page, and it talks to us alone.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self' ws: wss:; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"Cache-Control", b"no-cache"),
    (b"Content-Security-Policy", _POLICY),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"X-Content-Type-Options", b"nosniff"),
)


# The client is there to be imported by web apps of other origins; what it may do
# there is decided by the Origin of its socket.
_EMBEDDABLE: Final = "frontend-router.js"
_FOR_ALL_ORIGINS: Final = (
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Cross-Origin-Resource-Policy", b"cross-origin"),
)


class StaticResponse(NamedTuple):
    """What to answer a request for a file with."""

    status: int
    body: bytes
    content_type: bytes
    headers: tuple[tuple[bytes, bytes], ...]


class _File(NamedTuple):
    body: bytes
    content_type: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    etag: bytes


@final
class StaticFiles:
    """The files of one folder, by request path."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = {f"/{name}": _file(name, body) for name, body in files.items()}
        if "/index.html" in self._files:
            self._files["/"] = self._files["/index.html"]

    @classmethod
    def of_inbox(cls) -> StaticFiles:
        """Read the inbox that is part of this package."""
        folder = files("gateway.frontends").joinpath("inbox")
        return cls(
            {
                entry.name: entry.read_bytes()
                for entry in folder.iterdir()
                if entry.is_file() and _suffix(entry.name) in _TYPES
            }
        )

    def find(self, path: str, headers: Mapping[bytes, bytes]) -> StaticResponse | None:
        """Return the file at ``path``, or that it has not changed, or ``None``."""
        found = self._files.get(path)
        if found is None:
            return None
        known = headers.get(b"if-none-match", b"")
        if found.etag in [etag.strip().removeprefix(b"W/") for etag in known.split(b",")]:
            return StaticResponse(304, b"", found.content_type, found.headers)
        return StaticResponse(200, found.body, found.content_type, found.headers)


def _file(name: str, body: bytes) -> _File:
    etag = b'"' + hashlib.sha256(body).hexdigest()[:32].encode() + b'"'
    headers: tuple[tuple[bytes, bytes], ...] = (*_HEADERS, (b"ETag", etag))
    if name == _EMBEDDABLE:
        headers += _FOR_ALL_ORIGINS
    return _File(body, _TYPES[_suffix(name)], headers, etag)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :] if "." in name else ""
