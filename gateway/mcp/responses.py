"""What a caller answers to a request of ours, on its way to the instance that asked.

Pure module. It goes over the bus, which every instance hears, so it is bounded; and with
it goes whose it is, as the one who asked looks for that and not only for its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gateway.mcp.jsonrpc import INVALID_REQUEST, RpcError

if TYPE_CHECKING:
    from gateway.mcp.jsonrpc import Message
    from session.model import McpSession

#: How long a response may be that is passed on, as JSON.
LONGEST: Final = 256 * 1024
# A question's id and everything else that we make: so many hexadecimal digits.
_ID_LENGTH: Final = 32
_DIGITS: Final = frozenset("0123456789abcdef")

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(tuple[str, str, str, dict[str, Any]]).decode


class Response(NamedTuple):
    """A response, and whose it is."""

    tenant: str
    subject: str
    session_id: str
    #: The message, as `gateway.mcp.jsonrpc.Message.params` of a response has it.
    said: dict[str, Any]

    def is_of(self, session: McpSession) -> bool:
        """Whether it came in this session, from whoever has it."""
        return (self.session_id, self.tenant, self.subject) == (
            session.id,
            session.tenant,
            session.subject,
        )


def asked_id(message: Message) -> str:
    """Return the id of the request that a response is to; empty if it is none of ours."""
    request_id = message.id
    if type(request_id) is not str or len(request_id) != _ID_LENGTH:
        return ""
    return request_id if _DIGITS.issuperset(request_id) else ""


def packed(session: McpSession, message: Message) -> bytes:
    """Return a response as it is passed on.

    Raises:
        RpcError: it is too long for that.
    """
    data = b""
    # Looked at before it is written: that must not take long either.
    if _fits(message.params, LONGEST):
        data = _encode((session.tenant, session.subject, session.id, message.params))
    if not data or len(data) > LONGEST:
        words = (
            f"This response is longer than {LONGEST} bytes and its request was not made by this "
            "instance. Send a shorter one, or have the balancer send it where the call is."
        )
        raise RpcError(INVALID_REQUEST, words, status=413)
    return data


def unpacked(data: bytes) -> Response:
    """Read what `packed` wrote.

    Raises:
        msgspec.DecodeError: an instance of another version did not.
    """
    return Response(*_decode(data))


def _fits(value: object, most: int) -> bool:
    """Whether a JSON value may have so few bytes: each part has two at least, a comma too."""
    left = [value]
    while left:
        part = left.pop()
        most -= 2
        if type(part) is str:
            most -= len(part)
        elif type(part) is dict:
            if len(part) > most:
                return False
            most -= sum(map(len, part))
            left.extend(part.values())
        elif type(part) is list:
            if len(part) > most:
                return False
            left.extend(part)
        if most < 0:
            return False
    return True
