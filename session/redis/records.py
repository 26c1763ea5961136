"""What is written into Redis, and how it is read again.

Pure module. JSON, so that a person with redis-cli and a program in another language can
read it; long questions and outcomes are compressed (`values`), for those who need memory
more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from session import gojson, longtexts
from session.model import (
    Audience,
    Ballot,
    Delivery,
    Draft,
    Listing,
    Noted,
    Outcome,
    Presence,
    Question,
    ToolOffer,
)
from session.redis import values
from session.steps import Steps

T = TypeVar("T")
_encode: Final = msgspec.json.Encoder().encode
_question: Final = msgspec.json.Decoder(Question).decode
_outcome: Final = msgspec.json.Decoder(Outcome).decode
_ballot: Final = msgspec.json.Decoder(Ballot).decode
_noted: Final = msgspec.json.Decoder(Noted).decode
_presence: Final = msgspec.json.Decoder(Presence).decode
_offer: Final = msgspec.json.Decoder(ToolOffer).decode
_progress: Final = msgspec.json.Decoder(tuple[str, str, str]).decode
_draft: Final = msgspec.json.Decoder(Draft).decode
_listing: Final = msgspec.json.Decoder(tuple[str, str, str, str, Delivery]).decode
_notification: Final = msgspec.json.Decoder(tuple[str, str, str, str]).decode

#: Characters of what tells one attempt to end a question from another.
ATTEMPT: Final = 16


def listing_bytes(question: Question) -> bytes:
    """Return how a question is listed in inboxes, and named in events."""
    audience = question.audience
    # Not by the enum's value, which is looked up in Python and needed for every question.
    delivery = "one" if question.delivery is Delivery.ONE else "all"
    return _encode((question.id, question.tenant, audience.kind, audience.name, delivery))


def listed(question: Question) -> Listing:
    """Return what `listing` reads of a question."""
    return Listing(question.id, question.tenant, question.audience, question.delivery)


def listing(data: bytes) -> Listing:
    """Read what `listing_bytes` wrote.

    Raises:
        msgspec.DecodeError: an instance of another version did not.
    """
    question_id, tenant, kind, name, delivery = _listing(data)
    return Listing(question_id, tenant, Audience(kind, name), delivery)  # type: ignore[arg-type]  # what else it is matches nobody


def is_large(value: Question | Outcome) -> bool:
    """Whether a question or an outcome is written in steps."""
    if isinstance(value, Question):
        return len(value.text) + len(value.context) > longtexts.LONG
    if len(value.answer) > longtexts.LONG:
        return True
    return value.content is not None and longtexts.is_long(value.content)


def question_bytes(question: Question, compress_bytes: int = 0) -> bytes:
    """Return a question as it is stored: compressed from that size on."""
    return values.packed(_encode(question), compress_bytes)


def question(data: bytes) -> Question:
    """Read a question."""
    return _question(values.plain(data))


def writing_question(question: Question, compress_bytes: int, token: str) -> Steps[bytes]:
    """Do as `question_bytes` does, step by step; see `session.longtexts.Writer`."""
    writer = longtexts.Writer(token)
    text, context = writer.mark(question.text), writer.mark(question.context)
    marked = msgspec.structs.replace(question, text=text, context=context)
    written = yield from writer.writing(marked)
    return (yield from values.packing(written, compress_bytes))


def reading_question(data: bytes, token: str) -> Steps[Question]:
    """Do as `question` does, step by step; see `session.longtexts.decoding`."""
    return _reading(data, token, Question)


def outcome_bytes(outcome: Outcome, attempt: str, compress_bytes: int = 0) -> bytes:
    """Return an outcome as it is stored: behind what is unique to the attempt."""
    return attempt.encode() + values.packed(_encode(outcome), compress_bytes)


def outcome(data: bytes) -> Outcome:
    """Read an outcome."""
    return _outcome(values.plain(data[ATTEMPT:]))


def writing_outcome(
    outcome: Outcome, attempt: str, compress_bytes: int, token: str
) -> Steps[bytes]:
    """Do as `outcome_bytes` does, step by step; see `session.longtexts.Writer`."""
    writer = longtexts.Writer(token)
    content = yield from writer.marking(outcome.content)
    marked = msgspec.structs.replace(outcome, answer=writer.mark(outcome.answer), content=content)
    written = yield from writer.writing(marked)
    packed = yield from values.packing(written, compress_bytes)
    return (yield from longtexts.joining((attempt.encode(), packed)))


def reading_outcome(data: bytes, token: str) -> Steps[Outcome]:
    """Do as `outcome` does, step by step; see `session.longtexts.decoding`."""
    return _reading(data, token, Outcome, ATTEMPT)


def _reading(data: bytes, token: str, kind: type[T], start: int = 0) -> Steps[T]:
    plain = yield from values.unpacking(data[start:])
    # What was copied, or freed, is a step of its own.
    yield
    try:
        value = yield from longtexts.decoding(
            plain, token, parse=msgspec.json.decode, most=values.LIMIT
        )
    except gojson.DecodeError:
        # It has a key as long as a text: somebody's form, in one go.
        return msgspec.json.decode(plain, type=kind)
    yield
    return msgspec.convert(value, kind)


def ballot_bytes(ballot: Ballot) -> bytes:
    """Return one answer of several as it is stored, a line behind who gave it."""
    return _encode(ballot)


def ballots(lines: bytes | None) -> tuple[Ballot, ...]:
    """Read the answers that `vote.lua` put together."""
    if not lines:
        return ()
    return tuple(_ballot(line.partition(b" ")[2]) for line in lines.splitlines())


def reading_ballots(lines: bytes) -> Steps[tuple[Ballot, ...]]:
    """Do as `ballots` does, an answer in each step: all together are no longer than one alone."""
    read = []
    for line in lines.splitlines():
        read.append(_ballot(line.partition(b" ")[2]))
        yield
    return tuple(read)


def notes_bytes(notes: Iterable[Noted]) -> bytes:
    """Return notes as they are stored, each a line."""
    return b"".join(_encode(noted) + b"\n" for noted in notes)


def notes(lines: bytes | None) -> tuple[Noted, ...]:
    """Read notes; what was written twice, as its reply was lost, is one."""
    if not lines:
        return ()
    return tuple(dict.fromkeys(_noted(line) for line in lines.splitlines()))


def presence_bytes(presence: Presence) -> bytes:
    """Return a connected frontend as it is stored."""
    return _encode(presence)


def presence(data: bytes) -> Presence:
    """Read a connected frontend."""
    return _presence(data)


def tool_offer_bytes(offer: ToolOffer) -> bytes:
    """Return what a connection offers as it is stored."""
    return _encode(offer)


def tool_offer(data: bytes) -> ToolOffer:
    """Read what a connection offers."""
    return _offer(data)


def progress_bytes(tenant: str, call_id: str, progress: bytes) -> bytes:
    """Return how far a call is, for other instances."""
    return _encode((tenant, call_id, progress.decode()))


def progress(data: bytes) -> tuple[str, str, bytes]:
    """Read how far a call is: the tenant, the call, and the rest."""
    tenant, call_id, body = _progress(data)
    return tenant, call_id, body.encode()


def draft_bytes(draft: Draft) -> bytes:
    """Return a draft as it is stored."""
    return _encode(draft)


def draft(data: bytes) -> Draft:
    """Read a draft."""
    return _draft(data)


def notification_bytes(tenant: str, audience: Audience, body: bytes) -> bytes:
    """Return what people are told, for other instances."""
    return _encode((tenant, audience.kind, audience.name, body.decode()))


def notification(data: bytes) -> tuple[str, Audience, bytes]:
    """Read what people are told: the tenant, for whom it is, and the rest."""
    tenant, kind, name, body = _notification(data)
    return tenant, Audience(kind, name), body.encode()  # type: ignore[arg-type]  # as above


def stream_bytes(stream_id: str, waits_for: tuple[str, str | int]) -> bytes:
    """Return what a stream waits for."""
    return _encode((stream_id, *waits_for))


def stream(data: bytes) -> tuple[str, tuple[str, str | int]]:
    """Read a stream's id and what it waits for."""
    found: Any = msgspec.json.decode(data)
    return found[0], (found[1], found[2])
