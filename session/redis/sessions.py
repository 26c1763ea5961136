"""Callers' sessions as Go's instances keep them, read through a cache that Redis clears.

``session:<uuid4>`` is a JSON object as Go's encoding/json writes it, set with EX. Either
side uses what the other wrote, so fields that mean nothing to this side are kept as they
are. It may be a gzip or zstd frame of that JSON, and is written as one only when all who
read it can read that. What was read is kept for a second at most: Redis says when a key has changed
(CLIENT TRACKING), and where that is lost a second is all that anybody is behind.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from session import gojson
from session.model import McpSession
from session.redis import keys, records, values
from session.redis.scripts import (
    END_LISTENING,
    LISTEN,
    SAVE_SESSION,
    SAVE_STREAM,
    SAVE_SUBSCRIPTION,
)
from session.store import Heard, Listening

if TYPE_CHECKING:
    from session.redis.client import RedisClient

#: How long what was read may be used (a second, with how late a turn is), and how many are kept.
FRESH_SECONDS: Final = 0.9
KEPT: Final = 10_000
# A session that is in use has its TTL begun anew about as often as this.
_TOUCHES_PER_TTL: Final = 8
# Subscriptions end with their session, which whoever reads them looks at in the same step;
# this is only when they go from memory. It begins anew with each of them and, as long as
# the session has a stream somewhere, each time that this is kept alive: so the requests of
# a session do nothing for them.
_SUBSCRIBED_SECONDS: Final = 86_400

_DEFAULT_TENANT: Final = "default"
_DEFAULT_SUBJECT: Final = "anonymous"
_LATEST: Final = "2025-11-25"

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
#: What is read and written here; `created_at` as well, but as others wrote it.
_OURS: Final = frozenset(
    (
        "id",
        "tenant",
        "subject",
        "protocol_version",
        "client_name",
        "capabilities",
        "log_level",
    )
)
#: What decides who may use a session: it must mean the same to every reader.
_WHOSE: Final = frozenset(("tenant", "subject"))


@final
class _Kept:
    """A session that was read, and when."""

    __slots__ = ("read_at", "session", "touched_at")

    def __init__(self, session: McpSession, now: float, touched_at: float) -> None:
        self.session = session
        self.read_at = now
        self.touched_at = touched_at


@final
class Sessions:
    """See the module.

    Args:
        now: monotonic seconds.
        idle_seconds: how long a session lives without a request.
        stream_seconds: how long one of its streams can be resumed.
        compress_bytes: from which size one is written as a zstd frame; 0 is never.
    """

    def __init__(
        self,
        client: RedisClient,
        now: Callable[[], float],
        idle_seconds: float,
        stream_seconds: int,
        compress_bytes: int = 0,
    ) -> None:
        self._client = client
        self._now = now
        self._idle = max(1, round(idle_seconds))
        self._stream_seconds = stream_seconds
        self._subscribed_seconds = max(_SUBSCRIBED_SECONDS, 2 * self._idle)
        self._compress_bytes = compress_bytes
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._reading: dict[str, int] = {}
        self.hits = self.misses = 0

    async def save(self, session: McpSession) -> None:
        """Write a session; its TTL begins anew, unless somebody else gave it a longer one."""
        key = keys.session(session.id)
        now = self._now()
        self._disturb(session.id)
        # Who opens a session in an outage is told so at once, as who asks a question is.
        await self._client.call(
            SAVE_SESSION,
            (key,),
            (values.packed_for_all(session_bytes(session), self._compress_bytes), self._idle),
            slot=keys.slot_of(key),
            eager=True,
        )
        self._keep(session, now, now)

    async def find(self, session_id: str, *, patient: bool = False) -> McpSession | None:
        """Return a session; its TTL begins anew, now and then.

        Who has to read it while its primary is away is refused after ``patience_seconds``,
        sooner than an election ends. Who is ``patient`` is not: the replica that is
        elected answers, within ``command_seconds``.
        """
        now = self._now()
        kept = self._kept.get(session_id)
        touched_at = kept.touched_at if kept is not None else 0.0
        is_due = now - touched_at > self._idle / _TOUCHES_PER_TTL
        if kept is not None and now - kept.read_at < FRESH_SECONDS and not is_due:
            self.hits += 1
            return kept.session
        self.misses += 1
        if not _is_usable(session_id):
            return None
        key = keys.session(session_id)
        if is_due:
            # Before it is read: a write of our own ends the tracking of a key unheard (NOLOOP).
            touched_at = now
            self._expire(session_id, eager=not patient)
        # What is invalidated while it is read must not be kept.
        self._reading[session_id] = self._reading.get(session_id, 0) + 1
        try:
            data = await self._client.read_tracked(key, eager=not patient)
            undisturbed = session_id in self._reading
        finally:
            self._done_reading(session_id)
        if data is None:
            self._kept.pop(session_id, None)
            return None
        session = session_of(session_id, data)
        if session is None:
            return None
        self._keep(session, now, touched_at)
        if not undisturbed:
            self._kept.pop(session_id, None)
        return session

    async def end(self, session_id: str) -> bool:
        """Forget a session. Returns whether there was one."""
        self._disturb(session_id)
        key = keys.session(session_id)
        removed = self._client.execute("DEL", key, slot=keys.slot_of(key))
        subscribed = self._client.execute(
            "DEL",
            keys.subscriptions(session_id),
            keys.listening(session_id),
            slot=keys.slot_of(key),
        )
        streams = keys.streams(session_id)
        also = self._client.execute("DEL", streams, slot=keys.slot_of(streams))
        await subscribed
        await also
        return bool(await removed)

    async def save_stream(
        self, session_id: str, stream_id: str, waits_for: tuple[str, str | int], limit: int
    ) -> None:
        """Note what a stream of a session waits for."""
        key = keys.streams(session_id)
        await self._client.call(
            SAVE_STREAM,
            (key,),
            (records.stream_bytes(stream_id, waits_for), limit, self._stream_seconds),
        )

    async def find_stream(self, session_id: str, stream_id: str) -> tuple[str, str | int] | None:
        """Return what a stream of a session waits for."""
        key = keys.streams(session_id)
        # The newest first: what was noted again counts as it was noted last.
        kept = await self._client.execute("ZRANGE", key, 0, -1, "REV", slot=keys.slot_of(key))
        for data in kept:
            found, waits_for = records.stream(data)
            if found == stream_id:
                return waits_for
        return None

    async def save_subscription(self, session_id: str, uri: str, limit: int) -> bool:
        """Note that a session wants to hear of a resource; return whether it could be."""
        key = keys.session(session_id)
        saved = await self._client.call(
            SAVE_SUBSCRIPTION,
            (key, keys.subscriptions(session_id)),
            (uri, limit, self._subscribed_seconds),
            slot=keys.slot_of(key),
            eager=True,
        )
        return bool(saved)

    async def end_subscription(self, session_id: str, uri: str) -> None:
        """Note that a session wants to hear no more of a resource."""
        slot = keys.slot_of(keys.session(session_id))
        await self._client.execute("ZREM", keys.subscriptions(session_id), uri, slot=slot)

    async def listen(self, session_id: str, listening: Listening) -> Heard | None:
        """Note who listens; return of which resources a session wants to hear, if it is there."""
        key = keys.session(session_id)
        heard = await self._client.call(
            LISTEN,
            (key, keys.subscriptions(session_id), keys.listening(session_id)),
            (
                self._subscribed_seconds,
                listening.listener,
                listening.order,
                round(listening.seconds * 1_000_000),
                round(listening.age * 1_000_000),
            ),
            slot=keys.slot_of(key),
        )
        if heard is None:
            return None
        order, tells, is_shared, is_news, *uris = heard
        return Heard(
            uris=tuple(uri.decode("utf-8", "replace") for uri in uris),
            order=order,
            tells=bool(tells),
            is_shared=bool(is_shared),
            is_news=bool(is_news),
        )

    async def end_listening(self, session_id: str, listening: Listening) -> None:
        """Note that a listener is gone."""
        await self._client.call(
            END_LISTENING,
            (keys.listening(session_id),),
            (listening.listener, listening.order),
            slot=keys.slot_of(keys.session(session_id)),
        )

    def touch_all(self, session_ids: set[str]) -> None:
        """Keep sessions alive whose callers wait for people: that is not idleness."""
        for session_id in session_ids:
            self._disturb(session_id)
            self._expire(session_id, eager=False)

    def invalidated(self, key: bytes | None) -> None:
        """Redis says that a key has changed, or ``None``: any may have."""
        if key is None:
            self._kept.clear()
            self._reading.clear()
            return
        self._disturb(key.removeprefix(b"session:").decode("utf-8", "replace"))

    def __len__(self) -> int:
        return len(self._kept)

    def _disturb(self, session_id: str) -> None:
        """Forget what was read of a session, and what is being read."""
        self._kept.pop(session_id, None)
        self._reading.pop(session_id, None)

    def _keep(self, session: McpSession, now: float, touched_at: float) -> None:
        self._kept[session.id] = _Kept(session, now, touched_at)
        self._kept.move_to_end(session.id)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _done_reading(self, session_id: str) -> None:
        count = self._reading.get(session_id)
        if count is not None:
            if count > 1:
                self._reading[session_id] = count - 1
            else:
                del self._reading[session_id]

    def _expire(self, session_id: str, *, eager: bool) -> None:
        key = keys.session(session_id)
        # Nobody waits for it: what it achieves, the next one does as well. One that
        # somebody else meant to live longer does.
        self._client.execute("EXPIRE", key, self._idle, "GT", slot=keys.slot_of(key), eager=eager)


def session_bytes(session: McpSession) -> bytes:
    """Return a session as Go's encoder would write it, with all that others put into it."""
    fields: dict[str, Any] = {
        "id": session.id,
        "tenant": session.tenant,
        "subject": session.subject,
        "protocol_version": session.revision,
    }
    if "created_at" not in session.others:
        fields["created_at"] = _go_time(session.created_at)
    optional = {
        "client_name": session.client_name,
        "capabilities": session.capabilities,
        "log_level": session.log_level,
    }
    # As Go's omitempty does.
    fields |= {name: value for name, value in optional.items() if value}
    ours = gojson.encode(fields)
    theirs = b"".join(
        b",%b:%b" % (gojson.encode(name), bytes(value)) for name, value in session.others.items()
    )
    return ours[:-1] + theirs + b"}"


def session_of(session_id: str, data: bytes) -> McpSession | None:
    """Read a session, whoever wrote it. Returns ``None`` for what cannot be one.

    What Go's instances do not say is what it is without credentials: the default tenant
    and anybody, in the latest revision with sessions. What means nothing here stays the
    bytes it was: a number that a float64 would round is somebody else's business.
    """
    try:
        others = _fields(values.plain(data))
        gojson.refuse_lookalikes(others, _WHOSE)
        known = {name: gojson.decode(bytes(others.pop(name))) for name in _OURS if name in others}
        created = others.get("created_at")
        created_at = _seconds(None if created is None else gojson.decode(bytes(created)))
    except (ValueError, RecursionError, msgspec.DecodeError):
        return None
    if created is not None and bytes(created) == gojson.encode(_go_time(created_at)):
        del others["created_at"]
    capabilities = known.get("capabilities")
    return McpSession(
        session_id,
        _text(known, "tenant") or _DEFAULT_TENANT,
        _text(known, "subject") or _DEFAULT_SUBJECT,
        _text(known, "protocol_version") or _LATEST,
        created_at,
        _text(known, "client_name"),
        capabilities if isinstance(capabilities, dict) else {},
        _text(known, "log_level"),
        others,
    )


def _fields(data: bytes) -> dict[str, Any]:
    """Return an object's fields with their values unread.

    Raises:
        msgspec.DecodeError: it is no JSON object.
        gojson.DecodeError: a field is there twice, and readers could differ on which counts.
    """
    fields: dict[str, Any] = _decode_fields(data)
    if len(msgspec.json.encode(fields)) != len(data):
        # Written with spaces, or a field went missing.
        json.loads(data, object_pairs_hook=_refuse_repeated)
    return fields


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise gojson.DecodeError("a key is repeated")


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _is_usable(session_id: str) -> bool:
    """Whether an id that a caller sent may name a session: a UUID, as Go writes one."""
    return _UUID.fullmatch(session_id) is not None


def _go_time(at: float) -> str:
    """Return a time as Go's RFC3339Nano: UTC, without trailing zeros."""
    text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0")
    return text.removesuffix(".") + "Z"


def _seconds(value: object) -> float:
    if isinstance(value, str):
        try:
            # Python reads six digits of a fraction, Go writes up to nine.
            head, dot, rest = value.partition(".")
            digits = len(rest) - len(rest.lstrip("0123456789"))
            return datetime.fromisoformat(
                head + dot + rest[: min(digits, 6)] + rest[digits:]
            ).timestamp()
        except (ValueError, OverflowError):
            return 0.0
    return 0.0
