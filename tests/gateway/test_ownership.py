"""Whose a question is: for its asker, its tenant's admins, and everybody else."""

from __future__ import annotations

import pytest

from gateway.ownership import ADMIN, is_own, may_act_on, taken_back_by
from session.model import NOBODY, SCOPES, Principal, Question

QUESTION = Question("q", "acme", "ann", "Which?", 0.0, 1.0)
#: All that there is to have but this.
MUCH = SCOPES - {ADMIN}
BOSS = frozenset((ADMIN,))


@pytest.mark.parametrize(
    ("principal", "own", "may"),
    [
        (Principal("acme", "ann"), True, True),
        (Principal("acme", "ann", scopes=SCOPES), True, True),
        (Principal("acme", "bob"), False, False),
        (Principal("acme", "bob", ("ops",), MUCH), False, False),
        (Principal("acme", "bob", scopes=BOSS), False, True),
        (Principal("acme", "bob", scopes=SCOPES), False, True),
        # Groups and subjects are names: they allow nothing.
        (Principal("acme", ADMIN, (ADMIN,)), False, False),
        (Principal("other", "ann"), False, False),
        (Principal("other", "ann", scopes=SCOPES), False, False),
        (Principal("other", "bob", scopes=SCOPES), False, False),
        (Principal("ACME", "bob", scopes=SCOPES), False, False),
        (Principal("", "", scopes=SCOPES), False, False),
        (NOBODY, False, False),
    ],
)
def test_a_question_is_its_askers_and_its_tenants_admins(
    principal: Principal, own: bool, may: bool
) -> None:
    assert is_own(principal, QUESTION) is own
    assert may_act_on(principal, QUESTION) is may


def test_there_is_such_a_scope() -> None:
    assert ADMIN in SCOPES


def test_who_took_somebody_elses_back_is_named_and_not_the_program() -> None:
    asker, admin = Principal("acme", "ann"), Principal("acme", "boss", scopes=BOSS)
    assert taken_back_by(asker, QUESTION, "editor") == "editor"
    assert taken_back_by(admin, QUESTION, "editor") == "boss"
