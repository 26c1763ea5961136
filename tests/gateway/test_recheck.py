"""What was opened with a credential ends with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
import trio.testing

from gateway.recheck import Recheck
from session.model import NOBODY, Principal
from tests.gateway.auth.judging import header, judging, key, write_keys

ANN = Principal("acme", "ann", credential="key:a")
BOB = Principal("acme", "bob", credential="key:b")


class Open:
    """Something that stays open for one principal; see `gateway.recheck.Held`."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.ends = 0

    def cut_off(self) -> None:
        self.ends += 1


class Judging:
    """Stands where the authenticator does."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.asked = 0
        self.changed = trio.Event()

    def is_good(self, principal: Principal) -> bool:
        self.asked += 1
        assert principal is not NOBODY
        return principal.credential not in self.ended


async def test_only_what_belongs_to_an_ended_credential_is_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    held = [Open(ANN), Open(BOB), Open(NOBODY), Open(ANN)]
    judge: Any = Judging()
    told: list[Principal] = []
    recheck = Recheck(judge, lambda: list(held), 5.0, told.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(recheck.run)
        await trio.sleep(5.5)
        assert [each.ends for each in held] == [0, 0, 0, 0]
        judge.ended.add(ANN.credential)
        await trio.sleep(5)
        assert [each.ends for each in held] == [1, 0, 0, 1]
        assert recheck.cut_off == 2
        # Once for all that it held.
        assert told == [ANN]
        nursery.cancel_scope.cancel()


async def test_what_changes_while_it_is_looked_at_does_no_harm(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever is cut off leaves the collection that is looked at."""
    held: list[Any] = []

    class Leaving(Open):
        def cut_off(self) -> None:
            super().cut_off()
            held.remove(self)

    held += [Leaving(ANN) for _ in range(10)]
    everybody = list(held)
    judge: Any = Judging()
    judge.ended.add(ANN.credential)
    recheck = Recheck(judge, lambda: iter(held), 5.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(recheck.run)
        await trio.sleep(5.5)
        nursery.cancel_scope.cancel()
    assert [each.ends for each in everybody] == [1] * 10
    assert held == []


async def test_many_are_looked_at_in_slices() -> None:
    judge: Any = Judging()
    recheck = Recheck(judge, lambda: (), 5.0)
    with trio.testing.assert_no_checkpoints():
        await recheck._look_at([Open(ANN) for _ in range(499)])
    with trio.testing.assert_checkpoints():
        await recheck._look_at([Open(ANN) for _ in range(500)])
    assert judge.asked == 999


class Ending(Open):
    """Says when it is ended."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(principal)
        self.ended = trio.Event()

    def cut_off(self) -> None:
        super().cut_off()
        self.ended.set()


async def test_what_a_revoked_key_opened_ends_as_soon_as_the_keys_are_read(tmp_path: Path) -> None:
    """And not at the next of its looks: there is none within an hour."""
    async with judging(tmp_path) as judge, trio.open_nursery() as nursery:
        write_keys(judge.keys, "a", "b")
        await judge.reread()
        ann, bob = [Ending(await judge.auth.verify(header(key(each)))) for each in "ab"]
        recheck = Recheck(judge.auth, lambda: [ann, bob], 3600.0)
        await nursery.start(recheck.run)
        for gone, left in ((ann, "b"), (bob, "c")):
            assert not gone.ended.is_set()
            write_keys(judge.keys, left)
            await judge.reread()
            with trio.fail_after(30):
                await gone.ended.wait()
        nursery.cancel_scope.cancel()


async def test_what_a_key_opened_ends_as_soon_as_it_stands_for_something_else(
    tmp_path: Path,
) -> None:
    async with judging(tmp_path) as judge, trio.open_nursery() as nursery:
        write_keys(judge.keys, "a", scopes=("ask", "admin"))
        await judge.reread()
        opened = Ending(await judge.auth.verify(header(key("a"))))
        told: list[Principal] = []
        held = [opened]
        recheck = Recheck(judge.auth, lambda: list(held), 3600.0, told.append)
        await nursery.start(recheck.run)
        write_keys(judge.keys, "a", scopes=("ask",))
        await judge.reread()
        with trio.fail_after(30):
            await opened.ended.wait()
        assert told == [opened.principal]
        # What is opened with it now stays, and so it does when others change.
        now = Ending(await judge.auth.verify(header(key("a"))))
        held[:] = [now]
        write_keys(judge.keys, "a", "b", scopes=("ask",))
        await judge.reread()
        await trio.testing.wait_all_tasks_blocked()
        assert now.ends == 0
        nursery.cancel_scope.cancel()


async def test_a_change_while_it_looks_is_looked_at_again() -> None:
    judge: Any = Judging()
    held = [Ending(BOB) for _ in range(500)]
    ann = Ending(ANN)

    class Changing(Ending):
        def cut_off(self) -> None:
            super().cut_off()
            # Ann was looked at a moment ago, and was good.
            judge.ended.add(ANN.credential)
            judge.changed.set()
            judge.changed = trio.Event()

    last = Changing(Principal("acme", "eve", credential="key:e"))
    judge.ended.add("key:e")
    everybody = [ann, *held, last]

    def open_now() -> list[Any]:
        return [each for each in everybody if not each.ends]

    async with trio.open_nursery() as nursery:
        await nursery.start(Recheck(judge, open_now, 3600.0).run)
        with trio.fail_after(30):
            await ann.ended.wait()
        nursery.cancel_scope.cancel()
    assert last.ends == 1
