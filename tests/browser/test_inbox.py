"""The inbox in a real browser, against a real gateway: an agent asks, a person answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from selenium.webdriver.common.keys import Keys

from haproxy.redis_node import free_port
from tests.browser.conftest import LEAVE_AT_ONCE
from tests.browser.pages import PALE_TEXTS, PATIENCE, Page
from tests.browser.peers import Agent
from tests.live.process import GatewayProcess, running_gateway

pytestmark = pytest.mark.slow


def test_an_answer_typed_in_the_browser_comes_back_to_the_waiting_agent(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    with ThreadPoolExecutor(1) as waiting:
        call = waiting.submit(agent.call, "ask_user", question="What colour is the sky?")
        page.wait_for_question("What colour is the sky?")
        page.type_answer("Blue & <b>bright</b>,\ntoday")
        page.press_send()
        result = call.result(timeout=PATIENCE)
    assert result["content"] == [{"type": "text", "text": "Blue & <b>bright</b>,\ntoday"}]
    page.wait_until_gone(".card")


def test_a_choice_is_made_with_its_number_and_enter(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    choices = ["ship", {"value": "wait", "label": "Wait", "description": "Until Monday"}]
    question = agent.ask("Ship it?", choices=choices)
    page.wait_for_text("Until Monday", ".choices")
    page.press("2")
    assert page.focused().get_attribute("value") == "wait"
    page.press(Keys.ENTER)
    assert agent.outcome(question)["answer"] == "wait"


def test_a_choice_is_made_with_a_click(gateway: GatewayProcess, agent: Agent, page: Page) -> None:
    page.open_inbox(gateway)
    question = agent.ask("Ship it?", choices=["ship", "wait"])
    page.one(".choice[value=ship]").click()
    assert agent.outcome(question)["answer"] == "ship"


def test_after_an_answer_the_next_question_is_there_with_the_cursor_in_it(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    first, second = agent.ask("The first?"), agent.ask("The second?")
    page.open_inbox(gateway)
    page.wait_for_question("The first?")
    page.type_answer("1")
    page.press_send()
    page.wait_for_question("The second?")
    page.wait(lambda: page.focused().get_attribute("id") == "answer-text", "the cursor")
    assert agent.outcome(first)["answer"] == "1"
    page.press("2")
    page.press_send()
    assert agent.outcome(second)["answer"] == "2"


def test_a_question_that_arrives_does_not_take_the_place_of_another(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    agent.ask("The one before my eyes?")
    page.wait_for_question("before my eyes")
    page.type_answer("half an ans")
    agent.ask("A later one?")
    page.wait_for_text("2", "#waiting-count")
    page.press("wer")
    assert page.one("#answer-text").get_attribute("value") == "half an answer"


def test_declining_tells_the_agent_why(gateway: GatewayProcess, agent: Agent, page: Page) -> None:
    page.open_inbox(gateway)
    question = agent.ask("Delete everything?")
    page.wait_for_question("Delete everything?")
    page.press("x")
    page.one("#refusal-reason").send_keys("Not without a backup")
    page.press_send()
    page.wait_for_verdict("Declined")
    assert agent.outcome(question)["state"] == "rejected"


def test_nothing_is_sent_when_nothing_was_typed(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    agent.ask("Anything?")
    page.wait_for_question("Anything?")
    page.send()
    page.wait_for_text("Type an answer first", ".card")
    assert not any('"user_response"' in said for said in page.run("return line.said"))


def test_what_another_tab_answered_is_shown_and_the_typed_text_is_kept(
    gateway: GatewayProcess, agent: Agent, page: Page, other_page: Page
) -> None:
    page.open_inbox(gateway)
    other_page.come_to_front()
    other_page.open_inbox(gateway)
    other_page.one("#identity-button").click()
    other_page.one("#identity-user").send_keys("ada", Keys.ENTER)
    other_page.wait_until_connected()
    agent.ask("Who is first?")
    page.come_to_front()
    page.wait_for_question("Who is first?")
    page.type_answer("I was about to say")
    other_page.come_to_front()
    other_page.wait_for_question("Who is first?")
    other_page.type_answer("Me")
    other_page.press_send()
    other_page.wait_for_verdict("Answer sent")
    page.come_to_front()
    page.wait_for_verdict("Answered by ada")
    assert page.one("#answer-text").get_attribute("value") == "I was about to say"
    page.one(".verdict .button:last-child").click()
    page.wait_until_gone(".card")


def test_a_question_nobody_touched_leaves_by_itself_when_another_tab_answered(
    gateway: GatewayProcess, agent: Agent, page: Page, other_page: Page
) -> None:
    page.open_inbox(gateway)
    other_page.come_to_front()
    other_page.open_inbox(gateway)
    agent.ask("Anybody?")
    other_page.wait_for_question("Anybody?")
    other_page.type_answer("Me")
    other_page.press_send()
    page.come_to_front()
    page.wait_for_verdict("Answered by")
    page.wait_until_gone(".card")


def test_what_the_agent_takes_back_and_what_times_out_is_said(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    question = agent.ask("Still needed?")
    page.wait_for_question("Still needed?")
    agent.take_back(question)
    page.wait_for_verdict("Withdrawn by the agent")
    page.press(Keys.ENTER)
    page.wait_until_gone(".card")
    agent.ask("Quick?", timeout_seconds=3)
    page.wait_for_verdict("Time ran out")


def test_a_draft_survives_a_reload(gateway: GatewayProcess, agent: Agent, page: Page) -> None:
    page.open_inbox(gateway)
    agent.ask("A long one?")
    page.wait_for_question("A long one?")
    page.type_answer("half of what I want to say")
    page.driver.refresh()
    page.wait_for_question("A long one?")
    assert page.one("#answer-text").get_attribute("value") == "half of what I want to say"


def test_a_draft_comes_back_from_the_gateway_when_the_browser_has_forgotten_it(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    agent.ask("A long one?")
    page.wait_for_question("A long one?")
    page.type_answer("kept elsewhere")
    # Not the beginning of it, which is sent when somebody types slowly.
    whole = "return line.said.some((m) => m.includes('\"draft\"') && m.includes(given[0]))"
    page.wait(lambda: page.run(whole, "kept elsewhere"), "the draft")
    page.driver.execute_script("localStorage.clear()")
    page.driver.refresh()
    page.wait_for_question("A long one?")
    assert page.one("#answer-text").get_attribute("value") == "kept elsewhere"


def test_an_answer_given_while_the_line_is_down_is_sent_when_it_is_back(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    question = agent.ask("Can you hear me?")
    page.wait_for_question("Can you hear me?")
    page.run("line.cut()")
    page.one('#connection[data-state="waiting"]')
    page.type_answer("Now I can")
    page.press_send()
    page.wait_for_text("No connection right now", ".card .status")
    page.one("#banner")
    page.run("line.mend()")
    assert agent.outcome(question)["answer"] == "Now I can"
    page.wait_for_verdict("Answer sent")


def test_an_answer_that_went_out_into_a_dying_line_cannot_be_changed(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    question = agent.ask("May it run?", choices=["approve", "reject"])
    page.wait_for_question("May it run?")
    # What is said now is lost on the way, and the line with it.
    page.run("line.sockets.at(-1).send = () => {}")
    page.one(".choice[value=approve]").click()
    page.wait_for_text("Your answer is on its way", ".card .status")
    page.run("line.cut()")
    page.one('#connection[data-state="waiting"]')
    assert "Your answer is on its way" in page.text(".card .status")
    assert not any(choice.is_enabled() for choice in page.all(".answer button"))
    page.press("x")
    assert not any(form.is_displayed() for form in page.all(".refusal"))
    page.run("line.mend()")
    assert agent.outcome(question)["answer"] == "approve"
    page.wait_for_verdict("Answer sent")


def test_a_restarted_gateway_is_found_again_and_what_it_forgot_is_said(page: Page) -> None:
    # None of those that are given to connections: nobody else may have them between the two.
    ports = ("--ws-port", str(free_port()), "--mcp-port", str(free_port()))
    with running_gateway(*LEAVE_AT_ONCE, *ports) as gateway:
        page.open_inbox(gateway)
        Agent(gateway).ask("Asked before the restart?")
        page.wait_for_question("before the restart")
    page.one('#connection:not([data-state="open"])')
    with running_gateway(*LEAVE_AT_ONCE, *ports) as gateway:
        agent = Agent(gateway)
        page.wait_until_connected()
        page.wait_for_verdict("Closed while you were offline")
        question = agent.ask("Asked after it?")
        page.wait_for_question("Asked after it?")
        page.type_answer("Yes")
        page.press_send()
        assert agent.outcome(question)["answer"] == "Yes"


def test_a_form_is_checked_before_it_is_sent_and_arrives_as_its_schema_says(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "title": "Name", "minLength": 2, "maxLength": 40},
            "size": {"type": "integer", "minimum": 10, "maximum": 500, "default": 50},
            "ratio": {"type": "number", "exclusiveMinimum": 0},
            "region": {
                "oneOf": [{"const": "eu", "title": "Europe"}, {"const": "us", "title": "US"}]
            },
            "kind": {"type": "string", "enum": list("abcdefgh")},
            "backups": {"type": "boolean", "default": True},
            "parts": {
                "type": "array",
                "items": {"type": "string", "enum": ["x", "y"]},
                "minItems": 1,
            },
            "mail": {"type": "string", "format": "email"},
            "day": {"type": "string", "format": "date"},
        },
        "required": ["name", "size", "region", "parts"],
    }
    page.open_inbox(gateway)
    question = agent.ask("Set up the database", schema=schema)
    page.one(".answer input")
    page.send()
    page.wait_for_text("This is needed.", ".answer")
    wrong = [problem.text for problem in page.all(".problem") if problem.text]
    assert wrong == ["This is needed."] * 3
    assert page.focused().get_attribute("aria-invalid") == "true"
    inputs = {
        label.text.split()[0]: page.one(f"[id='{label.get_attribute('for')}']")
        for label in page.all(".answer label[for]")
    }
    inputs["Name"].send_keys("A")
    inputs["Size"].send_keys("1")
    inputs["Mail"].send_keys("nowhere")
    page.all(".pick")[0].click()
    page.all(".pick input[type=checkbox]")[1].click()
    page.send()
    wrong = [problem.text for problem in page.all(".problem") if problem.text]
    assert wrong == [
        "At least 2 characters; this has 1.",
        "At most 500.",
        "An e-mail address, like ada@example.com.",
    ]
    inputs["Size"].send_keys(Keys.BACKSPACE)
    inputs["Name"].send_keys("da")
    inputs["Mail"].send_keys("@example.com")
    inputs["Kind"].send_keys("c")
    inputs["Ratio"].send_keys("0.5")
    page.send()
    assert agent.outcome(question)["content"] == {
        "name": "Ada",
        "size": 50,
        "ratio": 0.5,
        "region": "eu",
        "kind": "c",
        "backups": True,
        "parts": ["y"],
        "mail": "nowhere@example.com",
    }


def test_a_form_half_filled_in_survives_a_reload(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    properties = {
        "name": {"type": "string"},
        "sure": {"type": "boolean"},
        "tier": {"type": "string", "enum": ["a", "b"]},
    }
    page.open_inbox(gateway)
    question = agent.ask("Fill in", schema={"type": "object", "properties": properties})
    page.one(".answer textarea").send_keys("Ada")
    page.one(".switch").click()
    page.all(".pick")[1].click()
    page.driver.refresh()
    page.one(".answer textarea")
    page.send()
    assert agent.outcome(question)["content"] == {"name": "Ada", "sure": True, "tier": "b"}


def test_what_the_gateway_refuses_is_said_on_the_card_and_can_be_corrected(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    # A pattern that the page leaves to the gateway: groups that repeat may take forever.
    schema = {"type": "object", "properties": {"code": {"type": "string", "pattern": "^(ab)+$"}}}
    page.open_inbox(gateway)
    question = agent.ask("Which code?", schema=schema)
    page.one(".answer input").send_keys("ba")
    page.send()
    page.wait_for_text("code", ".card .status")
    field = page.one(".answer input")
    assert field.get_attribute("value") == "ba"
    field.clear()
    field.send_keys("abab")
    page.send()
    assert agent.outcome(question)["content"] == {"code": "abab"}


def test_markup_in_a_question_is_text(gateway: GatewayProcess, agent: Agent, page: Page) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    page.open_inbox(gateway)
    agent.ask(evil, context=evil, choices=[{"value": evil, "label": evil, "description": evil}])
    page.wait_for_text("onerror", ".card .question")
    assert page.text(".card .question") == evil
    assert not page.all("main img, main script")
    assert "owned" not in page.driver.title


def test_a_notification_is_shown_and_asks_for_nothing(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    agent.call("notify_user", message="The build is green.", title="Nightly", level="success")
    page.wait_for_text("The build is green.", '.toast[data-level="success"]')
    page.one(".toast button").click()
    page.wait_until_gone(".toast")


def test_the_title_counts_what_waits(gateway: GatewayProcess, agent: Agent, page: Page) -> None:
    page.open_inbox(gateway)
    questions = [agent.ask(f"Number {number}?") for number in range(3)]
    page.wait(lambda: page.driver.title == "(3) Inbox", "the count")
    for question in questions:
        agent.take_back(question)
    page.wait(lambda: page.driver.title == "Inbox", "no count")


def test_a_thousand_questions_are_a_screenful_of_rows(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.open_inbox(gateway)
    for number in range(1000):
        agent.ask(f"Number {number}?")
    page.wait_for_text("1,000", "#waiting-count")
    assert len(page.all(".row")) < 40
    page.driver.execute_script("document.getElementById('waiting').scrollTop = 1e9")
    page.wait_for_text("Number 999?", "#waiting")
    assert len(page.all(".row")) < 40


def test_everything_can_be_done_with_the_keyboard(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    first, second = agent.ask("The first?"), agent.ask("The second?")
    page.open_inbox(gateway)
    page.wait_for_question("The first?")
    page.press("j")
    page.wait_for_question("The second?")
    page.press("k")
    page.wait_for_question("The first?")
    page.press(Keys.ARROW_DOWN)
    page.press(Keys.ENTER)
    page.press("two")
    page.press_send()
    assert agent.outcome(second)["answer"] == "two"
    page.wait_for_question("The first?")
    page.press(Keys.ESCAPE, "?")
    page.wait_for_text("Keyboard shortcuts", "dialog[open]")
    page.press(Keys.ESCAPE)
    page.wait_until_gone("dialog[open]")
    page.press("h")
    page.wait_for_text("The second?", "#history")
    agent.take_back(first)


def test_an_empty_inbox_tells_how_to_point_an_agent_at_this_gateway(
    gateway: GatewayProcess, page: Page
) -> None:
    page.open_inbox(gateway)
    page.wait_for_text(f"http://127.0.0.1:{gateway.mcp_port}/mcp", "#welcome")


def test_the_page_fits_a_phone(gateway: GatewayProcess, agent: Agent, page: Page) -> None:
    phone = {"width": 360, "height": 720, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    agent.ask("One " + "very-long-word" * 30)
    question = agent.ask("Two?", choices=["yes " * 30, "no"], context="x" * 400)
    page.open_inbox(gateway)
    page.wait_for_text("All 2 questions", "#back-button")
    wide = "return document.documentElement.scrollWidth > innerWidth"
    assert not page.driver.execute_script(wide)
    page.one("#back-button").click()
    page.one(".row")
    assert not page.driver.execute_script(wide)
    page.all(".row")[1].click()
    page.one(".choice[value=no]")
    assert not page.driver.execute_script(wide)
    assert not any(tab.is_displayed() for tab in page.all(".tab"))
    page.one(".choice[value=no]").click()
    assert agent.outcome(question)["answer"] == "no"


def test_only_what_is_in_sight_counts_as_seen(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    first, second = agent.ask("The first?"), agent.ask("The second?")
    page.open_inbox(gateway)
    page.wait_for_question("The first?")
    seen = """
        return line.said.map((said) => JSON.parse(said))
          .filter((said) => said.type === "seen").map((said) => said.request_id);
    """
    page.wait(lambda: page.run(seen) == [first], "the first to be seen")
    page.press("j")
    page.wait(lambda: page.run(seen) == [first, second], "the second to be seen")


# Takes the place of the desktop: it grants what it is asked for, and remembers.
_DESKTOP = """
window.desktop = { asked: 0, shown: [] };
window.Notification = class {
  static permission = "default";
  static async requestPermission() {
    desktop.asked += 1;
    return (Notification.permission = "granted");
  }
  constructor(title, options) {
    desktop.shown.push([title, options.body]);
  }
  close() {}
};
Object.defineProperty(document, "hidden", { get: () => window.isHidden ?? false });
"""


def test_the_desktop_is_asked_for_permission_on_a_click_and_told_of_questions_out_of_sight(
    gateway: GatewayProcess, agent: Agent, page: Page
) -> None:
    page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _DESKTOP})
    page.open_inbox(gateway)
    agent.ask("In sight?")
    page.wait_for_question("In sight?")
    assert page.run("return desktop") == {"asked": 0, "shown": []}
    page.one("#notify-button").click()
    page.one('#notify-button[aria-pressed="true"]')
    page.run("window.isHidden = true")
    agent.ask("Out of sight?")
    page.wait(lambda: page.run("return desktop.shown.length > 0"), "notification")
    [[_, body]] = page.run("return desktop.shown")
    assert body == "Out of sight?"


@pytest.mark.parametrize(("motion", "moves"), [("no-preference", True), ("reduce", False)])
def test_a_card_arrives_for_who_likes_motion_and_is_there_for_who_does_not(
    gateway: GatewayProcess, agent: Agent, page: Page, motion: str, moves: bool
) -> None:
    features = [{"name": "prefers-reduced-motion", "value": motion}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.open_inbox(gateway)
    page.run(
        "addEventListener('animationstart', ({ target }) => (window.moved = target.className))"
    )
    agent.ask("Moved?")
    page.wait_for_question("Moved?")
    opacity = "return getComputedStyle(document.querySelector('.card')).opacity"
    page.wait(lambda: page.run(opacity) == "1", "all of the card")
    assert page.run("return window.moved ?? ''") == ("card" if moves else "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(
    gateway: GatewayProcess, agent: Agent, page: Page, scheme: str
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.open_inbox(gateway)
    assert page.run(PALE_TEXTS) == []
    agent.ask("Which one?", choices=[{"value": "a", "description": "The first"}], context="c")
    form = {"type": "object", "properties": {"name": {"type": "string", "description": "Yours"}}}
    agent.ask("Who?", schema={**form, "required": ["name"]}, timeout_seconds=50)
    page.wait_for_question("Which one?")
    assert page.run(PALE_TEXTS) == []
    page.press("j")
    page.one(".answer textarea")
    page.send()
    page.wait_for_text("This is needed.")
    agent.call("notify_user", message="Hello", level="error")
    page.one(".toast")
    assert page.run(PALE_TEXTS) == []
    page.one(".button.quiet").click()
    page.one("#refusal-reason")
    assert page.run(PALE_TEXTS) == []
