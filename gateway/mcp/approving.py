"""The tools by which a call waits for a person's approval, and is let run once.

One registration, as `gateway.mcp.tools` is, which puts the question.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, final

import msgspec
from msgspec import Meta

from gateway import canonical
from gateway.approvals import CHOICES, Approvals, Verdict
from gateway.errors import told_of
from gateway.mcp.arguments import (
    REASON,
    QuestionAudienceField,
    UrgencyField,
    audience_of,
    quorum_of,
)
from gateway.mcp.results import ToolResult, text
from gateway.offers import Ask
from gateway.receipts import LONGEST
from session.errors import StoreUnavailableError
from session.model import Approval

if TYPE_CHECKING:
    from gateway.mcp.call import Call
    from gateway.mcp.registry import Registry

_RECEIPT_SECONDS: Final = 300.0
_LONGEST_SECONDS: Final = 86_400.0
#: Puts a question; ``wait`` as in ask_user.
Put = Callable[["Call", Ask, str], Coroutine[Any, Any, Any]]

_ToolName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        # Not `$`: a line feed may come before that.
        pattern=r"^[A-Za-z0-9_.:/-]+(?![\s\S])",
        description="The name of the tool that would run.",
    ),
]
_Arguments = Annotated[
    dict[str, Any], Meta(description="Exactly the arguments it would run with: people see them.")
]


class RequestApproval(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of request_approval."""

    tool: _ToolName
    arguments: _Arguments
    reason: Annotated[
        str, Meta(min_length=1, max_length=REASON, description="Why it should run: for people.")
    ]
    timeout_seconds: Annotated[
        Annotated[float, Meta(gt=0)] | msgspec.UnsetType,
        Meta(description="How long people have to decide."),
    ] = msgspec.UNSET
    receipt_seconds: Annotated[
        float,
        Meta(gt=0, le=_LONGEST_SECONDS, description="How long the receipt is good once approved."),
    ] = _RECEIPT_SECONDS
    audience: QuestionAudienceField = msgspec.UNSET
    urgency: UrgencyField = "normal"
    idempotency_key: Annotated[
        str,
        Meta(
            max_length=256,
            description="Asking again with the same key joins the earlier request.",
        ),
    ] = ""
    if_absent: Annotated[
        Literal["wait", "fail"],
        Meta(description="When nobody is connected: wait until somebody is, or fail at once."),
    ] = "wait"
    wait: Annotated[Literal["hold", "return", "task"], Meta(description="As in ask_user.")] = "hold"


class VerifyApproval(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of verify_approval."""

    receipt: Annotated[
        str, Meta(min_length=1, max_length=LONGEST, description="What request_approval returned.")
    ]
    tool: _ToolName
    arguments: _Arguments


def register(registry: Registry, approvals: Approvals, put: Put) -> None:
    """Declare the tools for approvals."""
    tools = _Approving(approvals, put)
    registry.tool(
        "request_approval",
        tools.request_approval,
        description="Ask a person to approve a tool call before it runs; returns a receipt that "
        "is good once, for exactly this tool and these arguments",
        arguments=RequestApproval,
        scope="ask",
        title="Request an approval",
        annotations={"readOnlyHint": True, "openWorldHint": True},
    )
    registry.tool(
        "verify_approval",
        tools.verify_approval,
        description="Use the receipt of an approval, once, right before the tool runs; an error "
        "says why it must not run",
        arguments=VerifyApproval,
        scope="ask",
        title="Verify an approval",
        annotations={"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False},
    )


@final
class _Approving:
    """The handlers."""

    def __init__(self, approvals: Approvals, put: Put) -> None:
        self._approvals = approvals
        self._put = put

    async def request_approval(self, call: Call, arguments: RequestApproval) -> Any:
        """Ask people whether a tool may run."""
        try:
            exact = canonical.canonical(arguments.arguments)
        except canonical.UnshowableError as error:
            return text(
                f"Nobody can be shown these arguments: {error}. Nothing is left out of what "
                "people approve, so ask with fewer of them, or refer to what is large by a digest.",
                is_error=True,
            )
        timeout, session, tool = arguments.timeout_seconds, call.session, arguments.tool
        ask = Ask(
            f"May {tool} run?",
            None if timeout is msgspec.UNSET else timeout,
            audience_of(arguments.audience),
            choices=CHOICES,
            idempotency_key=arguments.idempotency_key,
            session_id="" if session is None else session.id,
            asker_name=call.caller_name,
            if_absent=arguments.if_absent,
            approval=Approval(
                tool,
                exact,
                canonical.digest_of(tool, exact),
                arguments.receipt_seconds,
                arguments.reason,
            ),
            quorum=quorum_of(arguments.audience),
            urgency="" if arguments.urgency == "normal" else arguments.urgency,
        )
        return await self._put(call, ask, arguments.wait)

    async def verify_approval(self, call: Call, arguments: VerifyApproval) -> ToolResult:
        """Use a receipt."""
        try:
            exact = canonical.canonical(arguments.arguments)
        except canonical.UnshowableError:
            # Nobody was ever asked about such arguments.
            exact = ""
        digest = canonical.digest_of(arguments.tool, exact)
        try:
            verdict = await self._approvals.verify(call.principal, arguments.receipt, digest)
        except StoreUnavailableError as error:
            return text(f"{told_of(error)} Do not run the tool before.", is_error=True)
        return _told(verdict, arguments.tool)


_WHY_NOT: Final = {
    "forged": "This receipt was not made here, or it was changed since.",
    "unknown": "There is no such approval of yours.",
    "expired": "This approval has expired: ask for another one.",
    "used": "This receipt was used before, and is good once: ask for another approval.",
}


def _told(verdict: Verdict, tool: str) -> ToolResult:
    receipt = verdict.receipt
    shown: dict[str, Any] = {"valid": verdict.status == "good", "status": verdict.status}
    if receipt is not None:
        shown |= {
            "question_id": receipt.id,
            "tool": receipt.tool,
            "arguments_sha256": receipt.digest,
            "approved_by": receipt.approved_by,
            "approved_at": receipt.approved_at,
            "expires_at": receipt.expires_at,
        }
    if verdict.status == "good":
        return text(f"Approved: run {tool} now, once, with these arguments.", shown)
    why = _WHY_NOT.get(verdict.status)
    if why is None:
        assert receipt is not None
        other = "other arguments" if receipt.tool == tool else f"another tool, {receipt.tool}"
        why = f"What was approved is {other}: ask for this one."
    return text(f"{why} Do not run {tool}.", shown, is_error=True)
