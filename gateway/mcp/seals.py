"""State that a caller carries for us from one round to the next, sealed.

Whoever holds a seal can neither read nor change it, nor use it for anything but what it
was made for: the same server, principal and request, and for a while only. (It can be
used twice in that time: a handler that must not be is to keep that itself.) With the
deployment's keys (`gateway.signing`) any instance opens what another sealed; by default the
key is this process's own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from gateway.mcp.jsonrpc import INVALID_PARAMS, RpcError

if TYPE_CHECKING:
    from gateway.mcp.call import Call

_VERSION: Final = "1."
_NONCE: Final = 12
#: The longest seal, in characters: who sends a longer one has made it up.
LONGEST: Final = 16 * 1024
#: What changes from round to round, and so is no part of what was asked.
_ROUND: Final = frozenset(("_meta", "inputResponses", "requestState"))
# Members in one order, so that it does not matter in which they came.
_encode: Final = msgspec.json.Encoder(order="sorted").encode
_decode: Final = msgspec.json.Decoder(tuple[float, Any]).decode


@final
class Seals:
    """Seals and opens.

    Args:
        audience: which server this is; a seal of another one is refused.
        clock: seconds since the epoch, the same at all who have the key.
        seconds: how long a seal is good.
        keys: returns keys of 32 bytes each, the newest first: that one seals, all of them open.
    """

    __slots__ = ("_audience", "_ciphers", "_clock", "_damaged", "_keys", "_seconds")

    def __init__(
        self,
        audience: str,
        clock: Callable[[], float],
        *,
        seconds: float = 600.0,
        keys: Callable[[], Sequence[bytes]] | None = None,
    ) -> None:
        # Only here: cryptography takes a while to load, and few servers have rounds.
        ciphers = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
        exceptions = importlib.import_module("cryptography.exceptions")
        self._ciphers: Any = ciphers.AESGCM
        own = (os.urandom(32),)
        self._keys = (lambda: own) if keys is None else keys
        self._damaged: type[Exception] = exceptions.InvalidTag
        self._audience = audience
        self._clock = clock
        self._seconds = seconds

    def seal(self, call: Call, state: object) -> str:
        """Return ``state`` so that only the next round of this very call can use it.

        Raises:
            ValueError: it is too long.
        """
        plain = _encode((self._clock() + self._seconds, state))
        nonce = os.urandom(_NONCE)
        cipher = self._ciphers(self._keys()[0])
        sealed = nonce + cipher.encrypt(nonce, plain, self._bound_to(call))
        text = _VERSION + base64.urlsafe_b64encode(sealed).decode()
        if len(text) > LONGEST:
            raise ValueError(f"a sealed state has at most {LONGEST} characters")
        return text

    def opened(self, call: Call) -> Any:
        """Return the state that this request carries; ``None`` when it carries none.

        Raises:
            RpcError: it was not made here, for this request, by this principal, or is too
                old. Which of these it is, is nobody's business.
        """
        text = call.params.get("requestState")
        if text is None:
            return None
        if type(text) is not str or len(text) > LONGEST or not text.startswith(_VERSION):
            raise _refused()
        try:
            sealed = base64.b64decode(text[len(_VERSION) :], b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise _refused() from None
        until, state = _decode(self._plain(sealed, self._bound_to(call)))
        if self._clock() >= until:
            raise _refused()
        return state

    def _plain(self, sealed: bytes, bound_to: bytes) -> bytes:
        nonce, rest = sealed[:_NONCE], sealed[_NONCE:]
        for key in self._keys():
            try:
                plain: bytes = self._ciphers(key).decrypt(nonce, rest, bound_to)
            except (ValueError, self._damaged):
                continue
            return plain
        raise _refused()

    def _bound_to(self, call: Call) -> bytes:
        principal = call.principal
        asked = {name: value for name, value in call.params.items() if name not in _ROUND}
        digest = hashlib.sha256(_encode((call.method, asked))).hexdigest()
        return _encode((self._audience, principal.tenant, principal.subject, digest))


def _refused() -> RpcError:
    return RpcError(
        INVALID_PARAMS, "requestState is not good for this request: begin again without it."
    )
