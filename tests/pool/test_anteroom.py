"""Who has been there longest, in all and of an address."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pool.anteroom import Anteroom


def test_who_came_first_is_looked_at_first_and_then_last() -> None:
    room: Anteroom[str] = Anteroom()
    for name in "abc":
        room.enter(name, "here")
    assert [room.turn() for _ in range(4)] == ["a", "b", "c", "a"]


def test_an_address_has_turns_of_its_own() -> None:
    room: Anteroom[str] = Anteroom()
    for name, address in [("a", "x"), ("b", "y"), ("c", "y"), ("d", "x")]:
        room.enter(name, address)
    assert [room.turn("y") for _ in range(3)] == ["b", "c", "b"]
    assert room.turn("z") is None
    # Who was looked at for their address was looked at.
    assert [room.turn() for _ in range(4)] == ["a", "d", "c", "b"]


def test_an_empty_room_has_nobody_and_nothing() -> None:
    room: Anteroom[str] = Anteroom()
    assert room.turn() is None
    room.leave("nobody")
    room.enter("a", "x")
    room.leave("a")
    assert (len(room), room.count("x"), room._by_address) == (0, 0, {})


@given(
    st.lists(
        st.tuples(st.sampled_from(["enter", "leave", "turn"]), st.integers(0, 9), st.booleans())
    )
)
def test_it_agrees_with_a_list(steps: list[tuple[str, int, bool]]) -> None:
    room: Anteroom[int] = Anteroom()
    members: list[int] = []
    for step, number, anywhere in steps:
        address = str(number % 3)
        if step == "enter" and number not in members:
            room.enter(number, address)
            members.append(number)
        elif step == "leave":
            room.leave(number)
            members = [each for each in members if each != number]
        elif step == "turn":
            turn = room.turn(None if anywhere else address)
            if anywhere:
                expected = members[0] if members else None
            else:
                # Within an address the order is that of its own looks, which are looks.
                expected = next((each for each in members if str(each % 3) == address), None)
            assert turn == expected
            if turn is not None:
                members.remove(turn)
                members.append(turn)
        assert len(room) == len(members)
        assert room.count(address) == sum(str(each % 3) == address for each in members)
