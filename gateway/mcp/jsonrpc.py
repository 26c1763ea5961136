"""JSON-RPC 2.0 as MCP speaks it: what a message must look like, and the bytes of a reply.

Pure module. It judges envelopes only: which methods exist, and what their
parameters mean, is decided elsewhere. Ids are strings or integers that every
JSON reader keeps exactly; `null`, booleans and fractions are refused, as MCP
does. Nothing from outside is trusted to be small: ids and batches are bounded.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, cast, final

import msgspec

from gateway.http.messages import Headers
from session import gojson, longtexts
from session.steps import Steps

RequestId = str | int

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
# What handshake revisions answer for a resource that is not there; the modern ones must
# not (MCP 2026-07-28, "Error Codes").
RESOURCE_NOT_FOUND: Final = -32002
# Defined by MCP 2026-07-28.
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
# Ours, outside the range that JSON-RPC reserves: not now, but the same request may
# succeed later.
BUSY: Final = -31000
# Ours as well: the credential does not allow this.
FORBIDDEN: Final = -31001
# As well: a quota is used up; `data` says which, and when to come back.
OVER_QUOTA: Final = -31002
#: The header that goes with BUSY.
RETRY: Final = ((b"Retry-After", b"1"),)

# Beyond this an integer is not the same number to every reader (RFC 8259 section 6).
_EXACT: Final = 2**53 - 1
_ID_LENGTH: Final = 256
_REQUEST: Final = ("jsonrpc", "id", "method", "params")
_ENVELOPE: Final = frozenset(("jsonrpc", "id", "method", "params", "result", "error"))
_NO_PARAMS: Final[dict[str, Any]] = {}

_encode: Final = msgspec.json.Encoder().encode


class Kind(enum.Enum):
    """What a message wants."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"


@final
class RpcError(Exception):
    """A request is answered with an error; the message tells its sender what to do."""

    def __init__(
        self,
        code: int,
        message: str,
        data: object = None,
        *,
        status: int | None = None,
        headers: Headers = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        #: The HTTP status, where the revision's own table does not say it.
        self.status = status
        #: What HTTP says beside it, unless the reply is on a stream.
        self.headers = RETRY if code == BUSY and not headers else headers


@final
class MalformedError(Exception):
    """These bytes are no message; ``request_id`` is its id as far as one could be read."""

    def __init__(self, code: int, message: str, request_id: RequestId | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.request_id = request_id


@final
class Message:
    """One request, notification or response. ``params`` is not to be changed."""

    __slots__ = ("id", "kind", "method", "params")

    def __init__(
        self, kind: Kind, request_id: RequestId | None, method: str, params: dict[str, Any]
    ) -> None:
        self.kind = kind
        self.id = request_id
        self.method = method
        self.params = params


def decode(body: bytes) -> object:
    """Decode the body of a request strictly.

    Raises:
        MalformedError: it is not one JSON value that every reader understands alike.
    """
    try:
        return gojson.decode(body)
    except gojson.DecodeError as error:
        raise MalformedError(PARSE_ERROR, f"Parse error: {error}") from None


def decoding(body: bytes, token: str) -> Steps[object]:
    """Do as `decode` does, step by step; see `session.longtexts.decoding`."""
    try:
        return (yield from longtexts.decoding(body, token))
    except gojson.DecodeError as error:
        raise MalformedError(PARSE_ERROR, f"Parse error: {error}") from None


def check(value: object) -> Message:
    """Judge the envelope of one message.

    Raises:
        MalformedError: it is none; nothing of it was acted upon.
    """
    if type(value) is not dict:
        raise MalformedError(INVALID_REQUEST, "A message must be a JSON object.")
    request_id = value.get("id")
    method = value.get("method")
    params = value.get("params")
    # What nearly all messages are: these four members and no other.
    if (
        len(value) == len(_REQUEST)
        and type(method) is str
        and type(params) is dict
        and (
            (type(request_id) is int and -_EXACT <= request_id <= _EXACT)
            or (type(request_id) is str and len(request_id) <= _ID_LENGTH)
        )
        and value.get("jsonrpc") == "2.0"
    ):
        return Message(Kind.REQUEST, request_id, method, params)
    return _check_the_rest(value, request_id, method)


def _check_the_rest(value: dict[str, Any], request_id: Any, method: Any) -> Message:
    has_id = type(request_id) is str or type(request_id) is int
    if not value.keys() <= _ENVELOPE:
        refuse_lookalikes(value, _ENVELOPE, request_id if has_id else None)
    if value.get("jsonrpc") != "2.0":
        raise MalformedError(
            INVALID_REQUEST, 'A message must have "jsonrpc": "2.0".', request_id if has_id else None
        )
    if type(method) is not str:
        return _response(value, method)
    if has_id:
        _check_id(request_id)
    elif "id" in value:
        raise MalformedError(INVALID_REQUEST, "An id must be a string or an integer.")
    if "result" in value or "error" in value:
        raise MalformedError(
            INVALID_REQUEST, "A message is either a request or a response.", request_id
        )
    params = value.get("params", _NO_PARAMS)
    if type(params) is not dict:
        raise MalformedError(INVALID_REQUEST, "params must be an object.", request_id)
    return Message(Kind.REQUEST if has_id else Kind.NOTIFICATION, request_id, method, params)


def check_batch(values: list[object]) -> tuple[list[Message], list[bytes]]:
    """Return the messages of a batch, and the replies to what is none (2025-03-26)."""
    messages: list[Message] = []
    errors: list[bytes] = []
    for value in values:
        try:
            message = check(value)
        except MalformedError as error:
            errors.append(malformed_bytes(error, null_id=True))
            continue
        if message.method == "initialize" and message.id is not None:
            words = "initialize must not be part of a batch."
            errors.append(error_bytes(id_bytes(message.id), INVALID_REQUEST, words))
        else:
            messages.append(message)
    return messages, errors


def _response(value: dict[str, Any], method: object) -> Message:
    """Judge what has no method: the answer to a request of ours, or nothing at all."""
    if method is not None or ("result" in value) == ("error" in value):
        raise MalformedError(INVALID_REQUEST, "A message must have a method, a result or an error.")
    request_id = value.get("id")
    if type(request_id) is not str and type(request_id) is not int:
        # An error whose request could not be read has no id; nobody waits for it.
        if "error" in value and request_id is None:
            return Message(Kind.RESPONSE, None, "", value)
        raise MalformedError(INVALID_REQUEST, "An id must be a string or an integer.")
    _check_id(request_id)
    return Message(Kind.RESPONSE, request_id, "", value)


def _check_id(request_id: RequestId) -> None:
    if type(request_id) is int:
        if not -_EXACT <= request_id <= _EXACT:
            raise MalformedError(
                INVALID_REQUEST, "An integer id must be within 2^53; use a string."
            )
    elif len(cast("str", request_id)) > _ID_LENGTH:
        raise MalformedError(INVALID_REQUEST, f"An id may have {_ID_LENGTH} characters.")


def refuse_lookalikes(
    value: Mapping[str, Any], known: frozenset[str], request_id: RequestId | None = None
) -> None:
    """Refuse a key that another reader would take for a known one ("Method" for "method").

    Raises:
        MalformedError: there is one.
    """
    try:
        gojson.refuse_lookalikes(value, known)
    except gojson.DecodeError as error:
        raise MalformedError(INVALID_REQUEST, f"Invalid request: {error}", request_id) from None


def is_id(value: object) -> bool:
    """Whether a request can be called this."""
    if type(value) is int:
        return -_EXACT <= value <= _EXACT
    return type(value) is str and len(value) <= _ID_LENGTH


def id_bytes(request_id: RequestId) -> bytes:
    """Return an id as JSON."""
    return _encode(request_id)


def result_bytes(id_json: bytes, result: bytes) -> bytes:
    """Return the reply that carries ``result``, a JSON object."""
    # Faster than formatting, and one copy of what is large.
    return b"".join((b'{"jsonrpc":"2.0","id":', id_json, b',"result":', result, b"}"))


def error_bytes(
    id_json: bytes | None, code: int, message: str, data: object = None, *, null_id: bool = False
) -> bytes:
    """Return the reply that carries an error.

    Without an id there is no member ``id`` at all, as MCP's schema has it; ``null_id``
    writes ``null`` where a reply in a batch has to say so (JSON-RPC 2.0 section 5).
    """
    error: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    if id_json is None:
        id_json = b"null" if null_id else None
    if id_json is None:
        return b'{"jsonrpc":"2.0","error":%b}' % _encode(error)
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (id_json, _encode(error))


def malformed_bytes(error: MalformedError, *, null_id: bool = False) -> bytes:
    """Return the reply to what is no message."""
    id_json = None if error.request_id is None else id_bytes(error.request_id)
    return error_bytes(id_json, error.code, error.message, null_id=null_id)


def notification_bytes(method: str, params: Mapping[str, Any]) -> bytes:
    """Return a notification of ours."""
    return b'{"jsonrpc":"2.0","method":%b,"params":%b}' % (_encode(method), _encode(params))


def request_bytes(request_id: str, method: str, params: Mapping[str, Any]) -> bytes:
    """Return a request of ours; a method without parameters has no member for them."""
    head = b'{"jsonrpc":"2.0","id":%b,"method":%b' % (_encode(request_id), _encode(method))
    return head + (b',"params":%b}' % _encode(params) if params else b"}")
