"""Whose a credential is, now: what is known, what is looked up, and what nobody can tell."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace
from trio.testing import wait_all_tasks_blocked

from gateway.auth import authenticator
from gateway.auth.authenticator import Authenticator
from gateway.auth.keys import KeyRecord, digest_of, record_bytes
from gateway.auth.settings import Settings
from gateway.errors import CredentialError, CredentialsUnavailableError, UnusableError
from session.errors import StoreUnavailableError
from tests.gateway.auth.judging import SECRET, Judge, header, judging, key, write_keys
from tests.gateway.auth.signing import NOW, jwk_set, token

GOOD = header(key("a"))


async def refused(judge: Judge, credential: str) -> str:
    with pytest.raises(CredentialError) as why:
        await judge.auth.verify(header(credential))
    assert judge.auth.known(header(credential)) is None
    return str(why.value)


async def test_who_was_good_a_moment_ago_is_known(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        for credential, subject in ((key("a"), "a"), (token(), "ann")):
            assert judge.auth.known(header(credential)) is None
            found = await judge.auth.verify(header(credential))
            assert found.subject == subject
            assert judge.auth.known(header(credential)) is found


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic YTpi",
        b"Bearer \xff\xfe",
        b"Bearer  ",
        b"Token " + key("a").encode(),
        key("a").encode(),
        GOOD + b", " + GOOD,
        GOOD + b" " + GOOD,
    ],
)
async def test_what_is_no_credential_is_refused(tmp_path: Path, text: bytes) -> None:
    async with judging(tmp_path) as judge:
        with pytest.raises(CredentialError):
            await judge.auth.verify(text)


async def test_the_scheme_is_written_in_any_case(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        for scheme in (b"bearer", b"BEARER"):
            assert (await judge.auth.verify(scheme + b"  " + key("a").encode())).subject == "a"


async def test_a_header_is_not_kept_at_any_length(tmp_path: Path) -> None:
    """Blanks around a credential that is good must not fill the memory."""
    async with judging(tmp_path) as judge:
        with pytest.raises(CredentialError, match="too long"):
            await judge.auth.verify(b"Bearer " + b" " * 9_300 + key("a").encode())


async def test_as_many_are_known_as_there_is_room_for(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        headers = [
            b"Bearer" + b" " * count + key("a").encode()
            for count in range(1, authenticator._KNOWN + 3)
        ]
        for each in headers:
            await judge.auth.verify(each)
        assert len(judge.auth._known) == authenticator._KNOWN
        assert [judge.auth.known(each) is None for each in headers[:3]] == [True, True, False]


async def test_a_wrong_credential_is_not_remembered(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        await refused(judge, key("b"))
        await refused(judge, "x.y.z")
        assert len(judge.auth._known) == 0


async def test_whoever_is_known_is_so_until_it_ends(tmp_path: Path) -> None:
    async with judging(tmp_path, leeway_seconds=0.0) as judge:
        short = header(token(exp=NOW + 3))
        await judge.auth.verify(short)
        judge.now += 2.9
        assert judge.auth.known(short) is not None
        judge.now += 0.1
        assert judge.auth.known(short) is None
        assert "expired" in await refused(judge, token(exp=NOW + 3))


async def test_a_change_of_keys_makes_everybody_be_judged_anew(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        principal = await judge.auth.verify(GOOD)
        await judge.reread()
        assert judge.auth.known(GOOD) is principal
        assert judge.auth.is_good(principal)
        write_keys(judge.keys, "b")
        await judge.reread()
        assert judge.auth.known(GOOD) is None
        assert not judge.auth.is_good(principal)
        await refused(judge, key("a"))
        assert (await judge.auth.verify(header(key("b")))).subject == "b"


@pytest.mark.parametrize(
    "change", [{"scopes": ("answer",)}, {"tenant": "other"}, {"expires_at": NOW + 1000}]
)
async def test_a_key_that_is_changed_is_good_no_more_for_what_it_stood_for(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    async with judging(tmp_path) as judge:
        before = await judge.auth.verify(GOOD)
        write_keys(judge.keys, "a", **change)
        # Until it is read, nobody knows.
        assert judge.auth.is_good(before)
        await judge.reread()
        assert not judge.auth.is_good(before)
        assert not judge.auth.confirm(before)
        now = await judge.auth.verify(GOOD)
        assert now != before
        assert judge.auth.is_good(now)
        assert judge.auth.confirm(now)


async def test_tokens_end_with_the_key_that_signed_them(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        principal = await judge.auth.verify(header(token()))
        other = await judge.auth.verify(GOOD)
        judge.jwks.write_bytes(jwk_set("rsa-2", "es"))
        await judge.reread()
        assert judge.auth.known(header(token())) is None
        assert not judge.auth.is_good(principal)
        assert judge.auth.is_good(other)
        assert (await judge.auth.verify(header(token("es")))).subject == "ann"


async def test_what_is_not_known_yet_is_looked_for_at_once(tmp_path: Path) -> None:
    """Who made a key a moment ago does not have to wait for the next look at the file."""
    async with judging(tmp_path) as judge:
        judge.now += 1
        write_keys(judge.keys, "a", "b")
        judge.jwks.write_bytes(jwk_set("rsa", "rsa-2"))
        assert (await judge.auth.verify(header(key("b")))).subject == "b"
        assert (await judge.auth.verify(header(token("rsa-2")))).subject == "ann"


class Counting:
    """A store that counts how often its keys are asked for; see `session.Credentials`."""

    def __init__(self) -> None:
        self.reads = 0
        self.read_at: list[float] = []
        self.is_away = False
        self.version = "1"
        self.kept: tuple[bytes, ...] = ()
        self.goes_on = trio.Event()
        self.goes_on.set()

    async def api_keys(self, known: str | None) -> tuple[str, tuple[bytes, ...] | None]:
        self.reads += 1
        self.read_at.append(trio.current_time())
        await self.goes_on.wait()
        if self.is_away:
            raise StoreUnavailableError("Redis cannot be reached.")
        return self.version, None if known == self.version else self.kept


class Shared:
    """An authenticator whose keys are in such a store."""

    def __init__(self) -> None:
        self.now = NOW
        self.store = Counting()
        store: Any = self.store
        settings = Settings(keys="store", stale_seconds=30.0)
        self.auth = Authenticator(settings, store, lambda: self.now, lambda: self.now)

    def is_ready(self) -> bool:
        return self.auth.is_ready

    async def ask(self, letter: str = "b") -> str:
        try:
            await self.auth.verify(header(key(letter)))
        except CredentialsUnavailableError:
            return "unavailable"
        except CredentialError:
            return "wrong"
        return "good"


async def test_a_key_in_the_store_that_is_changed_is_another_one_as_well() -> None:
    it = Shared()
    record = KeyRecord("a" * 16, digest_of(SECRET), "acme", "a", ("ask", "admin"), 1.0)
    it.store.kept = (record_bytes(record), record_bytes(replace(record, id="b" * 16)))
    await it.auth._refresh(at_once=True)
    people = [await it.auth.verify(header(key(letter))) for letter in "ab"]
    it.store.version = "2"
    it.store.kept = (record_bytes(replace(record, scopes=("ask",))), it.store.kept[1])
    await it.auth._refresh(at_once=True)
    assert [it.auth.is_good(each) for each in people] == [False, True]


async def test_strangers_have_keys_read_once_a_second_at_most() -> None:
    it = Shared()
    await it.auth._refresh(at_once=True)
    for _ in range(10):
        assert await it.ask() == "wrong"
    assert it.store.reads == 1
    it.now += 1
    for letter in "bcdef":
        assert await it.ask(letter) == "wrong"
    assert it.store.reads == 2
    # What cannot be a key is none without looking.
    it.now += 1
    with pytest.raises(CredentialError):
        await it.auth.verify(b"Bearer fr_nonsense")
    assert it.store.reads == 2


async def test_of_many_strangers_at_once_one_has_keys_read_and_few_wait() -> None:
    """Each that waits has a worker: they must not all be taken while a store is slow."""
    it = Shared()
    await it.auth._refresh(at_once=True)
    it.now += 1
    it.store.goes_on = trio.Event()
    became: list[str] = []

    async def ask() -> None:
        became.append(await it.ask())

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        assert became == ["unavailable"] * (50 - authenticator._WAITING)
        # Meanwhile time passes: the reading itself may take longer than a second.
        it.now += 3
        it.store.goes_on.set()
    assert it.store.reads == 2
    assert became.count("wrong") == authenticator._WAITING
    assert it.auth._waiting == 0


async def test_strangers_who_leave_make_room_for_others() -> None:
    it = Shared()
    await it.auth._refresh(at_once=True)
    it.now += 1
    it.store.goes_on = trio.Event()
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(it.ask)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert it.auth._waiting == 0
    assert not it.auth._reading.locked()


async def test_a_strange_algorithm_has_nothing_read(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        before = judge.auth._read_all_at
        judge.now += 10
        for bad in (token(algorithm="none"), token("secret", "HS256"), token("es384", "ES384")):
            await refused(judge, bad)
        assert judge.auth._read_all_at == before


async def test_without_keys_to_judge_by_nobody_is_anybody() -> None:
    it = Shared()
    it.store.is_away = True
    assert not it.is_ready()
    assert await it.ask() == "unavailable"
    await it.auth._refresh(at_once=True)
    assert not it.is_ready()
    assert await it.ask() == "unavailable"
    it.store.is_away = False
    it.now += 5
    await it.auth._refresh(at_once=False)
    assert it.is_ready()
    assert await it.ask() == "wrong"


async def test_keys_that_are_too_old_let_nobody_in_until_they_are_read_again(
    tmp_path: Path,
) -> None:
    async with judging(tmp_path, jwks_stale_seconds=60.0) as judge:
        lasting = header(token(exp=NOW + 1000))
        people = [await judge.auth.verify(each) for each in (GOOD, lasting)]
        judge.keys.write_bytes(b"garbage")
        judge.jwks.unlink()
        for _ in range(6):
            await judge.reread()
            assert judge.auth.known(GOOD) is not None
        await judge.reread()
        assert not judge.is_ready()
        assert judge.auth.known(GOOD) is None
        with pytest.raises(CredentialsUnavailableError):
            await judge.auth.verify(GOOD)
        with pytest.raises(CredentialsUnavailableError):
            judge.auth.confirm(people[0])
        # Each kind is judged by its own keys.
        assert (await judge.auth.verify(lasting)).subject == "ann"
        assert judge.auth.known(lasting) is not None
        await judge.reread(30)
        assert judge.auth.known(lasting) is None
        with pytest.raises(CredentialsUnavailableError):
            await judge.auth.verify(lasting)
        with pytest.raises(CredentialsUnavailableError):
            judge.auth.confirm(people[1])
        # What is open stays so: who would say otherwise is away as well. It does until it expires.
        assert all(map(judge.auth.is_good, people))
        await judge.reread(1000)
        assert [judge.auth.is_good(each) for each in people] == [True, False]
        lasting = header(token(exp=judge.now + 1000))
        write_keys(judge.keys, "a")
        judge.jwks.write_bytes(jwk_set("rsa"))
        await judge.reread()
        assert judge.is_ready()
        assert (await judge.auth.verify(GOOD)).subject == "a"
        assert (await judge.auth.verify(lasting)).subject == "ann"
        assert judge.auth.confirm(people[0])


async def test_nobody_is_known_by_keys_that_are_too_old_already(tmp_path: Path) -> None:
    """Also between two looks at them, of which the next one would find that out."""
    async with judging(tmp_path, jwks_stale_seconds=60.0) as judge:
        lasting = header(token(exp=NOW + 1000))
        for each in (GOOD, lasting):
            await judge.auth.verify(each)
        judge.keys.write_bytes(b"garbage")
        judge.now += 30
        assert judge.auth.known(GOOD) is not None
        judge.now += 0.1
        assert judge.auth.known(GOOD) is None
        with pytest.raises(CredentialsUnavailableError):
            await judge.auth.verify(GOOD)
        # Other keys judge this one; it is looked up each time until they have been read.
        assert judge.auth.known(lasting) is None
        assert (await judge.auth.verify(lasting)).subject == "ann"
        assert judge.auth.known(lasting) is None
        await judge.reread()
        await judge.auth.verify(lasting)
        assert judge.auth.known(lasting) is not None
        judge.jwks.unlink()
        await judge.reread(59)
        assert judge.auth.known(lasting) is not None
        judge.now += 1.1
        assert judge.auth.known(lasting) is None


async def test_a_clock_that_tells_no_time_makes_nobody_known(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        await judge.auth.verify(GOOD)
        for clocks in ((math.nan, judge.now), (judge.now, math.nan)):
            judge.auth._clock, judge.auth._now = (lambda now=now: now for now in clocks)
            assert judge.auth.known(GOOD) is None


async def test_whoever_came_is_good_until_the_end_of_the_credential(tmp_path: Path) -> None:
    async with judging(tmp_path, leeway_seconds=0.0) as judge:
        principal = await judge.auth.verify(header(token(exp=NOW + 3)))
        judge.now += 2.9
        assert judge.auth.is_good(principal)
        assert judge.auth.confirm(principal)
        judge.now += 0.1
        assert not judge.auth.is_good(principal)
        assert not judge.auth.confirm(principal)


async def test_only_what_is_set_up_is_accepted(tmp_path: Path) -> None:
    async with judging(tmp_path, jwks="") as judge:
        assert "send an API key" in await refused(judge, token())
    async with judging(tmp_path, keys="") as judge:
        assert "send an access token" in await refused(judge, key("a"))


def spoil(path: Path, data: bytes | None) -> None:
    path.unlink()
    if data is not None:
        path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "data"), [("keys", None), ("keys", b"{"), ("jwks", b"{"), ("jwks", None)]
)
async def test_a_file_that_cannot_be_used_ends_the_start(
    tmp_path: Path, name: str, data: bytes | None
) -> None:
    judge = Judge(tmp_path)
    spoil(getattr(judge, name), data)
    with pytest.raises(UnusableError, match=rf"^--auth-{name} .*{name}.json: "):
        await judge.auth.run()


async def test_a_store_or_a_server_that_is_away_does_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    it = Shared()
    it.store.is_away = True
    async with trio.open_nursery() as nursery:
        await nursery.start(it.auth.run)
        assert not it.is_ready()
        it.store.is_away = False
        it.now += 6
        await trio.sleep(6)
        assert it.is_ready()
        nursery.cancel_scope.cancel()


async def test_between_two_readings_is_one_period_whoever_had_keys_read_meanwhile(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A stranger who had them read just after the clock did would else have it miss its turn."""
    store: Any = Counting()
    settings = Settings(keys="store", refresh_seconds=5.0)
    auth = Authenticator(settings, store, lambda: NOW, trio.current_time)
    async with trio.open_nursery() as nursery:
        await nursery.start(auth.run)
        await trio.sleep(6)
        with pytest.raises(CredentialError):
            await auth.verify(header(key("b")))
        await trio.sleep(10.5)
        nursery.cancel_scope.cancel()
    start = store.read_at[0]
    assert [moment - start for moment in store.read_at] == pytest.approx(
        [0, 5, 6, 11, 16], abs=0.01
    )


async def test_who_waits_for_other_keys_hears_of_them_when_they_count(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        changed = judge.auth.changed
        await judge.reread()
        assert not changed.is_set()
        write_keys(judge.keys, "b")
        await judge.reread()
        assert changed.is_set()
        assert not judge.auth.changed.is_set()


async def test_nothing_of_a_credential_is_in_any_text(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        good = token()
        for credential in (key("a"), good):
            principal = await judge.auth.verify(header(credential))
            text = f"{principal!r} {judge.auth!r} {judge.auth._known.get(header(credential))!r}"
            assert SECRET not in text
            assert good.rpartition(".")[2] not in text
        for bad in (key("b"), good[:-4], "canary", "a.canary.c", "canary " * 3):
            why = await refused(judge, bad)
            assert bad not in why
            assert "canary" not in why
