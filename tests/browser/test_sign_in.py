"""A person signs in at the inbox, in a real browser; nothing but the gateway sees their key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.keyring import Keyring
from tests.browser.pages import PALE_TEXTS, Page, origin_of
from tests.browser.peers import Agent
from tests.live.process import GatewayProcess

pytestmark = pytest.mark.slow

# Everything of a page that other pages, extensions, people or programs may come to see.
_IN_SIGHT: Final = """
const attributes = [...document.querySelectorAll("*")].flatMap((element) =>
  [...element.attributes].map(({ name, value }) => `${name}=${value}`));
return JSON.stringify([
  attributes,
  document.documentElement.outerHTML,
  document.documentElement.textContent,
  [...document.querySelectorAll("input, textarea")].map((field) => field.value),
  Object.entries(localStorage), Object.entries(sessionStorage),
  document.cookie, window.name, location.href, document.title, document.referrer,
  JSON.stringify(history.state), (await indexedDB.databases()), (await caches.keys()),
  performance.getEntries().map((entry) => entry.name),
  Object.values(window).filter((value) => typeof value === "string"),
  line.said, line.frames, line.sockets.map((socket) => socket.url),
]);
"""


@pytest.fixture
def asker(guarded: GatewayProcess, keyring: Keyring) -> Iterator[Agent]:
    """A caller who may ask."""
    caller = Agent(guarded, keyring.create("ci", "ask"))
    yield caller
    caller.leave()


def paste(page: Page, key: str) -> None:
    """Paste a key into the panel and press Enter."""
    page.one("#sign-in-token").send_keys(key, Keys.ENTER)


def sign_in(page: Page, gateway: GatewayProcess, key: str) -> None:
    """Open the inbox and sign in."""
    page.driver.get(origin_of(gateway) + "/")
    paste(page, key)
    page.wait_until_connected()
    page.wait(lambda: not page.one("#panes").get_attribute("hidden"), "the questions")


def test_a_person_signs_in_sees_a_question_and_answers_it(
    guarded: GatewayProcess, keyring: Keyring, asker: Agent, page: Page
) -> None:
    question = asker.ask("Who are you?")
    page.driver.get(origin_of(guarded) + "/")
    page.one("#sign-in-token")
    page.wait(lambda: page.focused().get_attribute("id") == "sign-in-token", "the cursor")
    assert "Who are you?" not in page.text()
    paste(page, keyring.create("ann", group="support"))
    page.wait_for_question("Who are you?")
    assert page.text("#identity-label") == "ann"
    page.type_answer("Ann")
    page.press_send()
    assert asker.outcome(question)["answer"] == "Ann"
    page.one("#identity-button").click()
    page.wait_for_text("ann", "#account-user")
    assert page.text("#account-groups") == "support"


def test_a_wrong_key_is_said_to_be_wrong_and_another_one_may_be_pasted(
    guarded: GatewayProcess, keyring: Keyring, page: Page
) -> None:
    page.driver.get(origin_of(guarded) + "/")
    page.one("#sign-in-button").click()
    page.wait_for_text("Paste an API key or an access token first", "#sign-in-problem")
    paste(page, "fr_0123456789abcdef_" + "x" * 43)
    page.wait_for_text("mistyped, revoked or expired", "#sign-in-problem")
    assert page.one("#sign-in-token").get_attribute("value") == ""
    assert page.one("#sign-in-token").get_attribute("aria-invalid") == "true"
    paste(page, "not even a key")
    page.wait_for_text("those are one word", "#sign-in-problem")
    paste(page, keyring.create("ci", "ask"))
    page.wait_for_text("does not have the scope answer", "#sign-in-problem")
    # As people copy it from a header.
    paste(page, f"  Bearer {keyring.create('ann')} ")
    page.wait_until_connected()
    page.wait_for_text("ann", "#identity-label")
    assert not page.all("#sign-in:not([hidden])")


def test_a_key_that_is_revoked_brings_the_panel_back_and_the_draft_survives(
    guarded: GatewayProcess, keyring: Keyring, asker: Agent, page: Page
) -> None:
    key = keyring.create("ann")
    question = asker.ask("A long one?")
    sign_in(page, guarded, key)
    page.wait_for_question("A long one?")
    page.type_answer("half of what I want")
    keyring.revoke(key)
    page.wait_for_text("mistyped, revoked or expired", "#sign-in-problem")
    page.wait_for_text("Sign in again", "#sign-in-title")
    page.wait_for_text("Signed out", "#connection")
    assert "A long one?" not in page.text()
    # What was being typed goes nowhere: neither into the key, nor to the hidden question.
    page.press("x")
    page.press_send()
    assert page.one("#sign-in-token").get_attribute("value") == ""
    paste(page, keyring.create("ann"))
    page.wait_for_question("A long one?")
    assert page.one("#answer-text").get_attribute("value") == "half of what I want"
    page.type_answer(" to say")
    page.press_send()
    assert asker.outcome(question)["answer"] == "half of what I want to say"


def test_who_signs_in_next_sees_nothing_of_who_was_there_before(
    guarded: GatewayProcess, keyring: Keyring, asker: Agent, page: Page
) -> None:
    key = keyring.create("ann")
    asker.ask("For anybody?")
    sign_in(page, guarded, key)
    page.wait_for_question("For anybody?")
    page.type_answer("Ann's secret")
    keyring.revoke(key)
    page.wait_for_text("Sign in again", "#sign-in-title")
    paste(page, keyring.create("ben"))
    page.wait_for_text("ben", "#identity-label")
    page.wait_for_question("For anybody?")
    assert page.one("#answer-text").get_attribute("value") == ""


def test_signing_out_forgets_the_key_and_what_was_typed(
    guarded: GatewayProcess, keyring: Keyring, asker: Agent, page: Page
) -> None:
    key = keyring.create("ann")
    asker.ask("Typed into?")
    sign_in(page, guarded, key)
    page.wait_for_question("Typed into?")
    page.type_answer("Ann's secret")
    page.one("#identity-button").click()
    page.one("#account-sign-out").click()
    page.wait_for_text("Sign in to answer", "#sign-in-title")
    sight = page.run(_IN_SIGHT)
    assert key not in sight
    assert "Ann's secret" not in sight
    paste(page, keyring.create("ben"))
    page.wait_for_text("ben", "#identity-label")
    assert "Ann's secret" not in page.run(_IN_SIGHT)


def test_a_key_is_seen_by_nobody_but_the_gateway(
    guarded: GatewayProcess, keyring: Keyring, asker: Agent, page: Page, other_page: Page
) -> None:
    key = keyring.create("ann")
    secret = key[20:]  # `fr_`, 16 digits and `_`: in what follows may be one, too
    other_page.come_to_front()
    other_page.driver.get(origin_of(guarded) + "/")
    other_page.run(
        """
        window.overheard = [];
        const hear = (event) => overheard.push([event.key, event.newValue, event.data]);
        window.addEventListener("storage", hear);
        window.addEventListener("message", hear);
        """
    )
    page.come_to_front()
    page.driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's gap
    page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _LISTEN})
    sign_in(page, guarded, key)
    asker.ask("Anything to see?")
    page.wait_for_question("Anything to see?")
    page.type_answer("No")
    # The line is cut and comes back: a second ticket.
    page.run("line.sockets[0].close()")
    page.wait(lambda: page.run("return line.offered.length") == 2, "another connection")
    page.wait_until_connected()
    page.press_send()
    page.wait_for_verdict("Answer sent")
    seen = [
        page.run(_IN_SIGHT),
        page.driver.page_source,
        json.dumps(page.driver.get_cookies()),
        json.dumps(page.driver.get_log("browser")),  # type: ignore[no-untyped-call]  # as above
        page.run("return JSON.stringify([said, line.offered])"),
        guarded.text(),
    ]
    other_page.come_to_front()
    # The second tab did hear something, or it would prove nothing.
    drafts = "return JSON.stringify(overheard).includes('frontend-router.draft')"
    other_page.wait(lambda: other_page.run(drafts), "word of a draft")
    seen += [other_page.run("return JSON.stringify(overheard)"), other_page.run(_IN_SIGHT)]
    for number, text in enumerate(seen):
        assert secret not in text, f"the key is in what was seen, number {number}"
    page.come_to_front()
    assert page.run("return shown") == [["/ticket", f"Bearer {key}"]] * 2


# What a page says to the console, and in headers.
_LISTEN: Final = """
window.said = [];
for (const way of ["log", "info", "warn", "error", "debug", "trace", "dir", "table"]) {
  const before = console[way];
  console[way] = (...words) => { said.push(words.map(String)); before(...words); };
}
window.shown = [];
const ask = window.fetch;
window.fetch = (url, options = {}) => {
  const header = new Headers(options.headers).get("Authorization");
  if (header) shown.push([new URL(url, location).pathname, header]);
  return ask(url, options);
};
"""


def test_a_gateway_that_cannot_say_now_is_waited_for_and_the_key_can_be_forgotten(
    guarded: GatewayProcess, page: Page
) -> None:
    busy: dict[str, Any] = {
        "source": """
        const ask = window.fetch;
        window.fetch = (url, options) => String(url).endsWith("/ticket")
          ? Promise.resolve(new Response('{"error": "Too many wrong credentials from here."}',
              { status: 429, headers: { "Retry-After": "20" } }))
          : ask(url, options);
        """
    }
    page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", busy)
    page.driver.get(origin_of(guarded) + "/")
    paste(page, "any")
    page.wait_for_text("Too many wrong credentials", "#sign-in-progress")
    assert not page.one("#sign-in-button").is_enabled()
    page.one("#sign-in-forget").click()
    page.wait(lambda: page.one("#sign-in-button").is_enabled(), "the panel")
    assert page.text("#sign-in-progress") == ""


def test_without_credentials_there_is_no_panel(gateway: GatewayProcess, page: Page) -> None:
    page.open_inbox(gateway)
    assert not page.one("#panes").get_attribute("hidden")
    page.one("#identity-button").click()
    page.one("#identity-user")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_the_panel_can_be_read_and_fits_a_phone(
    guarded: GatewayProcess, page: Page, scheme: str
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    phone = {"width": 360, "height": 720, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    page.driver.get(origin_of(guarded) + "/")
    page.one("#sign-in-button").click()
    page.one(".sign-in-help summary").click()
    assert page.run(PALE_TEXTS) == []
    assert not page.run("return document.documentElement.scrollWidth > innerWidth")
    # What a screen reader says of the field: its name, where it is kept, what is wrong.
    field = page.one("#sign-in-token")
    assert field.accessible_name == "API key or access token"
    assert page.one("#sign-in").aria_role == "region"
