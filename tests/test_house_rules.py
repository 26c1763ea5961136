"""What every file here keeps to, and who is excepted, with the reason.

An exception that no longer applies fails too, so the tables below are true.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("gateway", "session", "pool", "loadtest")
FOLDERS: Final = (*PACKAGES, "tests", "haproxy")

#: Modules without a test file of their own.
TESTED_ELSEWHERE: Final = {
    "gateway/__main__.py": "one line, run by tests/gateway/test_cli.py",
    "gateway/app.py": "puts real parts together: tests/live runs it as a process",
    "gateway/drain.py": "declarations; tests/live drains a process",
    "gateway/errors.py": "a table, met in every port's own tests",
    "gateway/frontends/strange.py": "a half of the socket: tests/gateway/frontends/test_socket.py",
    "gateway/http/messages.py": "types, made and answered in tests/gateway/http/test_connection.py",
    "gateway/http/response.py": "a half of the connection: tests/gateway/http/test_connection.py",
    "gateway/frontends/wire.py": "values: tests/gateway/frontends/test_messages.py",
    "gateway/mcp/questions.py": "what tests/gateway/mcp/test_tools.py waits with",
    "loadtest/measures.py": "puts a gateway and its load together: tests/loadtest/test_bench.py",
    "loadtest/__main__.py": "one line, run by tests/loadtest/test_cli.py",
    "loadtest/agents.py": "a part of whole runs: tests/loadtest/test_coordinator.py",
    "loadtest/callers.py": "a driver: tests/loadtest/test_drivers.py",
    "loadtest/dialing.py": "a part of whole runs: tests/loadtest/test_coordinator.py",
    "loadtest/frontends.py": "a driver: tests/loadtest/test_drivers.py",
    "loadtest/messengers.py": "a driver: tests/loadtest/test_drivers.py",
    "loadtest/handshakes.py": "what the far ends say: tests/loadtest/test_drivers.py",
    "loadtest/orders.py": "declarations; tests/loadtest/test_coordinator.py has them sent",
    "loadtest/peers.py": "the far ends: tests/loadtest/test_drivers.py",
    "loadtest/people.py": "a part of whole runs: tests/loadtest/test_coordinator.py",
    "loadtest/population.py": "a part of whole runs: tests/loadtest/test_coordinator.py",
    "loadtest/trio_frontends.py": "a process that tests/loadtest/test_coordinator.py starts",
    "loadtest/worker.py": "a process that tests/loadtest/test_coordinator.py starts",
    "pool/connection.py": "a half of the pair that tests/pool/test_connections.py drives",
    "session/bus.py": "a contract",
    "session/errors.py": "types; tests/session/test_memory.py and tests/contract raise them",
    "session/model.py": "values",
    "session/store.py": "a contract: tests/contract/test_store.py holds every store to it",
}

#: The error boundaries: the connection and the job. Nobody else catches everything.
BOUNDARIES: Final = {
    "pool/connections.py": "the connection",
    "pool/workers.py": "the job",
    "pool/jobs.py": "hands what it catches to the job it was thrown at",
}

#: Modules where a time may be infinite: never. Nothing else is.
FOREVER: Final = {
    "gateway/frontends/socket.py": "since when an unfinished message waits: since never",
    "gateway/frontends/strange.py": "since when an unfinished message waits: since never",
    "gateway/mcp/call.py": "when progress was last told: never",
    "gateway/terminal/ask.py": "what a time that a person gives must be below",
    "pool/workers.py": "a job without a deadline",
}

#: Modules of more lines than one reads in one go.
LONG: Final = {
    "gateway/frontends/inbox/frontend-router.js": "one file, so that a web app can copy it",
    "gateway/frontends/inbox/inbox.js": "the page's composition root",
    "gateway/frontends/inbox/schema-form.js": "one builder for each kind of field",
}
_LONGEST: Final = 400

#: Tests on real sockets that wait for time to pass; elsewhere the clock jumps.
WAITING: Final = {
    "tests/live/test_faults.py": "asks a gateway in another process until it is quiet again",
}

#: Unfinished work, and places on somebody's own machine. (No word of them stands here.)
_UNWANTED: Final = re.compile(r"\b(T[O]DO|F[I]XME|X[X]X)\b|(?<![\w.])/(home|root|Users)/\w")
_SILENCED: Final = re.compile(r"# (noqa|type: ignore|pragma: no)")
_SILENCED_WITH_REASON: Final = re.compile(
    r"# (noqa: [A-Z0-9, ]+ - |type: ignore\[[a-z, -]+\]  # |pragma: no \w+ - )\S"
)
_VAGUE: Final = {
    "utils",
    "util",
    "helpers",
    "helper",
    "manager",
    "service",
    "base",
    "common",
    "misc",
}


def found(*patterns: str) -> list[str]:
    """Return the files of the project that match, by their paths in it."""
    paths = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(str(path.relative_to(ROOT)) for path in paths)


def source(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def modules() -> list[str]:
    """Return the modules that are shipped."""
    return found(*(f"{package}/**/*.py" for package in PACKAGES))


def nodes(path: str) -> Iterator[ast.AST]:
    yield from ast.walk(ast.parse(source(path)))


def calls(path: str) -> set[str]:
    return {ast.unparse(node.func) for node in nodes(path) if isinstance(node, ast.Call)}


def comments(path: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source(path)).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_every_module_has_a_test_file_and_every_test_file_its_module() -> None:
    expected = {
        f"tests/{Path(path).parent}/test_{Path(path).name}": path
        for path in modules()
        if not path.endswith("__init__.py")
    }
    present = set(found("tests/**/*.py"))
    untested = {module for test, module in expected.items() if test not in present}
    assert untested == set(TESTED_ELSEWHERE)
    stray = {
        test
        for test in present
        if test.startswith(tuple(f"tests/{package}/" for package in PACKAGES))
        and Path(test).name.startswith("test_")
        and test not in expected
    }
    assert stray == set()


def test_only_the_boundaries_catch_everything() -> None:
    def catches_everything(node: ast.AST) -> bool:
        if isinstance(node, ast.ExceptHandler):
            caught = "BaseException" if node.type is None else ast.unparse(node.type)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            caught = " ".join(ast.unparse(each) for each in node.args)
        else:
            return False
        return re.search(r"\b(Base)?Exception(Group)?\b", caught) is not None

    catching = {path for path in modules() if any(map(catches_everything, nodes(path)))}
    assert catching == set(BOUNDARIES)


def test_nothing_is_infinite_but_time() -> None:
    unbounded = re.compile(r"open_memory_channel[^\n]*\((math\.)?inf|\bSimpleQueue\b|\bQueue\(\)")
    infinite = re.compile(r"\bmath\.inf\b|float\(.inf.\)")
    assert [path for path in modules() if unbounded.search(source(path))] == []
    assert {path for path in modules() if infinite.search(source(path))} == set(FOREVER)


def test_a_module_is_read_in_one_go() -> None:
    pages = [*modules(), *found("gateway/frontends/inbox/*.js")]
    long = {path for path in pages if source(path).count("\n") > _LONGEST}
    assert long == set(LONG)


def test_the_modules_that_say_they_are_pure_are_the_ones_held_to_it() -> None:
    contracts = tomllib.loads(source("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (held,) = (each["source_modules"] for each in contracts if each["name"].startswith("pure "))
    saying = [
        path.removesuffix(".py").replace("/", ".")
        for path in modules()
        if not path.startswith("loadtest/")
        and "Pure module" in (ast.get_docstring(ast.parse(source(path))) or "")
    ]
    assert sorted(held) == saying


def test_a_check_is_silenced_with_its_reason_beside_it() -> None:
    silent = [
        f"{path}:{line}"
        for path in modules()
        for line, comment in comments(path)
        if _SILENCED.search(comment) and not _SILENCED_WITH_REASON.search(comment)
    ]
    assert silent == []


def test_a_name_says_what_a_module_is() -> None:
    names = {
        path: Path(path).stem
        for path in found(*(f"{folder}/**/*.{kind}" for folder in FOLDERS for kind in ("py", "js")))
    }
    assert [path for path, name in names.items() if set(name.split("_")) & _VAGUE] == []


def test_nothing_is_unfinished_or_somebodys_own() -> None:
    kinds = ("py", "js", "css", "html", "md", "json", "go")
    texts = found(
        "*.md",
        "*.toml",
        "Makefile",
        ".ci/*",
        *(f"{each}/**/*.{k}" for each in FOLDERS for k in kinds),
    )
    unwanted = [
        f"{path}: {match[0]}" for path in texts if (match := _UNWANTED.search(source(path)))
    ]
    assert unwanted == []


def test_the_lock_files_name_no_host() -> None:
    assert [path for path in found("requirements/*.txt") if "://" in source(path)] == []


def test_our_own_code_is_never_patched() -> None:
    patching = re.compile(
        r"\bunittest[.]mock\b|\bMagicMock[(]|monkeypatch[.]setattr[(]|\bmocker[.]"
    )
    assert [path for path in found("tests/**/*.py") if patching.search(source(path))] == []


def test_tests_on_real_sockets_are_ordered_by_events_not_by_waiting() -> None:
    real = found(*(f"tests/{folder}/*.py" for folder in ("live", "interop", "browser")))
    assert {path for path in real if calls(path) & {"time.sleep", "trio.sleep"}} == set(WAITING)
    # Where the clock jumps, a thread that sleeps would stop it.
    assert [path for path in found("tests/**/*.py") if "time.sleep" in calls(path)] == []
