"""What every file here keeps to, and who is excepted, with the reason.

An exception that no longer applies fails too, so the tables below are true.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("gateway", "session", "pool", "loadtest", "haproxy")
FOLDERS: Final = (*PACKAGES, "tests")

#: Modules without a test file of their own.
TESTED_ELSEWHERE: Final = {
    "gateway/access.py": "puts real parts together: tests/live/test_auth.py runs them",
    "gateway/__main__.py": "one line, run by tests/gateway/test_cli.py",
    "gateway/announcement.py": "words, read by whoever starts a gateway: tests/live",
    "gateway/frontend_port.py": "puts real parts together: tests/live and tests/browser",
    "gateway/frontends/showing.py": "what sockets do: tests/gateway/frontends/test_socket.py",
    "gateway/callers.py": "puts real parts together: tests/live and tests/conformance",
    "gateway/app.py": "puts real parts together: tests/live runs it as a process",
    "gateway/waiters.py": "a contract: tests/gateway/mcp/test_tools.py has those that keep to it",
    "gateway/errors.py": "a table, met in every port's own tests",
    "gateway/fleet.py": "starts processes: tests/live/test_fleet.py",
    "gateway/reports.py": "what tests/live/test_monitoring.py reads",
    "gateway/storage.py": "opens a store: tests/live and tests/cluster run both kinds",
    "pool/doors.py": "where connections come in: tests/pool/test_connections.py",
    "pool/refusal.py": "what a newcomer to a full gateway hears: tests/pool/test_connections.py",
    "gateway/frontends/dialogue.py": "a half of the socket: tests/gateway/frontends/test_socket.py",
    "gateway/frontends/large.py": "a part of the socket: tests/live/test_stalls.py, test_large.py",
    "gateway/frontends/strange.py": "a half of the socket: tests/gateway/frontends/test_socket.py",
    "gateway/http/messages.py": "types, made and answered in tests/gateway/http/test_connection.py",
    "gateway/http/response.py": "a half of the connection: tests/gateway/http/test_connection.py",
    "gateway/frontends/wire.py": "values: tests/gateway/frontends/test_messages.py",
    "gateway/mcp/statistics.py": "values",
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
    "loadtest/population.py": "a part of whole runs: tests/loadtest/test_coordinator.py",
    "loadtest/tool_lists.py": "a measure: tests/loadtest/test_bench.py takes it",
    "loadtest/trio_frontends.py": "a process that tests/loadtest/test_coordinator.py starts",
    "loadtest/worker.py": "a process that tests/loadtest/test_coordinator.py starts",
    "pool/connection.py": "a half of the pair that tests/pool/test_connections.py drives",
    "pool/lag.py": "a part of the connections: tests/pool/test_connections.py",
    "pool/flusher.py": "a part of the connections: tests/pool/test_connections.py",
    "pool/statistics.py": "values",
    "pool/parking.py": "a part of the workers: tests/pool/test_workers.py",
    "session/bus.py": "a contract",
    "session/credentials.py": "a contract and its memory: tests/contract/test_credentials.py",
    "session/errors.py": "types; tests/session/test_memory.py and tests/contract raise them",
    "session/memory_bus.py": "tells nobody anything",
    "pool/connection_settings.py": "declarations; tests/pool/test_connections.py sets them",
    "gateway/frontends/subprotocols.py": "what handshakes choose: tests/live/test_bombs.py",
    "session/memory_settings.py": "declarations; tests/session/test_memory.py sets them",
    "session/model.py": "values",
    "session/receipts.py": "a contract and its memory half: tests/contract/test_receipts.py",
    "session/redis/receipts.py": "held to its contract by tests/contract/test_receipts.py",
    "session/redis/credentials.py": "held to its contract by tests/contract/test_credentials.py",
    "session/quotas.py": "a contract and its memory half: tests/contract/test_quotas.py",
    "session/redis/node.py": "what tests/session/redis/test_members.py kills",
    "session/redis/routing.py": "driven by tests/session/redis/test_client.py",
    "session/redis/settings.py": "declarations; the tests of the client set them",
    "session/redis/statistics.py": "values",
    "session/redis/frontends.py": "presence and drafts: tests/contract, and test_store beside it",
    "session/redis/scripts.py": "files, run by all that tests/session/redis does",
    "session/steps.py": "values",
    "session/tools.py": "a contract and its memory half: tests/contract/test_tools.py",
    "gateway/web_tools.py": "puts real parts together: tests/live/test_page_tools.py",
    "gateway/mcp/page_calls.py": "what tests/gateway/mcp/test_page_tools.py waits with",
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
    "gateway/auth/authenticator.py": "when everything was read last: never",
    "gateway/auth/keys.py": "a key that does not end",
    "gateway/auth/sources.py": "when it was read last: never",
    "gateway/frontends/socket.py": "since when an unfinished message waits: since never",
    "gateway/frontends/strange.py": "since when an unfinished message waits: since never",
    "gateway/mcp/call.py": "when progress was last told: never",
    "gateway/terminal/ask.py": "what a time that a person gives must be below",
    "pool/parking.py": "a job without a deadline",
    "pool/workers.py": "a job without a deadline",
    "session/model.py": "a credential that does not end",
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
    "tests/cluster/instances.py": "asks gateways in other processes until something is so",
    "tests/cluster/load.py": "people think, and agents pause, for a moment",
    "tests/live/pages.py": "asks gateways in other processes until a tool is listed",
    "tests/live/test_slow_readers.py": "asks a gateway in another process until somebody is gone",
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


# The same few hundred files are read by one rule after the other.
@functools.cache
def source(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def modules() -> list[str]:
    """Return the modules that are shipped."""
    return found(*(f"{package}/**/*.py" for package in PACKAGES))


@functools.cache
def tree(path: str) -> ast.Module:
    return ast.parse(source(path))


@functools.cache
def nodes(path: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(path)))


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
        and "Pure module" in (ast.get_docstring(tree(path)) or "")
    ]
    assert sorted(held) == saying


def test_what_is_compiled_awaits_nothing_while_it_handles_an_error() -> None:
    """Closed there, a compiled coroutine takes the process with it (mypyc 2.4)."""
    wheel = tomllib.loads(source("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    waiting = [
        f"{path}:{inner.lineno}"
        for path in (each.removeprefix("/") for each in wheel["hooks"]["mypyc"]["include"])
        for node in nodes(path)
        if isinstance(node, ast.ExceptHandler)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Await | ast.AsyncWith | ast.AsyncFor)
    ]
    assert waiting == []


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


def test_compiled_code_calls_errors_of_different_types_by_different_names() -> None:
    """Both would be one variable there, of the first type (mypyc 2.4)."""
    wheel = tomllib.loads(source("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    alike = []
    for path in (each.removeprefix("/") for each in wheel["hooks"]["mypyc"]["include"]):
        for function in nodes(path):
            types: dict[str, set[str]] = {}
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for handler in ast.walk(function):
                    if isinstance(handler, ast.ExceptHandler) and handler.name and handler.type:
                        types.setdefault(handler.name, set()).add(ast.unparse(handler.type))
            alike += [f"{path}: {name}" for name, known in types.items() if len(known) > 1]
    assert alike == []


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
    packages = found("tests/**/package-lock.json")
    assert packages
    assert [path for path in packages if '"resolved"' in source(path)] == []


def test_fixtures_that_nobody_names_are_not_asynchronous() -> None:
    """pytest-trio runs only those that a test names: the others do nothing, and say nothing."""
    idle = [
        f"{path}: {function.name}"
        for path in found("tests/**/*.py")
        for function in nodes(path)
        if isinstance(function, ast.AsyncFunctionDef)
        and any("autouse=True" in ast.unparse(each) for each in function.decorator_list)
    ]
    assert idle == []


def test_our_own_code_is_never_patched() -> None:
    patching = re.compile(
        r"\bunittest[.]mock\b|\bMagicMock[(]|monkeypatch[.]setattr[(]|\bmocker[.]"
    )
    assert [path for path in found("tests/**/*.py") if patching.search(source(path))] == []


def test_tests_on_real_sockets_are_ordered_by_events_not_by_waiting() -> None:
    real = found(*(f"tests/{folder}/*.py" for folder in ("live", "cluster", "interop", "browser")))
    assert {path for path in real if calls(path) & {"time.sleep", "trio.sleep"}} == set(WAITING)
    # Where the clock jumps, a thread that sleeps would stop it.
    assert [path for path in found("tests/**/*.py") if "time.sleep" in calls(path)] == []
