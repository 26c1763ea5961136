"""What all revisions say alike."""

from __future__ import annotations

import json

from gateway.mcp import jsonrpc, results
from gateway.mcp.registry import Registry
from gateway.mcp.revisions import family
from gateway.mcp.revisions.handshake import REVISIONS
from gateway.mcp.revisions.modern import Modern

MODERN = Modern(results.Implementation("s", "1"), 1000)


def test_a_program_introduces_itself_without_empty_words() -> None:
    said = family.encode(results.Implementation("n", "1", website_url="https://e.example"))
    assert json.loads(said) == {"name": "n", "version": "1", "websiteUrl": "https://e.example"}


def test_nothing_registered_is_nothing_offered_but_logging() -> None:
    assert family.offered(Registry()) == {"logging": {}}


def test_a_body_is_encoded_once() -> None:
    assert family.body_of(results.Encoded(b'{"x":1}')) == b'{"x":1}'
    assert family.body_of(results.Empty()) == b"{}"


def test_every_revision_agrees_on_what_is_no_request_at_all() -> None:
    revisions: list[family.Revision] = [MODERN, *REVISIONS.values()]
    for revision in revisions:
        assert revision.status(jsonrpc.PARSE_ERROR) == 400
        assert revision.status(jsonrpc.INVALID_REQUEST) == 400
        assert revision.status(jsonrpc.BUSY) == 503
        assert revision.methods >= family.COMMON_METHODS
