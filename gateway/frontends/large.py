"""Large messages of frontends, in steps: read before what comes behind them, and written once.

While a message is read its frontend waits: reading from it pauses, and what has come already
is looked at afterwards, in its order. A large question is written once in each coding, for all
who are shown it; until then it is the head of their backlogs, so that what was asked after it
is shown after it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, final

from gateway import errors
from gateway.frontends import dialogue, messages
from gateway.frontends.coding import payload_of
from gateway.frontends.frames import encode_text
from gateway.frontends.messages import MessageError
from gateway.large import in_steps
from pool.workers import QueueFullError, to_worker
from session.codec import CodingError
from session.steps import WHOLE

if TYPE_CHECKING:
    from gateway.frontends.coding import Coding
    from gateway.frontends.endpoint import FrontendsEndpoint
    from gateway.frontends.socket import FrontendSocket
    from gateway.frontends.strange import Coded, Said
    from gateway.frontends.wire import Message
    from gateway.offers import Offer
    from session.model import Question

# In characters: a quarter of what is done in one go, as each may become several bytes.
_LONG: Final = WHOLE // 4
_BUSY: Final = "The gateway is busy; send this again."


def take(socket: FrontendSocket, said: Said) -> None:
    """Take a large message, or any that comes behind one."""
    if socket.unread is not None:
        # No more than one reading from the socket brought: it pauses.
        socket.unread.append(said)
        return
    socket.unread = deque()
    socket.connection.pause_reading()
    try:
        socket.endpoint.large.reading.start(socket.tenant, _read(socket, said))
    except QueueFullError:
        socket.complain("busy", _BUSY, retryable=True)
        _go_on(socket)


async def _read(socket: FrontendSocket, said: Said) -> None:
    await to_worker()
    try:
        message = None
        payload = said if isinstance(said, bytes) else await _inflated(socket, said)
        if payload is not None:
            message = await _decoded(socket, payload)
        if message is not None and payload is not None:
            dialogue.use(socket, message, len(payload))
    finally:
        _go_on(socket)


async def _inflated(socket: FrontendSocket, coded: Coded) -> bytes | None:
    endpoint = socket.endpoint
    try:
        payload = await in_steps(coded.inflating(endpoint.settings.message_bytes))
    except CodingError as error:
        socket.refuse(coded.name, error)
        return None
    endpoint.tally.taken(coded.name, len(payload), len(coded.data))
    return payload


async def _decoded(socket: FrontendSocket, payload: bytes) -> Message | None:
    try:
        return await in_steps(messages.decoding(payload, socket.endpoint.ids.new()))
    except MessageError as error:
        dialogue.unusable(socket, error, len(payload))
    except UnicodeDecodeError:
        socket.close(errors.CLOSE_INVALID_TEXT)
    return None


async def text_of(socket: FrontendSocket, content: dict[str, Any]) -> str:
    """Return a large form's fields as `messages.as_text` does.

    Raises:
        StoreUnavailableError: too much that is large waits.
    """
    endpoint = socket.endpoint
    steps = messages.writing_text(content, endpoint.ids.new())
    return await endpoint.large.store(socket.tenant, steps)


def _go_on(socket: FrontendSocket) -> None:
    """Look at what has come meanwhile, up to the next large message."""
    unread = _taken(socket)
    while unread:
        dialogue.hear(socket, unread.popleft())
        if socket.unread is not None:
            socket.unread += unread
            return
    socket.connection.resume_reading()


def _taken(socket: FrontendSocket) -> deque[Said] | None:
    unread, socket.unread = socket.unread, None
    return unread


@final
class Written:
    """A large question as frames, by their coding; and who waits for one of them."""

    __slots__ = ("frames", "is_under_way", "waiting")

    def __init__(self) -> None:
        self.frames: dict[Coding | None, bytes] = {}
        self.waiting: dict[FrontendSocket, None] = {}
        self.is_under_way = False


def is_large(question: Question) -> bool:
    """Whether a question is written in steps."""
    return len(question.text) + len(question.context) > _LONG


def show(socket: FrontendSocket, offer: Offer, draft: str | None) -> bool:
    """Show a large question, unless its frame is to be written first; return whether it was.

    The socket hears `drained` when it is there.
    """
    written = offer.written
    if not isinstance(written, Written):
        written = offer.written = Written()
    plain = written.frames.get(None)
    frame = written.frames.get(socket.coding)
    if plain is not None and draft is not None:
        frame = encode_text(messages.with_draft(payload_of(plain), draft))
    if frame is not None:
        socket.send_frame("ask_user", frame)
        return True
    written.waiting[socket] = None
    if not written.is_under_way:
        _begin(socket.endpoint, offer, written)
    return False


def _begin(endpoint: FrontendsEndpoint, offer: Offer, written: Written) -> None:
    written.is_under_way = True
    try:
        endpoint.large.writing.start(offer.question.tenant, _write(endpoint, offer, written))
    except QueueFullError:
        # Those who wait for it try again at their next heartbeat.
        written.is_under_way = False


async def _write(endpoint: FrontendsEndpoint, offer: Offer, written: Written) -> None:
    await to_worker()
    frames = written.frames
    try:
        if None not in frames:
            steps = messages.asking_user(offer.question, endpoint.stamps, endpoint.ids.new())
            frames[None] = encode_text(await in_steps(steps))
        while (coding := _missing(written)) is not None:
            frames[coding] = await in_steps(coding.coding(frames[None]))
    finally:
        written.is_under_way = False
    waiting, written.waiting = written.waiting, {}
    for socket in waiting:
        socket.drained()


def _missing(written: Written) -> Coding | None:
    codings = (socket.coding for socket in written.waiting)
    return next((each for each in codings if each not in written.frames), None)
