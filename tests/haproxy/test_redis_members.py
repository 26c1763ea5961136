"""Judgements on what nodes say, without a node."""

from __future__ import annotations

from haproxy.redis_members import Member, disagreement, myself, parse, shares

VIEW = """\
aaa 127.0.0.1:7000@17000 myself,master - 0 1 1 connected 0-8191 [93->-bbb]
bbb 127.0.0.1:7001@17001,host master - 0 1 2 connected 8192-16382 16383 [7-<-aaa]
ccc 127.0.0.1:7002@17002 slave aaa 0 1 1 connected
ddd 127.0.0.1:7003@17003 slave bbb 0 1 2 connected
"""


def views(**changed: str) -> dict[int, list[Member]]:
    """Return four equal views, but for the ones given by `n7001` and the like."""
    texts = {port: changed.get(f"n{port}", VIEW) for port in range(7000, 7004)}
    return {port: parse(text) for port, text in texts.items()}


def test_a_line_is_a_member() -> None:
    first, second, third, _ = parse(VIEW)
    assert (first.id, first.port, first.primary, first.epoch) == ("aaa", 7000, "", 1)
    assert (second.port, second.slots, second.moving) == (7001, ("8192-16382", "16383"), (7,))
    assert (third.is_primary, third.primary, third.slots) == (False, "aaa", ())
    assert first.moving == (93,)
    assert myself([third, first]) is first


def test_slots_are_owned_by_ranges_and_alone() -> None:
    first, second, *_ = parse(VIEW)
    assert [first.owns(slot) for slot in (0, 8191, 8192)] == [True, True, False]
    assert [second.owns(slot) for slot in (8191, 16382, 16383)] == [False, True, True]


def test_slots_are_shared_without_rest() -> None:
    assert shares(3) == [(0, 5460), (5461, 10922), (10923, 16383)]
    assert shares(1) == [(0, 16383)]


def test_what_is_wrong_is_said() -> None:
    assert disagreement(views(), 2, 1) == ""
    less = "".join(VIEW.splitlines(keepends=True)[:3])
    assert "node 7001 knows 3 of 4" in disagreement(views(n7001=less), 2, 1)
    failing = VIEW.replace("slave bbb", "slave,fail? bbb")
    assert "node 7002 says 7003 is fail?" in disagreement(views(n7002=failing), 2, 1)
    other = VIEW.replace("0-8191", "0-8190")
    assert "do not agree" in disagreement(views(n7003=other), 2, 1)
    assert "2 of 3 primaries" in disagreement(views(), 3, 1)
    assert "2 of its replicas" in disagreement(views(), 2, 2)
