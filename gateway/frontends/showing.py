"""How a frontend is shown what is put to it: a question, or a call of its tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.frontends import large, messages
from gateway.frontends.frames import encode_text

if TYPE_CHECKING:
    from gateway.frontends.socket import FrontendSocket
    from gateway.offers import Offer


def show(socket: FrontendSocket, offer: Offer) -> bool:
    """Show it; return whether it was, or has to be written first."""
    question = offer.question
    draft = None if socket.drafts is None else socket.drafts.get(question.id)
    if not offer.encoded:
        if question.tool:
            # There is one page for it, so nothing is kept for others.
            called = messages.tool_call(question, socket.endpoint.stamps)
            socket.send_message("tool_call", encode_text(called))
            return True
        if large.is_large(question):
            return large.show(socket, offer, draft)
        offer.encoded = encode_text(messages.ask_user(question, socket.endpoint.stamps))
    frame = offer.encoded
    if draft is not None:
        frame = encode_text(messages.ask_user(question, socket.endpoint.stamps, draft))
    socket.send_message("ask_user", frame)
    return True
