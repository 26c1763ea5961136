"""A request for approval as frontends are told it: whole, and with nothing hidden in it.

Pure module.
"""

from __future__ import annotations

from gateway import canonical
from gateway.frontends.wire import ApprovalAsked
from session.model import Approval, Question


def asked(approval: Approval) -> ApprovalAsked:
    """Return what would run, for people."""
    return ApprovalAsked(
        approval.tool,
        canonical.shown(approval.arguments),
        approval.digest,
        canonical.visible(approval.reason),
    )


def as_text(question: Question, approval: ApprovalAsked) -> str:
    """Return all of it as one text, for frontends that show nothing else."""
    caller = canonical.visible(question.asker, lines="")
    if question.asker_name:
        caller += f" ({canonical.visible(question.asker_name, lines='')})"
    return (
        f"{question.text}\n\nTool: {approval.tool}\nArguments:\n{approval.arguments}\n\n"
        f"Reason: {approval.reason}\nCaller: {caller}\n\nAnswer: approve or reject"
    )
