"""A web app of an allowed origin takes the client from the gateway, as the README shows."""

from __future__ import annotations

import pytest

from tests.browser.conftest import LEAVE_AT_ONCE
from tests.browser.pages import Page, origin_of
from tests.browser.peers import Agent, open_site
from tests.live.process import running_gateway

pytestmark = pytest.mark.slow


def test_a_web_app_of_an_allowed_origin_answers_with_the_client_of_the_gateway(page: Page) -> None:
    with (
        open_site("<!doctype html><title>App</title>") as app,
        running_gateway(*LEAVE_AT_ONCE, "--access-origins", app) as gateway,
    ):
        page.driver.get(app)
        question = Agent(gateway).ask("From your own app?")
        ack = page.run(
            """
            const { connect } = await import(given[0] + "/frontend-router.js");
            const router = connect({ url: given[0] + "/ws" });
            const question = await new Promise((resolve) => router.on("question", resolve));
            const ack = await question.answer("Yes");
            router.close();
            return ack;
            """,
            origin_of(gateway),
        )
        assert ack["status"] == "accepted"
        assert Agent(gateway).outcome(question)["answer"] == "Yes"
