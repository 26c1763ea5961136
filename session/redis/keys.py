"""Where everything is: keys, and the sixteen places over which questions are spread.

Pure module. A place is one hash slot: a question, the inboxes it is in, its deadline and
what happened to it are in the same slot, so that one script changes all of them at once
or none (README.md beside this has the table). Sixteen of them spread over the primaries
of any cluster of usual size, and are few enough to be read one by one.
"""

from __future__ import annotations

import binascii
from functools import lru_cache
from hashlib import blake2b
from typing import Final, final
from urllib.parse import quote

from session.model import Question

_SLOTS: Final = 16_384
_HEX: Final = "0123456789abcdef"
_LONGEST_ID: Final = 64


def _tag(number: int) -> bytes:
    """Return a hash tag whose slot is in this sixteenth of all slots."""
    # Redis Cluster's hash is CRC16/XMODEM (Cluster specification, "Key distribution model").
    share = _SLOTS // len(_HEX)
    attempt = 0
    while (tag := b"%d.%d" % (number, attempt)) and slot_of_tag(tag) // share != number:
        attempt += 1
    return tag


def slot_of_tag(tag: bytes) -> int:
    """Return the hash slot of all keys with this hash tag."""
    return binascii.crc_hqx(tag, 0) % _SLOTS


@final
class Place:
    """One of the sixteen: what its keys are called."""

    __slots__ = (
        "_asked",
        "_inbox",
        "_question",
        "_quota",
        "_tool",
        "_tools",
        "alive",
        "channel",
        "due",
        "log",
        "number",
        "pending",
        "slot",
    )

    def __init__(self, number: int) -> None:
        tag = _tag(number)
        self.number = number
        self.slot = slot_of_tag(tag)
        self.due = b"due:{%b}" % tag
        self.log = b"log:{%b}" % tag
        self.pending = b"pending:{%b}" % tag
        self.alive = b"alive:{%b}" % tag
        self.channel = b"events:{%b}" % tag
        self._question = b"question:{%b}:" % tag
        self._inbox = b"inbox:{%b}:" % tag
        self._asked = b"asked:{%b}:" % tag
        self._quota = b"quota:{%b}:" % tag
        self._tools = b"tools:{%b}:" % tag
        self._tool = b"tool:{%b}:" % tag

    def question(self, question_id: str) -> bytes:
        """Return the key of a question and its outcome."""
        return self._question + question_id.encode()

    def inbox(self, tenant: str) -> bytes:
        """Return the key of a tenant's open questions here."""
        return self._inbox + name(tenant)

    def asked(self, digest: str) -> bytes:
        """Return the key of what was asked under an idempotency key."""
        return self._asked + digest.encode()

    def quota(self, kind: str, tenant: str, subject: str) -> bytes:
        """Return the key of how much a tenant, or a subject of it, uses of something."""
        return self._quota + b"%b:%b:%b" % (kind.encode(), name(tenant), name(subject))

    def tools(self, tenant: str) -> bytes:
        """Return the key of which connections of a tenant's frontends offer tools."""
        return self._tools + name(tenant)

    def tool(self, tenant: str, digest: str) -> bytes:
        """Return the key of a tool's definition."""
        return self._tool + b"%b:%b" % (name(tenant), digest.encode())


PLACES: Final = tuple(Place(number) for number in range(len(_HEX)))
_BY_DIGIT: Final = dict(zip(_HEX, PLACES, strict=True))


def place_of(question_id: str) -> Place | None:
    """Return where a question is by its id; ids that are none of ours are nowhere."""
    return _BY_DIGIT.get(question_id[:1]) if len(question_id) <= _LONGEST_ID else None


def place_of_tenant(tenant: str) -> Place:
    """Return where all of a tenant's quotas and tools are, and on whose channel it is told of."""
    return PLACES[binascii.crc_hqx(name(tenant), 0) % len(PLACES)]


def asked_as(question: Question) -> str:
    """Return a digest of under which key a question was asked, by whom, in which tenant."""
    digest = blake2b(digest_size=20)
    for part in (question.tenant, question.asker, question.idempotency_key):
        raw = part.encode()
        digest.update(b"%d:%b" % (len(raw), raw))
    return digest.hexdigest()


def session(session_id: str) -> bytes:
    """Return the key of a caller's session, as Go's instances call it."""
    return b"session:" + session_id.encode()


def streams(session_id: str) -> bytes:
    """Return the key of the event streams of a session that can be resumed."""
    return b"streams:" + name(session_id)


def subscriptions(session_id: str) -> bytes:
    """Return the key, in the slot of a session, of which resources it wants to hear."""
    return b"subscriptions:{%b}" % session(session_id)


def listening(session_id: str) -> bytes:
    """Return the key, in the slot of a session, of where its streams are."""
    return subscriptions(session_id) + b":listening"


def presence(tenant: str) -> bytes:
    """Return the key of the frontends that a tenant has at all instances."""
    return b"presence:" + name(tenant)


def drafts(tenant: str, owner: str) -> bytes:
    """Return the key of what a frontend's person has typed."""
    return b"drafts:%b:%b" % (name(tenant), name(owner))


#: The hash tag of what `frontend-router key` writes in one transaction.
CREDENTIALS: Final = b"credentials"
API_KEYS: Final = b"{credentials}:keys"
API_KEYS_VERSION: Final = b"{credentials}:version"


def ticket(digest: str) -> bytes:
    """Return the key of a ticket, which itself is written nowhere."""
    return b"ticket:" + digest.encode()


def claim(tenant: str, frontend_id: str) -> bytes:
    """Return the key that says whose a frontend's id is."""
    return b"claim:%b:%b" % (name(tenant), name(frontend_id))


#: The key that instances sign with, unless they are given one.
SIGNING_KEY: Final = b"signing:key"


def receipt(receipt_id: str) -> bytes:
    """Return the key that says that a receipt was used."""
    return b"receipt:" + name(receipt_id)


def audit(tenant: str) -> bytes:
    """Return the key of a tenant's audit record; nobody's tenant is an empty text."""
    return b"audit:" + name(tenant)


def audit_batch(tenant: str, instance: str) -> bytes:
    """Return the key, in the slot of a record, of what an instance appended to it last."""
    return b"{audit:%b}:%b" % (name(tenant), name(instance))


@lru_cache(maxsize=4_096)
def name(text: str) -> bytes:
    """Return a name as a part of a key: no two names give the same, or another hash tag."""
    return quote(text, safe="").encode()


def slot_of(key: bytes) -> int:
    """Return the hash slot of a key without a hash tag of its own."""
    return slot_of_tag(key)
