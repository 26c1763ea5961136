"""Keys from files, the store and URLs: what is new is noticed, what is broken changes nothing."""

from __future__ import annotations

import dataclasses
import gzip
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from gateway.auth.keys import KeyRecord, KeyTable, digest_of, file_bytes, record_bytes, text_of
from gateway.auth.settings import Settings
from gateway.auth.sources import Source, SourceError, key_source, token_sources
from haproxy.redis_node import free_port
from session import MemoryCredentials
from session.errors import StoreUnavailableError
from tests.gateway.auth.jwks_server import JwksServer, jwks_server
from tests.gateway.auth.signing import AUDIENCE, ISSUER, SECRET, jwk_set

STORE = MemoryCredentials(lambda: 0.0)


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


def records(*ids: str) -> list[KeyRecord]:
    return [KeyRecord(each * 16, digest_of("s" * 43), "acme", "ci", ("ask",), 1.0) for each in ids]


def _key(letter: str) -> str:
    return text_of(letter * 16, "s" * 43)


def write(path: Path, data: bytes) -> None:
    """Replace a file as a whole, as those who change it should."""
    fresh = path.with_name("fresh")
    fresh.write_bytes(data)
    fresh.replace(path)


@dataclasses.dataclass
class Kept:
    """A source of API keys in a file, and its file."""

    path: Path
    source: Source[KeyTable]

    def ids(self) -> str:
        table = self.source.value
        assert table is not None
        return "".join(each for each in "abcdef" if table.knows(_key(each)))


@pytest.fixture
async def kept(tmp_path: Path) -> Kept:
    path = tmp_path / "keys.json"
    path.write_bytes(file_bytes(records("a")))
    settings = Settings(keys=str(path), refresh_seconds=5.0, stale_seconds=30.0)
    found = Kept(path, key_source(settings, STORE))
    assert await found.source.refresh(100.0)
    assert found.ids() == "a"
    return found


# -- what all have in common


async def test_before_the_first_reading_there_is_nothing_to_use() -> None:
    async def read() -> int:
        return 7

    source = Source("it", read, every=5.0, stale=30.0)
    assert source.is_due(0.0)
    assert not source.is_usable(0.0)
    assert await source.refresh(0.0)
    assert source.value == 7
    assert source.is_usable(30.0)
    assert not source.is_usable(30.1)
    assert not source.is_due(4.9)
    assert source.is_due(5.0)


async def test_what_was_read_is_kept_until_it_is_too_old_and_a_failure_is_told_once(
    logged: list[Any],
) -> None:
    problem = ""

    async def read() -> int | None:
        if problem:
            raise SourceError(problem)
        return 7

    source = Source("it", read, every=5.0, stale=30.0)
    await source.refresh(0.0)
    for now, problem in ((5.0, "gone"), (10.0, "gone"), (15.0, "still gone")):
        assert not await source.refresh(now)
        assert source.problem == problem
        assert source.value == 7
        assert source.is_usable(30.0)
    assert not source.is_usable(30.1)
    problem = ""
    assert await source.refresh(40.0)
    assert source.problem == ""
    assert source.is_usable(70.0)
    assert [entry["event"] for entry in logged] == [
        "credentials_unreadable",
        "credentials_readable",
    ]
    assert logged[0]["reason"] == "gone"


async def test_what_takes_too_long_is_given_up(
    autojump_clock: trio.testing.MockClock, logged: list[Any]
) -> None:
    source: Source[int] = Source("it", trio.sleep_forever, every=5.0, stale=30.0)
    assert not await source.refresh(0.0)
    assert trio.current_time() == 5.0
    assert source.problem == "it takes longer than 5 seconds"
    assert not source.is_usable(0.0)


# -- files


async def test_what_has_not_changed_is_not_read_again(kept: Kept) -> None:
    table = kept.source.value
    assert not await kept.source.refresh(105.0)
    assert kept.source.value is table
    # But it was there.
    assert kept.source.is_usable(135.0)


async def test_a_file_that_was_replaced_is_read(kept: Kept) -> None:
    write(kept.path, file_bytes(records("a", "b")))
    assert await kept.source.refresh(105.0)
    assert kept.ids() == "ab"


async def test_a_file_that_was_written_in_place_is_read(kept: Kept) -> None:
    kept.path.write_bytes(file_bytes(records("b", "c")))
    assert await kept.source.refresh(105.0)
    assert kept.ids() == "bc"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: write(path, b""), "no file of keys"),
        (lambda path: write(path, b"garbage"), "no file of keys"),
        (lambda path: write(path, b'[{"x":' + b"[" * 100_000), "no file of keys"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "no file of keys"),
        (lambda path: write(path, b" " * (8 * 1024 * 1024 + 1)), "longer than 8388608 bytes"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
        (lambda path: (path.unlink(), path.symlink_to(path)), "symbolic links"),
    ],
)
async def test_a_file_that_breaks_leaves_things_as_they_are_until_they_are_old(
    kept: Kept, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(kept.path)
    for now in (105.0, 110.0):
        assert not await kept.source.refresh(now)
    assert words in kept.source.problem
    assert kept.ids() == "a"
    assert kept.source.is_usable(130.0)
    assert not kept.source.is_usable(130.1)
    if kept.path.is_dir():
        kept.path.rmdir()
    write(kept.path, file_bytes(records("b")))
    assert await kept.source.refresh(200.0)
    assert kept.ids() == "b"


async def test_the_same_file_that_comes_back_counts_as_read(kept: Kept) -> None:
    away = kept.path.with_name("away")
    kept.path.rename(away)
    assert not await kept.source.refresh(105.0)
    away.rename(kept.path)
    assert not await kept.source.refresh(150.0)
    assert kept.source.problem == ""
    assert kept.source.is_usable(180.0)
    assert kept.ids() == "a"


@pytest.mark.slow
async def test_what_never_ends_to_be_read_is_given_up(kept: Kept) -> None:
    """A pipe that nobody writes into; the same goes for a file system that hangs."""
    kept.path.unlink()
    os.mkfifo(kept.path)
    assert not await kept.source.refresh(105.0)
    assert "longer than 5 seconds" in kept.source.problem
    # The thread that still waits is let go, and what it finds counts for nothing.
    descriptor = os.open(kept.path, os.O_WRONLY)
    os.write(descriptor, file_bytes(records("b")))
    os.close(descriptor)
    write(kept.path, file_bytes(records("c")))
    assert await kept.source.refresh(200.0)
    assert kept.ids() == "c"


async def test_a_file_of_secrets_and_one_with_a_set_are_both_sources(tmp_path: Path) -> None:
    secret, jwks = tmp_path / "secret", tmp_path / "jwks.json"
    secret.write_bytes(SECRET)
    jwks.write_bytes(jwk_set("rsa"))
    settings = Settings(secret_file=str(secret), jwks=str(jwks), issuer=ISSUER, audience=AUDIENCE)
    sources = token_sources(settings)
    for source in sources:
        assert source.is_file
        assert await source.refresh(0.0)
    assert [[key.algorithm for key in source.value or ()] for source in sources] == [
        ["HS256"],
        ["RS256"],
    ]
    secret.write_bytes(b"short")
    assert not await sources[0].refresh(5.0)
    assert sources[0].problem == "a secret for HS256 has at least 32 bytes"
    assert token_sources(Settings()) == []


# -- the store


class Away:
    """The credentials of a store that may be away; `Credentials` as far as keys go."""

    def __init__(self) -> None:
        self.version = "1"
        self.kept: Sequence[bytes] = [record_bytes(each) for each in records("a")]
        self.is_away = False
        self.told: list[str | None] = []

    async def api_keys(self, known: str | None) -> tuple[str, Sequence[bytes] | None]:
        self.told.append(known)
        if self.is_away:
            raise StoreUnavailableError("Redis cannot be reached.")
        return self.version, None if known == self.version else self.kept


async def test_keys_in_the_store_are_read_when_their_version_is_another_one() -> None:
    store: Any = Away()
    source = key_source(Settings(keys="store"), store)
    assert not source.is_file
    assert await source.refresh(0.0)
    assert not await source.refresh(5.0)
    store.version, store.kept = "2", ()
    assert await source.refresh(10.0)
    assert store.told == [None, "1", "1"]
    assert source.value is not None
    assert len(source.value) == 0


async def test_keys_in_a_store_that_is_away_or_broken_are_kept_for_a_while() -> None:
    store: Any = Away()
    source = key_source(Settings(keys="store"), store)
    await source.refresh(0.0)
    store.is_away = True
    assert not await source.refresh(5.0)
    assert source.problem == "Redis cannot be reached."
    store.is_away, store.version, store.kept = False, "2", [b"garbage"]
    assert not await source.refresh(10.0)
    assert "cannot be read" in source.problem
    assert source.value is not None
    assert source.value.knows(_key("a"))
    assert not source.is_usable(30.1)
    # What could not be used does not count as read.
    store.kept = [record_bytes(each) for each in records("b")]
    assert await source.refresh(15.0)
    assert store.told[-1] == "1"


# -- a URL


@pytest.fixture
def server() -> Iterator[JwksServer]:
    with jwks_server(jwk_set("rsa")) as running:
        yield running


def fetched(url: str) -> Source[Any]:
    (source,) = token_sources(Settings(jwks=url, issuer=ISSUER, audience=AUDIENCE))
    assert not source.is_file
    return source


async def test_a_set_is_fetched_without_what_the_environment_says(
    server: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    source = fetched(server.url)
    assert await source.refresh(0.0)
    assert [key.id for key in source.value or ()] == ["rsa"]
    path, headers = server.asked[0]
    assert path == "/jwks"
    assert headers["accept-encoding"] == "identity"
    assert "authorization" not in headers


def _redirected(server: JwksServer) -> None:
    server.status = 302
    server.headers = {"Location": server.url + "-elsewhere"}


def _compressed(server: JwksServer) -> None:
    server.headers = {"Content-Encoding": "gzip"}
    server.body = gzip.compress(server.body)


def _sent(**more: Any) -> Callable[[JwksServer], None]:
    return lambda server: vars(server).update(more)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_sent(status=404), "the status is 404"),
        (_sent(status=500), "the status is 500"),
        (_sent(status=204), "the status is 204"),
        (_redirected, "the status is 302"),
        (_sent(body=b"<html>"), "no JWK set"),
        (_sent(body=b""), "no JWK set"),
        (_sent(body=b'{"keys":[]}'), "no key"),
        (_sent(body=jwk_set("rsa1024")), "no key"),
        (_sent(body=b" " * (256 * 1024 + 1)), "longer than 262144 bytes"),
        (_sent(body=jwk_set("rsa"), headers={"Content-Length": "99999"}), "cannot be fetched"),
        (_compressed, "no JWK set"),
    ],
)
async def test_a_set_that_cannot_be_had_changes_nothing(
    server: JwksServer, spoil: Callable[[JwksServer], None], words: str
) -> None:
    source = fetched(server.url)
    assert await source.refresh(0.0)
    before = source.value
    spoil(server)
    assert not await source.refresh(300.0)
    assert words in source.problem
    assert source.value is before
    assert source.is_usable(3600.0)
    assert not source.is_usable(3600.1)
    assert {path for path, _ in server.asked} == {"/jwks"}


async def test_a_server_that_is_gone_changes_nothing_until_it_is_back() -> None:
    # None of those that are given to connections: nobody else may have it between the two.
    with jwks_server(jwk_set("rsa"), free_port()) as server:
        source = fetched(server.url)
        assert await source.refresh(0.0)
    assert not await source.refresh(300.0)
    assert source.problem == "it cannot be fetched: ConnectError"
    with jwks_server(jwk_set("rsa-2"), server.server_port):
        assert await source.refresh(600.0)
    assert [key.id for key in source.value or ()] == ["rsa-2"]


@pytest.mark.slow
async def test_a_server_that_takes_its_time_is_given_up(server: JwksServer) -> None:
    server.may_answer.clear()
    source = fetched(server.url)
    with trio.fail_after(60):
        assert not await source.refresh(0.0)
    assert source.problem
    assert not source.is_usable(0.0)


async def test_what_is_in_the_query_of_a_url_is_in_no_log(
    server: JwksServer, logged: list[Any]
) -> None:
    server.status = 403
    source = fetched(server.url + "?code=canary")
    assert not await source.refresh(0.0)
    assert server.asked[0][0] == "/jwks?code=canary"
    assert "canary" not in repr(logged) + source.name + source.problem


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/jwks", "https://[::1/jwks", "https://a..b/j"])
async def test_a_url_that_leads_nowhere_is_a_problem_and_no_failure(url: str) -> None:
    try:
        source = fetched(url)
    except ValueError:
        return
    assert not await source.refresh(0.0)
    assert source.problem.startswith("it cannot be fetched: ")
