"""What is watched for a session, by who opened its stream; when is in `test_session_watches`."""

from __future__ import annotations

import pytest

from gateway.mcp.attended import Attended, may_alike
from session.model import McpSession, Principal

_ANN = Principal("acme", "ann", scopes=frozenset({"ask"}), groups=("staff",))
_SAME = Principal("acme", "ann", scopes=frozenset({"ask"}), groups=("staff",), credential="other")
_WIDER = Principal("acme", "ann", scopes=frozenset({"ask", "list"}), groups=("staff",))
_ELSEWHERE = Principal("acme", "ann", scopes=frozenset({"ask"}), groups=("doctors",))


def _attended() -> tuple[Attended, list[str]]:
    attended = Attended(McpSession("s", "acme", "ann", "2025-11-25", 0.0), _ANN)
    stopped: list[str] = []
    for uri in ("a", "b"):
        attended.watches.put(uri, lambda uri=uri: stopped.append(uri))  # type: ignore[misc]  # bound as it is
    attended.not_served.add("c")
    return attended, stopped


@pytest.mark.parametrize(
    ("principal", "alike"), [(_ANN, True), (_SAME, True), (_WIDER, False), (_ELSEWHERE, False)]
)
def test_only_what_another_credential_may_see_as_well_is_watched_on(
    principal: Principal, *, alike: bool
) -> None:
    attended, stopped = _attended()
    assert may_alike(_ANN, principal) is alike
    attended.follow(principal)
    assert attended.principal is principal
    assert (stopped, attended.not_served) == ([] if alike else ["a", "b"], set())
    assert attended.changes == 1


def test_who_watches_nothing_may_watch_all_of_it_again() -> None:
    attended, stopped = _attended()
    attended.watch_nothing()
    assert (stopped, len(attended.watches), attended.not_served) == (["a", "b"], 0, set())
    attended.watches.put("a", lambda: stopped.append("again"))
    assert "a" in attended.watches
    assert not attended.watches.gone
