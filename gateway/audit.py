"""The audit record: who asked, was offered, answered, was told, was refused.

Every entry is made here: a time, a kind, and ids of who and what; never a credential, and
of what people and agents say to each other nothing, unless a setting says so. It refuses
to wait: `gateway.recorder` brings entries to where they are kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, final

from gateway.recorder import Entry, Recorder
from pool.settings import setting
from session import longtexts
from session.model import Audience, Outcome, Principal, Question, State

if TYPE_CHECKING:
    from gateway.auth.refusals import Denial
    from gateway.offers import Notification, Recipient
    from gateway.receipts import Receipt

#: Every kind of entry. `lost` says how many are missing, `redacted` that texts are.
KINDS: Final = (
    "asked",
    "offered",
    "answered",
    "rejected",
    "cancelled",
    "timed_out",
    "approved",
    "receipt_used",
    "receipt_refused",
    "notified",
    "told",
    "denied",
    "key_created",
    "key_revoked",
    "redacted",
    "lost",
)
#: The fields of entries that quote somebody: what is redacted.
TEXTS: Final = ("text", "answer", "content", "reason_given")
#: The characters of a text that an entry quotes at most: it is written in one go, and read by
#: people.
MOST_QUOTED: Final = longtexts.LONG


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Where the record goes, and what is in it."""

    to: str = setting(
        "auto",
        "Where the audit record goes: the log, the store (a Redis), both or nowhere; auto is off "
        "without credentials, else the store if it is a Redis, else the log.",
        choices=("auto", "off", "log", "store", "both"),
    )
    length: int = setting(
        100_000,
        "About how many entries of a tenant the store keeps; the oldest go first.",
        unit="entries",
        minimum=100,
    )
    content: str = setting(
        "none",
        "What is recorded of questions, answers and notifications: ids and times only (none), "
        "or their texts as well, of each its first 262,144 characters (text).",
        choices=("none", "text"),
    )

    def goes_to(self, *, has_credentials: bool, is_shared: bool) -> tuple[bool, bool]:
        """Return whether the record goes to the log, and whether to the store."""
        to = self.to
        if to == "auto":
            to = "off" if not has_credentials else "store" if is_shared else "log"
        return to in ("log", "both"), to in ("store", "both")


@final
class Audit:
    """Makes entries of what it is told.

    Args:
        instance: what this process is called.
        with_texts: whether entries quote what people and agents say.
    """

    __slots__ = ("_clock", "_instance", "_with_texts", "recorder")

    def __init__(
        self,
        recorder: Recorder,
        clock: Callable[[], float],
        instance: str,
        *,
        with_texts: bool,
    ) -> None:
        self.recorder = recorder
        self._clock = clock
        self._instance = instance
        self._with_texts = with_texts

    # -- questions

    def asked(self, principal: Principal, question: Question) -> None:
        """A question is in the store."""
        entry = self._by(principal, "asked", question.created_at)
        entry["question"] = question.id
        entry["audience"] = _named(question.audience)
        if question.tool:
            entry["tool"] = question.tool
        size = 0
        if self._with_texts:
            size = _put_text(entry, "text", question.text)
        self.recorder.add(question.tenant, entry, size)

    def offered(self, question: Question, recipient: Recipient) -> None:
        """A question is shown to a frontend."""
        entry = self._at(recipient, "offered", self._clock())
        entry["question"] = question.id
        self.recorder.add(question.tenant, entry)

    def settled(
        self,
        question: Question,
        outcome: Outcome,
        recipient: Recipient | None = None,
        principal: Principal | None = None,
    ) -> None:
        """A question has ended here, by a frontend, a caller, or neither."""
        kind = outcome.state.text
        approval = question.approval
        if approval is not None and outcome.state is State.ANSWERED:
            kind = "approved"
        if recipient is not None:
            entry = self._at(recipient, kind, outcome.at)
        elif principal is not None:
            entry = self._by(principal, kind, outcome.at)
        else:
            entry = self._new(kind, outcome.at)
            if outcome.by:
                entry["by"] = outcome.by
        entry["question"] = question.id
        if approval is not None:
            entry["tool"] = approval.tool
            entry["arguments"] = approval.digest
        size = self._quote(entry, outcome) if self._with_texts else 0
        self.recorder.add(question.tenant, entry, size)

    def receipt_shown(self, principal: Principal, status: str, receipt: Receipt | None) -> None:
        """A caller showed the receipt of an approval."""
        kind = "receipt_used" if status == "good" else "receipt_refused"
        entry = self._by(principal, kind, self._clock())
        if status != "good":
            entry["reason"] = status
        if receipt is not None:
            entry["question"] = receipt.id
            entry["tool"] = receipt.tool
            entry["arguments"] = receipt.digest
        self.recorder.add(principal.tenant, entry)

    # -- notifications

    def notified(self, principal: Principal, notification: Notification, told: int) -> None:
        """People are told something; so many frontends are there to hear it."""
        entry = self._by(principal, "notified", notification.created_at)
        entry["notification"] = notification.id
        entry["audience"] = _named(notification.audience)
        entry["told"] = told
        size = 0
        if self._with_texts:
            size = _put_text(entry, "text", notification.message)
        self.recorder.add(principal.tenant, entry, size)

    def told(
        self, tenant: str, notification: Notification, recipients: Iterable[Recipient]
    ) -> None:
        """Frontends here are told something."""
        now = self._clock()
        for recipient in recipients:
            entry = self._at(recipient, "told", now)
            entry["notification"] = notification.id
            self.recorder.add(tenant, entry)

    # -- refusals

    def denied(self, denial: Denial) -> None:
        """Somebody was refused: in the record of their tenant, or in that of nobody."""
        entry = self._by(denial.principal, "denied", self._clock())
        entry["reason"] = denial.reason
        entry["status"] = denial.status
        if denial.peer:
            entry["peer"] = denial.peer
        if denial.credential:
            # It is what they call it, who may be anybody.
            entry["claimed"] = denial.credential
        self.recorder.add(denial.principal.tenant, entry)

    def denials_not_recorded(self, reason: str, count: int) -> None:
        """Strangers were refused too often for an entry each."""
        entry = self._new("denied", self._clock())
        entry["reason"] = reason
        entry["count"] = count
        self.recorder.add("", entry)

    # -- inside

    def _new(self, kind: str, at: float) -> Entry:
        return {"at": at, "kind": kind, "instance": self._instance}

    def _by(self, principal: Principal, kind: str, at: float) -> Entry:
        entry = self._new(kind, at)
        if principal.subject:
            entry["subject"] = principal.subject
        if principal.credential:
            entry["credential"] = principal.credential
        return entry

    def _at(self, recipient: Recipient, kind: str, at: float) -> Entry:
        entry = self._new(kind, at)
        user = recipient.presence.user
        if user:
            entry["subject"] = user
        credential = recipient.principal.credential
        if credential:
            entry["credential"] = credential
        entry["frontend"] = recipient.presence.frontend_id
        return entry

    @staticmethod
    def _quote(entry: Entry, outcome: Outcome) -> int:
        """Put what was said into an entry; return its size."""
        if outcome.state is State.ANSWERED:
            size = _put_text(entry, "answer", outcome.answer)
            if outcome.content is None:
                return size
            if longtexts.is_long(outcome.content):
                # The answer has its beginning.
                entry["content_left_out"] = True
                return size
            entry["content"] = outcome.content
            return 2 * size
        return _put_text(entry, "reason_given", outcome.reason) if outcome.reason else 0


def _put_text(entry: Entry, name: str, text: str) -> int:
    """Put a text into an entry, or its beginning and how long it is; return its size there."""
    if len(text) > MOST_QUOTED:
        entry[f"{name}_characters"] = len(text)
        text = text[:MOST_QUOTED]
    entry[name] = text
    return len(text)


def _named(audience: Audience) -> str:
    return f"{audience.kind}:{audience.name}" if audience.name else audience.kind
