"""Whose a question is, and who may act on it besides.

Pure module, and the only one that decides this, for every instance and every store: stores
look a question up by its tenant and its id, and whatever a rule here refuses is, for who asked
for it, not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from session.model import Principal, Question

#: The scope that makes a principal one for all questions of its tenant.
ADMIN: Final = "admin"

#: Whether a principal may do something with a question.
Rule: TypeAlias = Callable[[Principal, Question], bool]


def is_own(principal: Principal, question: Question) -> bool:
    """Whether a principal asked a question, or made a call, itself.

    So it has to be for what a caller has besides the question: its task, its call of a page's
    tool, and that nobody waits for it any more. No admin takes these over.
    """
    return question.tenant == principal.tenant and question.asker == principal.subject


def may_act_on(principal: Principal, question: Question) -> bool:
    """Whether a principal may read a question, wait for its answer and take it back.

    Its own, and with the scope `admin` every question of its tenant; never another tenant's.
    """
    return question.tenant == principal.tenant and (
        question.asker == principal.subject or ADMIN in principal.scopes
    )


def taken_back_by(principal: Principal, question: Question, program: str) -> str:
    """Return who takes a question back, for those who asked it and who were asked.

    The name of the caller's ``program`` does for its own; of an admin it would tell nobody who
    that was, as whoever asked may have the same program.
    """
    return program if is_own(principal, question) else principal.subject
