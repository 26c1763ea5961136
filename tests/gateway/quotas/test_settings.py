"""What is limited when nobody says anything, and when somebody does."""

from gateway.quotas.settings import Settings, in_force, quota_of


def test_a_tenant_is_limited_by_default_and_its_subjects_are_its_own_business() -> None:
    quota = quota_of(Settings())
    assert set(quota.tenant) == {
        "asks_per_second",
        "bytes_per_minute",
        "pending",
        "frontends",
        "sessions",
        "streams",
        "registered_tools",
    }
    assert quota.subject == {}
    assert not quota.is_free


def test_zero_is_no_limit() -> None:
    assert "pending" not in quota_of(Settings(pending=0)).tenant
    assert quota_of(Settings(subject_pending=3)).subject == {"pending": 3}


def test_without_credentials_only_what_was_set_is_limited() -> None:
    assert quota_of(in_force(Settings(), are_known=False)).is_free
    assert not quota_of(in_force(Settings(), are_known=True)).is_free
    quota = quota_of(in_force(Settings(frontends=5), are_known=False))
    assert (quota.tenant, quota.subject) == ({"frontends": 5}, {})
    assert in_force(Settings(file="x.toml"), are_known=False).file == "x.toml"
