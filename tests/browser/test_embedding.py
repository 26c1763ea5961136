"""Web apps of allowed origins take the client, or the inbox in a frame, from the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.browser.conftest import LEAVE_AT_ONCE
from tests.browser.keyring import Keyring
from tests.browser.pages import Page, origin_of
from tests.browser.peers import Agent, open_site
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow

_APP: Final = "<!doctype html><title>App</title>"

# An app that has the inbox in a frame: it remembers what the inbox says, and answers it
# with one token after the other.
_EMBED: Final = """
const [inbox, ...tokens] = given;
window.heard = [];
window.frame = document.createElement("iframe");
window.addEventListener("message", ({ origin, data, source }) => {
  if (source !== frame.contentWindow) return;
  heard.push([origin, data]);
  const token = tokens.shift();
  if (token) source.postMessage({ type: "frontend-router.token", token }, origin);
});
frame.src = inbox + "/";
frame.style = "width: 1100px; height: 700px";
document.body.append(frame);
"""


@contextmanager
def gateway_for(app: str, keyring: Keyring) -> Iterator[GatewayProcess]:
    """Start a gateway with credentials that lets pages of an origin in."""
    flags = ("--auth-keys", str(keyring.path), "--auth-refresh-seconds", "0.1")
    with (
        running_gateway(*LEAVE_AT_ONCE, "--access-origins", app, *flags) as gateway,
        keyring.read_by(gateway),
    ):
        yield gateway


def test_a_web_app_of_an_allowed_origin_answers_with_the_client_of_the_gateway(page: Page) -> None:
    with (
        open_site(_APP) as app,
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


def test_an_app_of_an_allowed_origin_signs_its_person_in_again_and_out(
    keyring: Keyring, page: Page
) -> None:
    first, second = keyring.create("ann"), keyring.create("ann")
    with open_site(_APP) as app, gateway_for(app, keyring) as gateway:
        agent = Agent(gateway, keyring.create("ci", "ask"))
        question = agent.ask("In a frame?")
        page.driver.get(app)
        page.run(_EMBED, origin_of(gateway), first, second)
        page.driver.switch_to.frame(0)
        page.wait_for_question("In a frame?")
        page.type_answer("Yes, ")
        page.one("#identity-button").click()
        page.wait_for_text("sign out there", "#account")
        assert not page.one("#account-user").get_attribute("hidden")
        assert not any(button.is_displayed() for button in page.all("#account-sign-out"))
        page.one("#account button[value=close]").click()
        keyring.revoke(first)
        page.wait(lambda: page.run("return line.offered.length") == 2, "the second ticket")
        page.wait_until_connected()
        assert page.run("return !document.querySelector('.sign-in:not([hidden])')")
        page.type_answer("still")
        page.press_send()
        assert agent.outcome(question)["answer"] == "Yes, still"
        page.driver.switch_to.default_content()
        ready = "frontend-router.ready"
        inbox = origin_of(gateway)
        assert page.run("return heard") == [
            [inbox, {"type": ready, "refused": False}],
            [inbox, {"type": ready, "refused": True}],
        ]
        page.run(
            "frame.contentWindow.postMessage({ type: 'frontend-router.sign-out' }, given[0])", inbox
        )
        page.wait(lambda: page.run("return heard.length") == 3, "the inbox to be ready anew")
        assert page.run("return heard[2][1]") == {"type": ready, "refused": False}


def test_a_token_may_come_at_any_time_and_only_from_the_page_around(
    keyring: Keyring, page: Page
) -> None:
    ann, eve = keyring.create("ann"), keyring.create("eve")
    with open_site(_APP) as app, open_site(_APP) as foreign, gateway_for(app, keyring) as gateway:
        page.driver.get(app)
        page.run(_EMBED, origin_of(gateway))
        page.wait(lambda: page.run("return heard.length"), "the inbox to be ready")
        # Another frame of the same app, and one of another origin, know where the inbox is.
        page.run(
            """
            const [inbox, foreign, token] = given;
            const send = `parent.frames[0].postMessage(
              { type: "frontend-router.token", token: "${token}" }, "*")`;
            for (const src of ["about:blank", foreign]) {
              const other = document.createElement("iframe");
              other.src = src;
              const loaded = new Promise((resolve) => (other.onload = resolve));
              document.body.append(other);
              await loaded;
              if (src === "about:blank") other.contentWindow.eval(send);
            }
            """,
            origin_of(gateway),
            foreign,
            eve,
        )
        page.driver.switch_to.frame(2)
        page.run(
            """
            parent.frames[0].postMessage({ type: "frontend-router.token", token: given[0] }, "*");
            """,
            eve,
        )
        page.driver.switch_to.default_content()
        page.driver.switch_to.frame(0)
        # Nobody who may has said anything: the person is asked.
        page.one("#sign-in-token")
        assert page.run("return line.offered") == []
        page.driver.switch_to.default_content()
        page.run(
            """
            const message = { type: "frontend-router.token", token: given[1] };
            frame.contentWindow.postMessage({ ...message, type: "another" }, given[0]);
            frame.contentWindow.postMessage("words", given[0]);
            frame.contentWindow.postMessage(message, given[0]);
            """,
            origin_of(gateway),
            ann,
        )
        page.driver.switch_to.frame(0)
        page.wait_for_text("ann", "#identity-label")
        page.driver.switch_to.default_content()


def test_an_app_of_a_foreign_origin_gets_no_inbox_and_hears_nothing(
    keyring: Keyring, page: Page
) -> None:
    with (
        open_site(_APP) as allowed,
        open_site(_APP) as foreign,
        gateway_for(allowed, keyring) as gateway,
    ):
        page.driver.get(foreign)
        page.run(_EMBED, origin_of(gateway), keyring.create("ann"))
        page.wait(
            lambda: any("frame-ancestors" in said for said in page.complaints()), "the refusal"
        )
        page.driver.switch_to.frame(0)
        assert not page.all("#sign-in")
        page.driver.switch_to.default_content()
        assert page.run("return heard") == []


def test_a_page_that_opened_the_inbox_in_a_tab_is_no_page_around_it(
    keyring: Keyring, page: Page
) -> None:
    with open_site(_APP) as app, gateway_for(app, keyring) as gateway:
        page.driver.get(app)
        page.run("window.opened = open(given[0] + '/', '_blank')", origin_of(gateway))
        handle = page.driver.window_handles[-1]
        page.driver.switch_to.window(handle)
        page.one("#sign-in-token")
        page.come_to_front()
        page.run(
            """
            const message = { type: "frontend-router.token", token: given[1] };
            opened.postMessage(message, given[0]);
            """,
            origin_of(gateway),
            keyring.create("ann"),
        )
        page.driver.switch_to.window(handle)
        assert page.text("#identity-label") == ""
        page.one("#sign-in-token")
        page.come_to_front()
