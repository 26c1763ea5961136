"""Who is there, in words and in numbers."""

from __future__ import annotations

from loadtest.attendance import Attendance
from loadtest.orders import Connected, Joining

WHY = "[Errno 111] Connection refused"


def test_what_all_processes_told_last_is_added_up() -> None:
    attendance = Attendance(52_400, 2)
    assert str(attendance) == "connecting 0 of 52,400"
    attendance.hear(0, Joining(24, 26_176, 0, ""))
    attendance.hear(0, Joining(524, 25_676, 0, ""))
    assert str(attendance) == "connecting 524 of 52,400"
    attendance.hear(1, Joining(500, 25_700, 12, WHY))
    assert str(attendance) == "connecting 1,024 of 52,400, refused 12: Connection refused"
    attendance.hear(1, Connected(26_200, 0, 12, WHY))
    attendance.hear(0, Connected(26_200, 0, 0, ""))
    assert str(attendance) == "connecting 52,400 of 52,400, refused 12: Connection refused"


def test_it_is_hopeless_when_everybody_was_refused_and_nobody_let_in() -> None:
    attendance = Attendance(20, 2)
    assert not attendance.is_hopeless()
    attendance.hear(0, Joining(0, 10, 3, WHY))
    # The other process has said nothing yet.
    assert not attendance.is_hopeless()
    attendance.hear(1, Joining(0, 10, 0, ""))
    # Nobody has refused it anything.
    assert not attendance.is_hopeless()
    attendance.hear(1, Joining(0, 10, 1, WHY))
    assert attendance.is_hopeless()
    attendance.hear(0, Joining(1, 9, 3, WHY))
    assert not attendance.is_hopeless()
