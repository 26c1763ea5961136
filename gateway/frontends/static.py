"""The inbox's files, held in memory and served as they are.

Pure once loaded. Nothing outside the folder can be named: a request's path is
looked up among the files found at the start, never joined to a directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final, NamedTuple, final

from gateway import codec

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

# No inline script or style, a form goes nowhere, and the page talks to us alone: what a
# person pastes into it cannot be sent to anybody else.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors %b"
)
_HEADERS: Final = (
    (b"Cache-Control", b"no-cache"),
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
    content_type: bytes
    #: What it is in each coding, with its headers and its ETag; the plain one always.
    forms: Mapping[bytes, tuple[bytes, tuple[tuple[bytes, bytes], ...], bytes]]


@final
class StaticFiles:
    """The files of one folder, by request path.

    Args:
        embedders: the origins whose pages may show the inbox in a frame.
    """

    def __init__(self, files: Mapping[str, bytes], embedders: Sequence[str] = ()) -> None:
        policy = _POLICY % (" ".join(embedders).encode() or b"'none'")
        self._files = {f"/{name}": _file(name, body, policy) for name, body in files.items()}
        if "/index.html" in self._files:
            self._files["/"] = self._files["/index.html"]
        self.become(())

    @classmethod
    def of_inbox(cls, embedders: Sequence[str] = ()) -> StaticFiles:
        """Read the inbox that is part of this package."""
        folder = files("gateway.frontends").joinpath("inbox")
        return cls(
            {
                entry.name: entry.read_bytes()
                for entry in folder.iterdir()
                if entry.is_file() and _suffix(entry.name) in _TYPES
            },
            embedders,
        )

    def become(self, embedders: Sequence[str]) -> None:
        """Let pages of these origins show the inbox in a frame from now on, and no others."""
        policy = _POLICY % (" ".join(embedders).encode() or b"'none'")
        self._policy = (b"Content-Security-Policy", policy)

    def find(self, path: str, headers: Mapping[bytes, bytes]) -> StaticResponse | None:
        """Return the file at ``path``, or that it has not changed, or ``None``."""
        found = self._files.get(path)
        if found is None:
            return None
        coding = codec.preferred(headers.get(b"accept-encoding"))
        body, headers_of_form, etag = found.forms.get(coding, found.forms[b""])
        says = (*headers_of_form, self._policy)
        known = headers.get(b"if-none-match", b"")
        if etag in [each.strip().removeprefix(b"W/") for each in known.split(b",")]:
            return StaticResponse(304, b"", found.content_type, says)
        return StaticResponse(200, body, found.content_type, says)


def _file(name: str, body: bytes, policy: bytes) -> _File:
    digest = hashlib.sha256(body).hexdigest()[:32].encode()
    always: tuple[tuple[bytes, bytes], ...] = (*_HEADERS, (b"Content-Security-Policy", policy))
    if name == _EMBEDDABLE:
        always += _FOR_ALL_ORIGINS
    packed = {coding: codec.encoded(body, coding) for coding in codec.CODINGS}
    smaller = {coding: data for coding, data in packed.items() if len(data) < len(body)}
    varies = ((b"Vary", b"Accept-Encoding"),) if smaller else ()
    # Each form is a representation of its own (RFC 9110 section 8.8.3).
    plain = b'"%b"' % digest
    forms = {b"": (body, (*always, *varies, (b"ETag", plain)), plain)}
    for coding, data in smaller.items():
        etag = b'"%b-%b"' % (digest, coding)
        says = (*always, *varies, (b"ETag", etag), (b"Content-Encoding", coding))
        forms[coding] = (data, says, etag)
    return _File(_TYPES[_suffix(name)], forms)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :] if "." in name else ""
