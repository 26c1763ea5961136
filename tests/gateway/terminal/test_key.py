"""``frontend-router key``: keys are made, shown once, listed without what is secret, and ended."""

from __future__ import annotations

import argparse
import os
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.auth import keys
from gateway.auth.keys import KeyRecord, KeyTable, records_of_file
from gateway.clock import WallClock
from gateway.errors import CredentialError
from gateway.terminal import key
from haproxy.redis_cluster import RedisNode, running_node
from haproxy.redis_node import wait_until
from session.redis.keys import API_KEYS, audit

ANN = ("--tenant", "acme", "--subject", "ann", "--scope", "answer")
KEY = re.compile(r"fr_([0-9a-f]{16})_[A-Za-z0-9_-]{43}\n")


class Said(NamedTuple):
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTH_KEYS", "STORE"):
        monkeypatch.delenv(f"FRONTEND_ROUTER_{name}", raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command as the command line does."""

    def run(*arguments: str) -> Said:
        parser = argparse.ArgumentParser()
        key.add_arguments(parser)
        status = key.main(parser.parse_args(arguments))
        return Said(status, *capsys.readouterr())

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def created(run: Run, *more: str) -> tuple[str, str]:
    """Make a key; return it and its id."""
    said = run("create", *ANN, *more)
    assert (said.status, said.err) == (0, "")
    match = KEY.fullmatch(said.out)
    assert match is not None
    return said.out.strip(), match[1]


def table(file: Path) -> KeyTable:
    return KeyTable(records_of_file(file.read_bytes()))


def now() -> float:
    return WallClock().now()


def test_a_key_that_was_made_is_good(run: Run, file: Path) -> None:
    made, key_id = created(run, "--keys", str(file), "--group", "doctors", "--scope", "ask")
    found = table(file).find(made, now())
    assert (found.tenant, found.subject, found.groups) == ("acme", "ann", ("doctors",))
    assert found.scopes == {"answer", "ask"}
    assert found.credential == f"key:{key_id}"
    assert made[20:] not in file.read_text()


def test_a_key_that_was_revoked_is_not(run: Run, file: Path) -> None:
    made, key_id = created(run, "--keys", str(file))
    other, _ = created(run, "--keys", str(file))
    said = run("revoke", key_id, "--keys", str(file))
    assert said == (0, f"The key {key_id} of ann is revoked.\n", "")
    with pytest.raises(CredentialError):
        table(file).find(made, now())
    assert table(file).find(other, now()).subject == "ann"
    before = file.read_bytes()
    assert run("revoke", key_id, "--keys", str(file)).status == 0
    assert file.read_bytes() == before


def test_a_whole_key_may_be_shown_to_revoke_it(run: Run, file: Path) -> None:
    made, key_id = created(run, "--keys", str(file))
    said = run("revoke", made, "--keys", str(file))
    assert said == (0, f"The key {key_id} of ann is revoked.\n", "")


@pytest.mark.parametrize("wrong", ["canary" * 8, "fr_canary_x", "", "_canary", "A" * 16])
def test_what_is_no_id_is_not_repeated(run: Run, file: Path, wrong: str) -> None:
    said = run("revoke", wrong, "--keys", str(file))
    assert (said.status, said.out) == (1, "")
    assert "16 hexadecimal digits" in said.err
    assert "canary" not in said.err


def test_a_key_that_there_is_not_cannot_be_revoked(run: Run, file: Path) -> None:
    created(run, "--keys", str(file))
    said = run("revoke", "f" * 16, "--keys", str(file))
    assert said.status == 1
    assert said.err.startswith(f"frontend-router: there is no key {'f' * 16};")


def test_a_key_may_end_by_itself(run: Run, file: Path) -> None:
    made, _ = created(run, "--keys", str(file), "--expires", "90d")
    end = table(file).find(made, now()).expires_at
    assert end == pytest.approx(now() + 90 * 86_400, abs=60)
    with pytest.raises(CredentialError):
        table(file).find(made, end)


@pytest.mark.parametrize(
    ("scopes", "words"),
    [
        (("ask",), ""),
        (("ask", "admin"), "With admin it reads and takes back every question of acme.\n"),
        (
            ("admin",),
            "The scope admin is of no use without ask, which this key does not have.\n",
        ),
    ],
)
def test_who_makes_an_admin_is_told_what_that_is(
    run: Run, file: Path, scopes: tuple[str, ...], words: str
) -> None:
    wanted = [word for scope in scopes for word in ("--scope", scope)]
    said = run("create", *ANN, *wanted, "--keys", str(file))
    assert (said.status, said.err) == (0, words)
    assert KEY.fullmatch(said.out)


def test_the_help_says_what_an_admin_may(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    key.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["create", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "admin, with ask: every question of the tenant can be read and taken back" in said


@pytest.mark.parametrize("span", ["90", "0d", "-1d", "1w", "d", "1.5h", "9999999d", "1d "])
def test_an_end_is_a_number_and_a_unit(run: Run, file: Path, span: str) -> None:
    said = run("create", *ANN, "--keys", str(file), f"--expires={span}")
    assert (said.status, said.out) == (1, "")
    assert "as in 90d" in said.err
    assert not file.exists()


@pytest.mark.parametrize(
    "more",
    [
        ("--tenant", ""),
        ("--tenant", "t" * 129),
        ("--subject", "a\nb"),
        ("--subject", "\udcff"),
        ("--group", ""),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(run: Run, file: Path, more: tuple[str, str]) -> None:
    said = run("create", *ANN, *more, "--keys", str(file))
    assert (said.status, said.out) == (1, "")
    assert "128 printable characters" in said.err
    assert not file.exists()


def test_a_list_has_all_and_nothing_secret(run: Run, file: Path) -> None:
    made, key_id = created(run, "--keys", str(file), "--expires", "1h")
    gone, gone_id = created(run, "--keys", str(file), "--group", "a\u202eb")
    run("revoke", gone_id, "--keys", str(file))
    said = run("list", "--keys", str(file))
    head, first, second = said.out.splitlines()
    assert head.split() == ["ID", "TENANT", "SUBJECT", "SCOPES", "GROUPS", "MADE", "ENDS"]
    assert first.split()[:5] == [key_id, "acme", "ann", "answer", "-"]
    assert second.split()[:5] == [gone_id, "acme", "ann", "answer", "a\\u202eb"]
    assert "revoked" in second
    for each in (made, gone):
        secret = each[20:]
        assert secret not in said.out
        assert keys.digest_of(secret) not in said.out


def test_a_list_of_none_is_its_head(run: Run, file: Path) -> None:
    file.write_text("[]")
    assert run("list", "--keys", str(file)).out.split()[0] == "ID"


@pytest.mark.parametrize("action", [("list",), ("revoke", "f" * 16)])
def test_a_file_that_is_not_there_is_no_empty_one(
    run: Run, file: Path, action: tuple[str, ...]
) -> None:
    """A name that was mistyped would look as if nobody had a key."""
    for path in (file, file.parent / "missing" / "keys.json"):
        said = run(*action, "--keys", str(path))
        assert (said.status, said.out) == (1, "")
        assert said.err.startswith(f"frontend-router: there is no file {path}; name the one that")
        assert "make a key, which makes the file" in said.err
        assert not path.exists()


def test_a_file_that_cannot_be_read_is_said(run: Run, tmp_path: Path) -> None:
    said = run("list", "--keys", str(tmp_path))
    assert (said.status, said.out) == (1, "")
    assert said.err == f"frontend-router: {tmp_path} cannot be read: Is a directory\n"


def test_a_folder_that_is_none_is_said(run: Run, file: Path) -> None:
    file.write_text("[]")
    said = run("create", *ANN, "--keys", str(file / "keys.json"))
    assert (said.status, said.out) == (1, "")
    assert f"nothing can be written into {file} (Not a directory)" in said.err


def test_a_new_file_is_its_owners_only(run: Run, file: Path) -> None:
    created(run, "--keys", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_who_could_read_the_file_still_can(run: Run, file: Path) -> None:
    """Else a gateway of another user would lose all keys when one is revoked."""
    created(run, "--keys", str(file))
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 1, 1)
    before = file.stat()
    created(run, "--keys", str(file))
    after = file.stat()
    assert before.st_ino != after.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )


@pytest.mark.parametrize("action", [("create", *ANN), ("list",), ("revoke", "f" * 16)])
def test_a_file_that_is_broken_is_left_alone(run: Run, file: Path, action: tuple[str, ...]) -> None:
    for broken in (b"{", b"\xff", b"[" * 100_000):
        file.write_bytes(broken)
        said = run(*action, "--keys", str(file))
        assert (said.status, said.out) == (1, "")
        assert said.err.startswith(f"frontend-router: {file}: this is no file of keys")
        assert file.read_bytes() == broken
    assert not list(file.parent.glob("keys.json.[0-9a-f]*"))


def test_a_folder_that_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    said = run("create", *ANN, "--keys", str(folder / "keys.json"))
    assert (said.status, said.out) == (1, "")
    assert said.err == (
        f"frontend-router: there is no folder {folder}; make it, or name a file elsewhere "
        "by --keys\n"
    )


def test_a_key_that_was_not_written_is_not_shown(run: Run, file: Path) -> None:
    many = [
        KeyRecord(f"{number:016x}", "0" * 64, "t", "s", ("ask",), 1.0)
        for number in range(keys.MOST)
    ]
    file.write_bytes(keys.file_bytes(many))
    said = run("create", *ANN, "--keys", str(file))
    assert (said.status, said.out) == (1, "")
    assert "there are 10000 keys already" in said.err
    # They can still be revoked.
    assert run("revoke", "0" * 16, "--keys", str(file)).status == 0


def test_of_many_at_once_none_is_lost(file: Path) -> None:
    def make() -> None:
        parser = argparse.ArgumentParser()
        key.add_arguments(parser)
        key.main(parser.parse_args(["create", *ANN, "--keys", str(file)]))

    makers = [threading.Thread(target=make) for _ in range(16)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(table(file)) == 16


def test_where_keys_are_is_said_once(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run("list")
    assert (said.status, said.err) == (
        1,
        "frontend-router: say where the keys are: --keys FILE, or --store redis://...\n",
    )
    monkeypatch.setenv("FRONTEND_ROUTER_AUTH_KEYS", str(file))
    created(run)
    assert len(table(file)) == 1
    monkeypatch.setenv("FRONTEND_ROUTER_AUTH_KEYS", "store")
    monkeypatch.setenv("FRONTEND_ROUTER_STORE", "redis://127.0.0.1:1/0")
    assert "127.0.0.1:1" in run("list").err


def test_a_store_that_cannot_be_used_is_said_without_its_password(run: Run) -> None:
    for url in ("redis://me:canary@127.0.0.1:1/0", "canary", "http://a:canary@b/"):
        said = run("list", "--store", url)
        assert (said.status, said.out) == (1, "")
        assert said.err.startswith("frontend-router: ")
        assert "canary" not in said.err


@pytest.mark.slow
def test_keys_in_the_store_are_made_listed_and_revoked(
    run: Run, redis_url: str, redis_node: RedisNode
) -> None:
    made, key_id = created(run, "--store", redis_url)
    kept = redis_node.command("HGET", API_KEYS, key_id)
    assert made[20:] not in kept
    assert key_id in run("list", "--store", redis_url).out
    assert run("revoke", key_id, "--store", redis_url).status == 0
    assert "revoked" in run("list", "--store", redis_url).out
    redis_node.command("HSET", API_KEYS, "broken", "garbage")
    said = run("list", "--store", redis_url)
    assert (said.status, said.out) == (1, "")
    assert "cannot be read" in said.err


@pytest.mark.slow
def test_a_revocation_that_a_failover_would_undo_is_said_to_be_one(
    run: Run, tmp_path: Path
) -> None:
    with running_node(tmp_path / "primary") as primary:
        flags = ("--replicaof", primary.host, str(primary.port))
        with running_node(tmp_path / "replica", 0, *flags) as replica:
            store = ("--store", primary.url)
            wait_until(lambda: "" if is_in_step(replica) else "it is not", "the replica is there")
            _, key_id = created(run, *store)
            replica.stop()
            primary.command("CLIENT", "KILL", "TYPE", "replica")
            for _ in range(2):
                said = run("revoke", key_id, *store)
                assert (said.status, said.out) == (1, "")
                assert "is revoked, but no replica" in said.err
                assert "run this again" in said.err
            # It is, all the same; and what is made now is shown, as nobody else ever will.
            assert "revoked" in run("list", *store).out
            said = run("create", *ANN, *store)
            assert said.status == 1
            assert KEY.fullmatch(said.out)
            assert "no replica" in said.err
            replica.resume()
            wait_until(lambda: run("revoke", key_id, *store).err, "a replica has it")
            # However often it was run, it was revoked once.
            assert primary.command("XLEN", audit("acme")) == 3
            primary.kill()
            replica.command("REPLICAOF", "NO", "ONE")
            (line,) = [
                line
                for line in run("list", "--store", replica.url).out.splitlines()
                if key_id in line
            ]
            assert "revoked" in line


def is_in_step(replica: RedisNode) -> bool:
    return replica.info("replication")["master_link_status"] == "up"
