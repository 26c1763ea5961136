"""What a frontend says, and what that leads to.

A message is taken in the step that brings it; what has to wait for the store is a job.
It refuses to know of frames and sockets: `socket` has those.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from gateway import errors
from gateway.errors import CredentialError, CredentialsUnavailableError, ForbiddenError
from gateway.frontends import large, messages, quota, tools
from gateway.frontends.frames import encode_text
from gateway.frontends.messages import MessageError
from gateway.frontends.wire import Connect, Disconnect, DraftMessage, Message, Seen, UserResponse
from session.errors import StoreUnavailableError
from session.model import NOBODY, Draft, Presence
from session.steps import WHOLE

if TYPE_CHECKING:
    from gateway.frontends.doorman import Doorman, Recognized
    from gateway.frontends.socket import FrontendSocket
    from gateway.frontends.strange import Said


def hear(socket: FrontendSocket, said: Said) -> None:
    """Take what a frontend has said: at once, or in its turn."""
    if socket.unread is not None or not isinstance(said, bytes) or len(said) > WHOLE:
        large.take(socket, said)
        return
    try:
        message = messages.decode(said)
    except MessageError as error:
        unusable(socket, error, len(said))
        return
    except UnicodeDecodeError:
        socket.close(errors.CLOSE_INVALID_TEXT)
        return
    use(socket, message, len(said))


def unusable(socket: FrontendSocket, error: MessageError, size: int) -> None:
    """Say what is wrong with a message."""
    socket.endpoint.metrics.message_in("invalid", size)
    socket.complain(error.code, str(error), request_id=error.request_id)


def use(socket: FrontendSocket, message: Message, size: int) -> None:
    """Take a message of so many bytes, if its sender may send it; answers without a detour."""
    endpoint = socket.endpoint
    kind = type(message)
    endpoint.metrics.message_in(messages.NAMES[kind], size)
    if socket.principal is NOBODY and kind is not Connect:
        socket.complain("unauthenticated", "Say who you are first: connect with a token.")
    elif endpoint.quotas is None or quota.passes(socket, endpoint.quotas, message, size):
        if type(message) is UserResponse:
            socket.start(respond(socket, message, size), message.request_id)
        else:
            take(socket, message, size)


def take(socket: FrontendSocket, message: Message, size: int) -> None:
    """Take a message of so many bytes that may be taken."""
    if type(message) is UserResponse:
        socket.start(respond(socket, message, size), message.request_id)
        return
    router = socket.endpoint.router
    match message:
        case Connect():
            socket.start(connect(socket, message))
        case DraftMessage():
            limit = router.settings.draft_bytes
            if len(message.text) > limit:
                text = f"A draft has at most {limit} characters."
                socket.complain("too_large", text, request_id=message.request_id)
            else:
                socket.start(save_draft(socket, message))
        case Seen():
            router.saw(socket, message.request_id)
        case Disconnect():
            socket.close(errors.CLOSE_NORMAL)
        case _:
            tools.take(socket, message, size)


async def respond(socket: FrontendSocket, message: UserResponse, size: int) -> None:
    """Settle a question, and say what became of the answer, which came in so many bytes."""
    router = socket.endpoint.router
    question_id = message.request_id
    try:
        if message.rejected:
            ack = await router.reject(socket, question_id, message.reason)
        else:
            answer, content = message.answer, message.content
            # What a form's fields have as a text, for callers that know only that.
            fields = ""
            if content is not None:
                fields = (
                    messages.as_text(content)
                    if size <= WHOLE
                    else await large.text_of(socket, content)
                )
            ack = await router.answer(
                socket,
                question_id,
                answer=fields if answer is None else answer,
                content=content,
                size=len(fields),
            )
    except StoreUnavailableError:
        # Whether it was accepted is not known; sent again, it is told so.
        text = "The answer is not stored yet; send it again in a moment."
        socket.complain("unavailable", text, retryable=True, request_id=question_id)
    else:
        socket.send_message("response_ack", encode_text(messages.response_ack(question_id, ack)))


async def save_draft(socket: FrontendSocket, message: DraftMessage) -> None:
    """Keep what a person has typed, for when this frontend comes back.

    While the store is away it is not kept, and nobody is disturbed: the page has it still,
    and sends it anew with the next word, or when it is shown the question again.
    """
    router = socket.endpoint.router
    draft = Draft(message.request_id, message.text, router.clock())
    try:
        await router.store.save_draft(socket.tenant, socket.frontend_id, draft)
    except StoreUnavailableError:
        socket.endpoint.metrics.refused.labels("drafts").inc()


async def connect(socket: FrontendSocket, message: Connect) -> None:
    """Find out who a frontend is, tell it so, and show it what waits."""
    if socket.is_connecting:
        # Two at once could each see what the other has not changed yet.
        socket.complain("busy", "Another connect is under way.", retryable=True)
        return
    socket.is_connecting = True
    is_let_in = False
    try:
        is_let_in = await _welcome(socket, message)
    finally:
        socket.is_connecting = False
        if not is_let_in:
            socket.not_let_in()
    if is_let_in:
        await attach(socket, message.name)


async def _welcome(socket: FrontendSocket, message: Connect) -> bool:
    endpoint = socket.endpoint
    become = partial(_become, socket, message)
    if endpoint.doorman is not None:
        recognized = await _recognized(socket, endpoint.doorman, message)
        if recognized is None:
            return False
        quotas = endpoint.quotas
        if quotas is not None and not await quota.count(socket, quotas, recognized.principal):
            return False
        become = partial(_become_known, socket, recognized)
    # What it says next may be looked at while the store hears that somebody has gone.
    await endpoint.router.detach(socket, become)
    drafts = await _kept_drafts(socket)
    socket.drafts = {draft.question_id: draft.text for draft in drafts} or None
    socket.agree(message.dictionaries)
    welcome = endpoint.welcome(socket, message.dictionaries, resumed=bool(drafts))
    socket.send_message("connect_ack", encode_text(welcome))
    return True


async def attach(socket: FrontendSocket, name: str) -> None:
    """Make a frontend one that questions are for."""
    endpoint = socket.endpoint
    if socket.is_leaving:
        # Gone while it was being introduced, or told to go: it is watched until it has.
        return
    socket.watch()
    socket.presence = Presence(
        socket.frontend_id,
        socket.connection_id,
        socket.tenant,
        socket.user,
        name,
        socket.groups,
        endpoint.router.clock(),
        endpoint.instance,
    )
    await endpoint.router.attach(socket)
    await tools.attached(socket)


async def leave(socket: FrontendSocket) -> None:
    """A frontend has gone, and its tools with it."""
    endpoint = socket.endpoint
    await endpoint.router.detach(socket)
    if socket.tools and endpoint.tools is not None:
        await endpoint.tools.take(socket)


def _become(socket: FrontendSocket, message: Connect) -> None:
    socket.frontend_id = message.frontend_id or socket.frontend_id
    socket.user = message.user
    socket.groups = message.groups


def _become_known(socket: FrontendSocket, recognized: Recognized) -> None:
    principal = recognized.principal
    if socket.endpoint.doorman is not None:
        socket.endpoint.doorman.gone(socket)
    socket.principal = principal
    socket.tenant = principal.tenant
    socket.frontend_id = recognized.frontend_id or socket.frontend_id
    socket.user = principal.subject
    socket.groups = principal.groups


async def _recognized(
    socket: FrontendSocket, doorman: Doorman, message: Connect
) -> Recognized | None:
    """Return who a frontend is; `None` if it was told why that is not known."""
    try:
        recognized = await doorman.recognize(socket, message, socket.connection.peer)
    except CredentialsUnavailableError as unavailable:
        socket.complain("unavailable", str(unavailable), retryable=True)
        return None
    except ForbiddenError as forbidden:
        socket.complain("unauthenticated", str(forbidden))
        socket.close(errors.CLOSE_FORBIDDEN)
        return None
    except CredentialError as error:
        socket.complain("unauthenticated", str(error))
        socket.close(errors.CLOSE_UNAUTHENTICATED)
        return None
    if recognized.notice:
        socket.complain("frontend_id_taken", recognized.notice)
    return recognized


async def _kept_drafts(socket: FrontendSocket) -> Sequence[Draft]:
    try:
        return await socket.endpoint.router.store.drafts(socket.tenant, socket.frontend_id)
    except StoreUnavailableError:
        # Questions come all the same, and the page has what was typed in it.
        return ()
