"""What the revisions with sessions have in common, and where they differ."""

from __future__ import annotations

import json

import pytest

from gateway.mcp import results
from gateway.mcp.call import Departure
from gateway.mcp.registry import Registry
from gateway.mcp.results import Implementation
from gateway.mcp.revisions import handshake


@pytest.mark.parametrize(
    ("name", "batches", "primes"),
    [("2025-03-26", True, False), ("2025-06-18", False, False), ("2025-11-25", False, True)],
)
def test_revisions_differ_in_little(name: str, batches: bool, primes: bool) -> None:
    revision = handshake.REVISIONS[name]
    assert (revision.name, revision.batches, revision.primes) == (name, batches, primes)
    assert revision.resumable
    assert revision.on_disconnect is Departure.LEFT


@pytest.mark.parametrize(
    ("requested", "agreed"),
    [
        ("2025-03-26", "2025-03-26"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("", "2025-11-25"),
    ],
)
def test_a_caller_gets_the_revision_it_wants_or_the_latest(requested: str, agreed: str) -> None:
    assert handshake.negotiate(requested).name == agreed


@pytest.mark.parametrize(
    ("name", "count", "words"),
    [
        ("2025-03-26", 2, ""),
        ("2025-03-26", 3, "A batch may have 2 messages."),
        ("2025-03-26", 0, "A batch must not be empty."),
        ("2025-06-18", 1, "Revision 2025-06-18 has no batches: send one message in a request."),
    ],
)
def test_a_batch_is_bounded_and_of_one_revision_only(name: str, count: int, words: str) -> None:
    assert handshake.REVISIONS[name].batch_problem([{}] * count, 2) == words


def test_nothing_is_added_to_a_result() -> None:
    revision = handshake.REVISIONS["2025-06-18"]
    reply = json.loads(revision.reply(b"1", results.text("t", {"a": 1}, is_error=True)))
    assert reply["result"] == {
        "content": [{"type": "text", "text": "t"}],
        "structuredContent": {"a": 1},
        "isError": True,
    }
    assert json.loads(revision.reply(b"1", results.Empty()))["result"] == {}
    assert json.loads(revision.reply(b"1", results.Empty(meta={"k": 1})))["result"] == {
        "_meta": {"k": 1}
    }


@pytest.mark.parametrize(
    ("code", "status"), [(-32700, 400), (-32600, 400), (-32601, 200), (-32602, 200), (-31000, 503)]
)
def test_what_a_method_refuses_is_in_the_body_only(code: int, status: int) -> None:
    assert handshake.REVISIONS["2025-11-25"].status(code) == status


def test_a_long_name_is_cut_and_a_missing_one_is_empty() -> None:
    params = {"protocolVersion": "x", "capabilities": {}, "clientInfo": {"name": "n" * 500}}
    assert len(handshake.Introduction(params).client_name) == 128
    params["clientInfo"] = {"name": 5}
    assert handshake.Introduction(params).client_name == ""


def test_what_is_registered_is_what_is_offered() -> None:
    result = handshake.initialize_result(
        handshake.REVISIONS["2025-11-25"], Registry(), Implementation("s", "1", "Title"), "Do."
    )
    assert json.loads(result.body) == {
        "protocolVersion": "2025-11-25",
        "capabilities": {"logging": {}},
        "serverInfo": {"name": "s", "version": "1", "title": "Title"},
        "instructions": "Do.",
    }
