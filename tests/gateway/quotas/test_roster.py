"""Who is known, follows which limits, and makes room for whom."""

from __future__ import annotations

import pytest

from gateway.errors import OverQuotaError
from gateway.quotas.roster import OTHERS
from gateway.quotas.settings import Quota
from session.model import Principal
from tests.gateway.quotas.test_allowances import ANN, ASKS, BOB, Fleet


def test_who_has_no_quota_is_asked_for_nothing() -> None:
    here = Fleet().instance(Quota({}, {}), {"acme": ASKS})
    assert here.allowances.of(Principal("other", "ann")) is None
    assert here.allowances.of(Principal("other", "bob")) is None
    assert here.of().quota is ASKS


def test_all_of_a_tenant_share_a_standing_unless_its_subjects_have_quotas() -> None:
    here = Fleet().instance(ASKS, {"other": Quota({}, {"pending": 1})})
    assert here.of(ANN) is here.of(BOB)
    assert here.of(Principal("other", "ann")) is not here.of(Principal("other", "bob"))
    assert here.of(Principal("other", "ann")) is here.of(Principal("other", "ann"))


async def test_other_quotas_count_from_the_next_ask_on() -> None:
    here = Fleet().instance(Quota({"pending": 5}, {}))
    for _ in range(3):
        await here.ask()
    here.roster.follow(Quota({"pending": 3}, {}), {})
    with pytest.raises(OverQuotaError):
        await here.ask()
    here.roster.follow(Quota({"pending": 3}, {}), {"acme": Quota({"pending": 4}, {"pending": 1})})
    await here.ask(BOB)
    with pytest.raises(OverQuotaError):
        await here.ask(ANN)
    here.roster.follow(Quota({"pending": 9}, {}), {})
    assert here.of(BOB) is here.of(ANN)
    assert here.of().pending[0].used == 4
    here.roster.follow(Quota({}, {}), {})
    await here.allowances.lease(here.roster.board[0])
    assert here.allowances.of(Principal("new", "ann")) is None


def test_who_was_free_is_limited_as_soon_as_the_file_says_so() -> None:
    here = Fleet().instance(Quota({}, {}))
    assert here.allowances.of(ANN) is None
    here.roster.follow(Quota({}, {}), {"acme": ASKS})
    assert here.of().quota is ASKS


async def test_when_there_are_too_many_to_track_those_who_do_nothing_make_room() -> None:
    here = Fleet().instance(Quota({"pending": 9}, {"pending": 5}), tenants=2, subjects=2)
    await here.ask(ANN)
    await here.ask(Principal("second", "ann"))
    third = here.of(Principal("third", "ann"))
    assert (third.own.tenant, third.own.subject) == (OTHERS, OTHERS)
    assert here.of(Principal("fourth", "x")) is third
    for tenant in ("acme", "second"):
        for slots in here.of(Principal(tenant, "ann")).pending:
            slots.take_back()
    for slots in list(here.roster.board):
        slots.is_listed = False
        await here.allowances.lease(slots)
    here.roster.board.clear()
    assert here.of(BOB).own.subject == "bob"
    assert len(here.roster.holdings()) <= 6


def test_tenants_that_are_free_make_room() -> None:
    here = Fleet().instance(Quota({}, {}), {"acme": ASKS}, tenants=1)
    assert here.allowances.of(Principal("free", "ann")) is None
    assert here.of(ANN).own.tenant == "acme"


def test_the_reserve_follows_how_many_share() -> None:
    fleet = Fleet()
    here = fleet.instance(ASKS)
    assert here.of().asks[0].reserve == 10
    here.roster.share(5)
    assert here.of().asks[0].reserve == 2
