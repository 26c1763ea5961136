"""Other people's programs at both ends of three gateways behind HAProxy.

Nothing sticks to an instance: every request of a caller reaches the next one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio
from mcp import Client

from haproxy.local_cluster import LocalCluster
from tests.interop.go_programs import ask, gorilla
from tests.interop.person import person_at

pytestmark = [
    pytest.mark.slow,
    # The SDK leaves generators of its HTTP client to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*Async generator:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]
PATIENCE = 60


class Reached:
    """Which gateways HAProxy has sent requests of agents to since this was made."""

    def __init__(self, deployment: LocalCluster) -> None:
        self._balancer = deployment.balancer
        self._before = self._totals()

    def all(self) -> bool:
        """Return whether it is all of them. One that was started anew gets fewer at first."""
        return all(now > then for now, then in zip(self._totals(), self._before, strict=True))

    def _totals(self) -> list[int]:
        return [each.total for each in self._balancer.servers() if each.backend == "mcp"]


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_the_official_sdk_of_python_asks_through_all_of_them(
    deployment: LocalCluster, mode: str
) -> None:
    balancer = deployment.balancer
    url = f"http://127.0.0.1:{balancer.mcp_port}/mcp"
    audience = {"kind": "user", "name": f"sdk-{mode}"}
    reached = Reached(deployment)
    with trio.fail_after(PATIENCE):
        async with (
            person_at(balancer.ws_port, user=f"sdk-{mode}") as person,
            Client(url, mode=mode) as client,
            trio.open_nursery() as nursery,
        ):

            async def answer_all() -> None:
                while True:
                    shown = await person.question()
                    assert await person.answer(shown, f"to {shown['question']}") == "accepted"

            nursery.start_soon(answer_all)
            while not reached.all():
                held = await client.call_tool(
                    "ask_user", {"question": "held", "audience": audience}
                )
                assert held.content[0].text == "to held"  # type: ignore[union-attr]
                left = await client.call_tool(
                    "ask_user",
                    {"question": "left", "audience": audience, "wait": "return"},
                )
                assert left.structured_content is not None
                collected = await client.call_tool(
                    "collect_answer",
                    {"question_id": left.structured_content["question_id"], "wait_seconds": 30},
                )
                assert collected.content[0].text == "to left"  # type: ignore[union-attr]
            nursery.cancel_scope.cancel()


@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")
@pytest.mark.parametrize("program", ["ask_gosdk", "ask_mcpgo", "ask_mcpgo_v0.32"])
async def test_programs_in_go_ask_and_answer_through_all_of_them(
    deployment: LocalCluster, programs: Path, program: str
) -> None:
    reached = Reached(deployment)
    with trio.fail_after(PATIENCE):
        async with gorilla(programs, deployment.balancer, answer="Blue") as frontend:
            await frontend.frame("connect_ack")
            while not reached.all():
                answered = await ask(programs / program, deployment.balancer, "Through which?")
                assert (answered.text, answered.is_error) == ("Blue", False)
