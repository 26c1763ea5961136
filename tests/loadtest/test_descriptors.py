"""Limits of the system are taken as far as they go."""

from __future__ import annotations

import resource

from loadtest import descriptors


def test_a_process_may_have_as_many_as_the_system_allows() -> None:
    descriptors.allow_many()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard


def test_more_than_that_is_cut_down() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert descriptors.connections(5) == 5
    if hard != resource.RLIM_INFINITY:
        assert descriptors.connections(hard) < hard
