"""What one session or stream watches, and what it may."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.mcp.registry import Registry
from gateway.mcp.results import ReadResult
from gateway.mcp.watching import Watches, Watching, watch
from session.model import Principal

ANN = Principal("acme", "ann", scopes=frozenset({"ask"}))


async def _read(*_what: object) -> ReadResult:
    raise AssertionError("nobody reads this")


def test_what_is_watched_is_stopped_once() -> None:
    watches, stopped = Watches(), list[str]()
    for uri in ("a", "b", "a"):
        watches.put(uri, lambda uri=uri: stopped.append(uri))  # type: ignore[misc]  # a default
    assert (list(watches), stopped) == (["b", "a"], ["a"])
    watches.drop("a")
    watches.drop("a")
    watches.end()
    watches.end()
    assert (len(watches), stopped) == (0, ["a", "a", "b"])


def test_nothing_is_watched_when_nobody_hears() -> None:
    watches, stopped = Watches(), list[str]()
    watches.end()
    watches.put("late", lambda: stopped.append("late"))
    assert ("late" in watches, stopped) == (False, ["late"])


@pytest.mark.parametrize(
    ("uri", "is_watched"),
    [
        ("test://one", True),
        ("test://mine/1", True),
        ("test://none", False),
        ("test://locked", False),
    ],
)
async def test_a_principal_watches_what_it_may_read(uri: str, *, is_watched: bool) -> None:
    asked: list[tuple[Principal, str, dict[str, str]]] = []

    async def watcher(
        principal: Principal, uri: str, values: dict[str, str], _changed: Callable[[], None]
    ) -> Watching:
        asked.append((principal, uri, values))
        return Watching(lambda: None, may_have_changed=False)

    registry = Registry()
    registry.resource("test://one", "one", _read)
    registry.resource("test://locked", "locked", _read, watch=watcher, scope="list")
    registry.template("test://mine/{id}", "mine", _read, watch=watcher)
    watching = await watch(registry, ANN, uri, lambda: None)
    assert (watching is not None) == is_watched
    if uri == "test://mine/1":
        assert asked == [(ANN, uri, {"id": "1"})]
    else:
        assert asked == []
