"""The keys that a deployment signs with: of a file, of the store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.errors import UnusableError
from gateway.signing import SigningKeys
from pool.promises import Promise
from pool.workers import Settings as WorkerSettings
from pool.workers import Workers, to_worker
from session import MemoryReceipts
from session.errors import StoreUnavailableError
from tests.gateway.routing import fail_loudly

ONE, OTHER = "1" * 64, "2" * 64


def store() -> MemoryReceipts:
    return MemoryReceipts(lambda: 0.0)


def write(path: Path, text: str) -> str:
    """Write a file that is another one each time, as who replaces it does."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)  # noqa: PTH105 - as rotating programs do
    return str(path)


async def test_instances_of_one_store_have_one_key() -> None:
    shared = store()
    a, b, elsewhere = SigningKeys("", shared), SigningKeys("", shared), SigningKeys("", store())
    for keys in (a, b, elsewhere):
        await keys.refresh()
    assert a.newest("receipts") == b.newest("receipts") != elsewhere.newest("receipts")
    assert len(a.newest("receipts")) == 32


async def test_each_use_has_a_key_of_its_own() -> None:
    keys = SigningKeys("", store())
    await keys.refresh()
    assert keys.newest("receipts") != keys.newest("seals")


async def test_a_store_that_lost_its_key_gets_it_back_from_who_doubts() -> None:
    receipts = store()
    keys = SigningKeys("", receipts)
    await keys.refresh()
    before = keys.newest("receipts")
    receipts._key = b""
    await keys.refresh(is_doubted=True)
    after = SigningKeys("", receipts)
    await after.refresh()
    assert keys.newest("receipts") == before == after.newest("receipts")


async def test_who_doubts_takes_the_key_that_the_others_have() -> None:
    receipts = store()
    keys = SigningKeys("", receipts)
    await keys.refresh()
    receipts._key = b"another".ljust(32)
    await keys.refresh()
    before = keys.newest("receipts")
    await keys.refresh(is_doubted=True)
    assert keys.newest("receipts") != before


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "keys", ONE)
    keys = SigningKeys(path, store())
    await keys.refresh()
    before = keys.newest("receipts")
    write(tmp_path / "keys", f"{OTHER}\n\n{ONE}\n")
    await keys.refresh()
    # The newest signs, what the one before signed is good.
    assert keys.newest("receipts") != before
    assert keys.all("receipts") == [keys.newest("receipts"), before]
    write(tmp_path / "keys", f"{OTHER}\n")
    await keys.refresh()
    assert before not in keys.all("receipts")


@pytest.mark.parametrize(
    ("text", "hint"),
    [("", "1 to 16 secrets"), ("short", "32 characters"), (f"{ONE}\n" * 17, "1 to 16 secrets")],
)
async def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, hint: str) -> None:
    path = write(tmp_path / "keys", text)
    keys = SigningKeys(path, store())
    with pytest.raises(UnusableError, match=hint):
        await keys.refresh()
    # Once it was good it goes on with what it had.
    write(tmp_path / "keys", ONE)
    await keys.refresh()
    before = keys.newest("receipts")
    write(tmp_path / "keys", text)
    await keys.refresh()
    assert keys.newest("receipts") == before


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="--mcp-key-file"):
        await SigningKeys(str(tmp_path / "none"), store()).refresh()


async def test_what_a_store_counts_is_good_with_that_store_only(tmp_path: Path) -> None:
    """One that forgot what was used, as memory does when a process ends, has another key."""
    path = write(tmp_path / "keys", ONE)
    shared = store()
    before, beside, after = SigningKeys(path, shared), SigningKeys(path, shared), store()
    again = SigningKeys(path, after)
    for keys in (before, beside, again):
        await keys.refresh()
    assert before.newest("seals") == again.newest("seals")
    counted = before.newest("receipts", is_counted=True)
    assert counted == beside.newest("receipts", is_counted=True)
    assert counted not in again.all("receipts", is_counted=True)
    assert counted != before.newest("receipts")


async def test_without_a_worker_a_file_is_not_read_and_who_asked_may_ask_again(
    tmp_path: Path,
) -> None:
    """As when the store is away: a person who answers, say, is told to send that again."""
    keys = SigningKeys(write(tmp_path / "keys", ONE), store())
    workers = Workers(WorkerSettings(queue=1, queue_per_lane=1), on_failure=fail_loudly)
    found: Promise[None] = Promise()
    refused: list[str] = []

    async def sign() -> None:
        await found
        try:
            await keys.refresh()
        except StoreUnavailableError as error:
            refused.append(str(error))

    workers.start("acme", sign())
    workers.start("other", to_worker())
    found.set(None)
    assert refused == ["no worker is free to read the keys"]
