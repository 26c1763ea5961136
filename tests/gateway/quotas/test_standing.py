"""What a principal may use, put together from its tenant's portions and its own."""

from __future__ import annotations

import pytest

from gateway.errors import OverQuotaError
from gateway.quotas.settings import Quota
from gateway.quotas.standing import Holdings, Standing, retry_after
from pool.portions import Slots

QUOTA = Quota(
    {"asks_per_second": 100.0, "pending": 50, "sessions": 4, "bytes_per_minute": 6_000},
    {"asks_per_second": 0.1, "frontends": 2},
)


def standings(quota: Quota = QUOTA) -> tuple[Standing, Standing, list[Slots]]:
    board: list[Slots] = []
    tenant = Standing(Holdings("acme", "", board), None)
    tenant.follow(quota, 1, shared=True)
    subject = Standing(Holdings("acme", "ann", board), tenant)
    subject.follow_tenant(tenant, 1, shared=True)
    return tenant, subject, board


def test_a_subject_uses_its_tenants_portion_and_its_own() -> None:
    tenant, subject, _ = standings()
    assert tenant.by_subject
    assert [each.name for each in subject.asks] == ["asks_per_second", "subject_asks_per_second"]
    assert subject.asks[0] is tenant.asks[0]
    assert subject.pending == tenant.pending
    assert [each.account.subject for each in subject.frontends] == ["ann"]
    assert subject.streams == ()
    assert subject.asking == subject.pending
    assert [limit for _, limit in subject.sessions] == [4]


def test_a_bucket_of_bytes_has_a_tenth_of_a_minute() -> None:
    tenant, _, _ = standings()
    assert (tenant.bytes[0].rate, tenant.bytes[0].burst) == (100.0, 600.0)


def test_a_rate_below_one_has_a_bucket_of_one() -> None:
    _, subject, _ = standings()
    assert (subject.asks[1].rate, subject.asks[1].burst) == (0.1, 1.0)


def test_http_is_told_what_is_left() -> None:
    _, subject, _ = standings()
    asks = subject.asks[0]
    asks.held, asks.left = 5.0, 34.5
    headers = dict(subject.headers(0, lambda: 0.0))
    assert headers[b"RateLimit-Policy"] == (
        b'"asks_per_second";q=100;w=1, "subject_asks_per_second";q=1;w=10'
    )
    assert headers[b"RateLimit"] == b'"asks_per_second";r=39;t=1, "subject_asks_per_second";r=1;t=1'
    said = subject.headers(0, lambda: 0.0)
    asks.held = 4.0
    assert subject.headers(0, lambda: 0.0) is said
    # Until the store says something, or time has passed.
    subject.asks[1].hear(0.0, 0.0)
    assert dict(subject.headers(0, lambda: 0.0))[b"RateLimit"].endswith(b";r=0;t=10")
    later = dict(subject.headers(1, lambda: 10.5))[b"RateLimit"]
    assert later == b'"asks_per_second";r=100;t=1, "subject_asks_per_second";r=1;t=1'


def test_who_has_no_quota_of_asks_is_told_nothing() -> None:
    tenant, _, _ = standings(Quota({"pending": 1}, {}))
    assert tenant.headers(0, lambda: 0.0) == ()


def test_another_quota_keeps_what_is_used_and_lets_go_of_what_is_dropped() -> None:
    tenant, _, board = standings()
    pending = tenant.pending[0]
    pending.used = pending.granted = 3
    tenant.follow(Quota({"pending": 10}, {}), 1, shared=True)
    assert list(tenant.pending) == [pending]
    assert (pending.used, pending.limit) == (3, 10)
    assert (tenant.asks, tenant.bytes, tenant.sessions) == ((), (), ())
    assert not tenant.by_subject
    tenant.follow(Quota({}, {}), 1, shared=True)
    assert not list(tenant.pending)
    assert (board, pending.limit) == ([pending], 0)


def test_what_is_used_leased_or_told_cannot_be_forgotten() -> None:
    tenant, _, _ = standings()
    own = tenant.own
    pending, asks = own.slots["pending"], own.tokens["asks_per_second"]
    found = [own.is_idle]
    pending.granted = 1
    found.append(own.is_idle)
    pending.granted, asks.is_asking = 0, True
    found.append(own.is_idle)
    assert found == [True, False, False]


@pytest.mark.parametrize(("seconds", "header"), [(0.01, b"1"), (1.0, b"1"), (1.2, b"2")])
def test_retry_after_has_whole_seconds_and_is_never_too_early(
    seconds: float, header: bytes
) -> None:
    assert retry_after(OverQuotaError("asks", "tenant", 1, seconds)) == (b"Retry-After", header)
