"""Views of a cluster, as its nodes tell them."""

from __future__ import annotations

import pytest

from session.redis.topology import SLOTS, SlotRange, Topology, key_slot, parse_redirect

ASKED = ("seed", 1)
INFO = b"cluster_state:ok\r\ncluster_current_epoch:7\r\n"


def test_a_view_is_parsed() -> None:
    slots = [
        [0, 5, [b"a", 1, b"id", {}], [b"b", 2, b"id", {}]],
        [6, 16383, [b"", 3, b"id"], [b"?", 4, b"id"]],
    ]
    view = Topology.parsed(slots, INFO, ASKED)
    assert view == Topology(
        (SlotRange(0, 5, ("a", 1)), SlotRange(6, 16383, ("seed", 3))),
        frozenset({("b", 2), ("seed", 4)}),
        is_well=True,
        epoch=7,
    )
    assert view.uncovered() == 0


def test_a_cluster_that_is_down_has_a_view_too() -> None:
    view = Topology.parsed([[1, 2, [None, 3, b"id"]]], b"cluster_state:fail\r\n", ASKED)
    assert not view.is_well
    assert view.epoch == 0
    assert view.uncovered() == SLOTS - 2


@pytest.mark.parametrize("slots", [[1], [[1]], [[1, 2, []]], [[1, b"x", [b"a", 1]]]])
def test_what_is_no_view(slots: list[object]) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        Topology.parsed(slots, INFO, ASKED)


def test_redirections() -> None:
    assert parse_redirect("MOVED 3999 127.0.0.1:6381", ASKED) == (3999, ("127.0.0.1", 6381))
    assert parse_redirect("ASK 1 [::1]:6381", ASKED) == (1, ("::1", 6381))
    assert parse_redirect("MOVED 1 ::1:6381", ASKED) == (1, ("::1", 6381))
    assert parse_redirect("MOVED 1 :6381", ASKED) == (1, ("seed", 6381))
    with pytest.raises(ValueError, match="no redirection"):
        parse_redirect("MOVED 1", ASKED)


def test_keys_share_a_slot_by_their_tag() -> None:
    assert key_slot(b"{user}.a") == key_slot(b"{user}.b") == key_slot(b"user")
    assert key_slot(b"123456789") == 12739
