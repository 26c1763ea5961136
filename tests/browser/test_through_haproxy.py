"""The inbox in a real browser, behind HAProxy: agents at any gateway ask who is at one of them."""

from __future__ import annotations

import itertools

import pytest

from haproxy.balancer import Balancer
from haproxy.local_cluster import LocalCluster
from tests.browser.pages import Page
from tests.browser.peers import Agent

pytestmark = pytest.mark.slow
# Somebody is reached much sooner.
MOST_ROUNDS = 30


def totals(balancer: Balancer) -> list[int]:
    """Return how many agents' requests each gateway was sent."""
    return [each.total for each in balancer.servers() if each.backend == "mcp"]


def test_the_inbox_is_asked_through_every_gateway(deployment: LocalCluster, page: Page) -> None:
    balancer = deployment.balancer
    agent = Agent(balancer)
    page.open_inbox(balancer)
    before = totals(balancer)
    for number in itertools.count():
        # One that was started anew gets fewer at first.
        if all(now > then for now, then in zip(totals(balancer), before, strict=True)):
            break
        question = agent.ask(f"Through which, {number}?")
        page.wait_for_question(f"Through which, {number}?")
        page.type_answer(f"any of {number}")
        page.press_send()
        assert agent.outcome(question)["answer"] == f"any of {number}"
        assert number < MOST_ROUNDS


def test_the_inbox_is_at_another_gateway_when_its_own_was_replaced(
    deployment: LocalCluster, page: Page
) -> None:
    balancer = deployment.balancer
    agent = Agent(balancer)
    page.open_inbox(balancer)
    question = agent.ask("Before or after?")
    page.wait_for_question("Before or after?")
    page.type_answer("typed before")
    (own,) = (
        gateway
        for gateway in deployment.gateways
        if (report := gateway.report()) is not None and report.frontends
    )
    own.drain()
    own.wait()
    page.wait_until_connected()
    page.press_send()
    assert agent.outcome(question)["answer"] == "typed before"
