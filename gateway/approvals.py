"""What people approve: a receipt for it, and whether a receipt is good.

The receipt is made where the approval is accepted, and kept with it: whoever collects the
answer, at any instance, gets the same one. It is good once, for its caller, its tool and
its arguments, and for a while; the store says whether it was used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, final

import msgspec

from gateway import receipts
from gateway.receipts import Receipt
from session.model import Choice, Outcome, Question

if TYPE_CHECKING:
    from gateway.audit import Audit
    from gateway.ids import Ids
    from gateway.signing import SigningKeys
    from session import Receipts
    from session.model import Principal

APPROVE: Final = "approve"
REJECT: Final = "reject"
#: What people pick from.
CHOICES: Final = (Choice(APPROVE, "Approve"), Choice(REJECT, "Reject"))

_PURPOSE: Final = "receipts"
# A use is remembered for longer than any instance's clock takes the receipt for good.
_CLOCKS_SECONDS: Final = 60


class Verdict(NamedTuple):
    """Whether a receipt is good now, or why not; and what it says, if we made it."""

    status: Literal["good", "forged", "unknown", "other_call", "expired", "used"]
    receipt: Receipt | None = None


@final
class Approvals:
    """Makes receipts, and takes them."""

    def __init__(
        self,
        keys: SigningKeys,
        store: Receipts,
        *,
        clock: Callable[[], float],
        ids: Ids,
        audit: Audit | None = None,
    ) -> None:
        self._keys = keys
        self._store = store
        self._clock = clock
        self._ids = ids
        self._audit = audit

    async def signed(
        self, question: Question, outcome: Outcome, approvers: tuple[str, ...]
    ) -> Outcome:
        """Return an approval with its receipt.

        Raises:
            StoreUnavailableError: the key cannot be had now.
        """
        approval = question.approval
        assert approval is not None
        await self._keys.refresh()
        receipt = Receipt(
            question.id,
            question.tenant,
            question.asker,
            approval.tool,
            approval.digest,
            approvers,
            outcome.at,
            outcome.at + approval.seconds,
        )
        text = receipts.signed(receipt, self._keys.newest(_PURPOSE, is_counted=True))
        return msgspec.structs.replace(outcome, receipt=text)

    async def verify(self, principal: Principal, shown: str, digest: str) -> Verdict:
        """Use a receipt for a call; ``digest`` is that of its tool and arguments.

        Raises:
            StoreUnavailableError: whether it was used cannot be told now.
        """
        verdict = await self._judged(principal, shown, digest)
        if self._audit is not None:
            self._audit.receipt_shown(principal, verdict.status, verdict.receipt)
        return verdict

    async def _judged(self, principal: Principal, shown: str, digest: str) -> Verdict:
        await self._keys.refresh()
        receipt = receipts.read(shown, self._keys.all(_PURPOSE, is_counted=True))
        if receipt is None:
            await self._keys.refresh(is_doubted=True)
            receipt = receipts.read(shown, self._keys.all(_PURPOSE, is_counted=True))
        if receipt is None:
            return Verdict("forged")
        if (receipt.tenant, receipt.subject) != (principal.tenant, principal.subject):
            return Verdict("unknown")
        if receipt.digest != digest:
            return Verdict("other_call", receipt)
        left = receipt.expires_at - self._clock()
        if left <= 0:
            return Verdict("expired", receipt)
        seconds = math.ceil(left) + _CLOCKS_SECONDS
        first = await self._store.use(receipt.id, self._ids.new(), seconds)
        return Verdict("good" if first else "used", receipt)
