"""Lanes take turns, bounds hold, nothing is lost."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pool.fair_queue import FairQueue, QueueFullError


def taken(queue: FairQueue[str]) -> list[str]:
    items = []
    while (item := queue.get_nowait()) is not None:
        items.append(item)
    return items


def test_a_burst_does_not_delay_another_lane() -> None:
    queue: FairQueue[str] = FairQueue(100, 50)
    for number in range(50):
        queue.put("busy", f"b{number}")
    queue.put("calm", "c0")
    queue.put("calm", "c1")
    assert taken(queue)[:4] == ["b0", "c0", "b1", "c1"]


def test_a_lane_that_comes_back_waits_for_its_turn() -> None:
    queue: FairQueue[str] = FairQueue(100, 50)
    for item in ("a0", "a1"):
        queue.put("a", item)
    queue.put("b", "b0")
    assert queue.get_nowait() == "a0"
    assert queue.get_nowait() == "b0"
    queue.put("b", "b1")
    assert taken(queue) == ["a1", "b1"]


def test_a_full_lane_leaves_room_for_others() -> None:
    queue: FairQueue[str] = FairQueue(10, 2)
    queue.put("a", "1")
    queue.put("a", "2")
    with pytest.raises(QueueFullError, match="2 are already waiting in the lane 'a'") as refusal:
        queue.put("a", "3")
    assert (refusal.value.lane, refusal.value.limit) == ("a", 2)
    queue.put("b", "4")
    assert queue.lanes() == {"a": 2, "b": 1}


def test_a_full_queue_refuses_every_lane() -> None:
    queue: FairQueue[str] = FairQueue(2, 2)
    queue.put("a", "1")
    queue.put("b", "2")
    with pytest.raises(QueueFullError, match="2 are already waiting in the queue"):
        queue.put("c", "3")
    assert len(queue) == 2


def test_a_closed_queue_can_only_be_emptied() -> None:
    queue: FairQueue[str] = FairQueue(2, 2)
    queue.put("a", "1")
    queue.close()
    with pytest.raises(QueueFullError, match="nothing more is accepted") as refusal:
        queue.put("a", "2")
    assert refusal.value.limit == 0
    assert taken(queue) == ["1"]


def test_who_leaves_makes_room_and_is_not_taken() -> None:
    queue: FairQueue[str] = FairQueue(3, 3)
    for item in "123":
        queue.put("a", item)
    assert queue.discard("a", "2")
    assert not queue.discard("a", "2")
    assert not queue.discard("b", "1")
    queue.put("a", "4")
    assert taken(queue) == ["1", "3", "4"]
    assert queue.lanes() == {}


def test_a_lane_is_forgotten_when_its_last_leaves() -> None:
    queue: FairQueue[str] = FairQueue(3, 3)
    queue.put("a", "1")
    assert queue.discard("a", "1")
    assert queue.lanes() == {}
    assert queue.get_nowait() is None


def test_the_same_thing_waits_once() -> None:
    queue: FairQueue[str] = FairQueue(3, 3)
    queue.put("a", "1")
    queue.put("a", "1")
    assert len(queue) == 1
    assert taken(queue) == ["1"]


class FairQueueMachine(RuleBasedStateMachine):
    """The queue agrees with one list per lane and a list of whose turn it is."""

    MAXIMUM = 6
    PER_LANE = 3

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[int] = FairQueue(self.MAXIMUM, self.PER_LANE)
        self.turns: deque[str] = deque()
        self.lanes: dict[str, list[int]] = {lane: [] for lane in "abc"}
        self.number = 0

    @rule(lane=st.sampled_from("abc"))
    def put(self, lane: str) -> None:
        """Add something new; it is refused exactly when there is no room."""
        self.number += 1
        full = len(self.queue) == self.MAXIMUM or len(self.lanes[lane]) == self.PER_LANE
        try:
            self.queue.put(lane, self.number)
        except QueueFullError:
            assert full
            return
        assert not full
        if not self.lanes[lane]:
            self.turns.append(lane)
        self.lanes[lane].append(self.number)

    @rule()
    def get(self) -> None:
        """Take what is next."""
        expected = None
        if self.turns:
            lane = self.turns.popleft()
            expected = self.lanes[lane].pop(0)
            if self.lanes[lane]:
                self.turns.append(lane)
        assert self.queue.get_nowait() == expected

    @precondition(lambda self: self.turns)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        """Take somebody out of the middle."""
        lane = data.draw(st.sampled_from(sorted(self.turns)))
        item = data.draw(st.sampled_from(self.lanes[lane]))
        assert self.queue.discard(lane, item)
        self.lanes[lane].remove(item)
        if not self.lanes[lane]:
            self.turns.remove(lane)

    @invariant()
    def counts_agree(self) -> None:
        """Nothing is lost, and no empty lane is kept."""
        lanes = {lane: len(self.lanes[lane]) for lane in self.turns}
        assert self.queue.lanes() == lanes
        assert list(self.queue.lanes()) == list(self.turns)
        assert len(self.queue) == sum(lanes.values())


TestFairQueue = FairQueueMachine.TestCase
