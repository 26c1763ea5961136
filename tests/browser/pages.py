"""The inbox as a person meets it: what they see, and what they can do.

Nothing here waits for a fixed time; everything waits for what a person would
wait for, and says what was missing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any, Final, TypeVar, final

from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.live.process import Ports

T = TypeVar("T")

# A loaded machine is slow; nobody waits this long when all is well.
PATIENCE: Final = 30.0
_POLL: Final = 0.03

# Stands between the page and the network: remembers what went by, can be cut as
# a cable is cut (sockets end, new ones reach nobody), and can lose what comes in.
# It also remembers what became of questions: a card that says so leaves within a second,
# whether or not a test has looked by then.
LINE: Final = """
window.line = { isCut: false, isDeaf: false, sockets: [], frames: [], said: [], offered: [] };
line.verdicts = [];
new MutationObserver(() => {
  for (const { innerText } of document.querySelectorAll(".verdict"))
    if (innerText && line.verdicts.at(-1) !== innerText) line.verdicts.push(innerText);
}).observe(document, { childList: true, subtree: true });
window.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(line.isCut ? new URL("/nowhere", url) : url, protocols ?? []);
    line.sockets.push(this);
    line.offered.push(protocols ?? []);
    this.addEventListener("message", (event) => {
      line.frames.push(event.data);
      if (line.isDeaf) event.stopImmediatePropagation();
    });
  }
  send(data) {
    line.said.push(data);
    super.send(data);
  }
};
line.cut = () => { line.isCut = true; for (const socket of line.sockets) socket.close(); };
line.mend = () => { line.isCut = false; line.isDeaf = false; };
"""

# WCAG 2.2, 1.4.3: every text that can be seen, against what is behind it.
PALE_TEXTS: Final = """
const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
const brush = canvas.getContext("2d", { willReadFrequently: true });
const rgba = (colour) => {
  brush.clearRect(0, 0, 1, 1);
  brush.fillStyle = colour;
  brush.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = brush.getImageData(0, 0, 1, 1).data;
  return [red, green, blue, alpha / 255];
};
const luminance = (colour) => {
  const [red, green, blue] = colour.slice(0, 3).map((value) =>
    value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const over = (front, back) => back.map((value, i) => front[i] * front[3] + value * (1 - front[3]));
const pale = [];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !element.checkVisibility({ visibilityProperty: true })
      || element.closest(".visually-hidden, .skip")) continue;
  const around = [];
  for (let each = element; each; each = each.parentElement) around.unshift(getComputedStyle(each));
  const paint = (under, style) => over(rgba(style.backgroundColor), under);
  const back = around.reduce(paint, [255, 255, 255]);
  const front = rgba(getComputedStyle(element).color);
  front[3] *= around.reduce((opacity, style) => opacity * style.opacity, 1);
  const both = [luminance(over(front, back)), luminance(back)];
  const contrast = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  if (contrast < 4.5) pale.push([texts.currentNode.data, contrast]);
}
return pale;
"""


def origin_of(gateway: Ports) -> str:
    """Return where a gateway's inbox is."""
    return f"http://127.0.0.1:{gateway.ws_port}"


def console(driver: Chrome) -> list[str]:
    """Return what came to the console since the last call: refusals and uncaught errors."""
    entries = driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's gap
    return [
        entry["message"]
        for entry in entries
        if "Content Security Policy" in entry["message"] or entry["source"] == "javascript"
    ]


@final
class Page:
    """One tab of the browser."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self.handle = driver.current_window_handle

    def come_to_front(self) -> None:
        """Make this the tab that the following steps are about."""
        self.driver.switch_to.window(self.handle)

    def wait(self, condition: Callable[[], T | None], what: str) -> T:
        """Return what the condition returns, as soon as it is true."""
        waiting = WebDriverWait(self.driver, PATIENCE, _POLL)
        try:
            found = waiting.until(lambda _: condition())
        except TimeoutException:
            found = None
        assert found, f"waited in vain for {what}; the page says:\n{self.text()}"
        return found

    def text(self, selector: str = "body") -> str:
        """Return what can be read in an element, or nothing."""
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return str(self.driver.execute_script(script, selector))

    def all(self, selector: str) -> list[WebElement]:
        """Return the elements that are there now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """Return an element that can be seen, as soon as it can."""

        def find() -> WebElement | None:
            # What was replaced since it was found cannot be seen.
            with contextlib.suppress(StaleElementReferenceException):
                return next((item for item in self.all(selector) if item.is_displayed()), None)
            return None

        return self.wait(find, selector)

    def wait_for_text(self, text: str, selector: str = "body") -> None:
        """Wait until something can be read."""
        self.wait(lambda: text in self.text(selector), f"{text!r} in {selector}")

    def wait_until_gone(self, selector: str) -> None:
        """Wait until nothing matches."""
        self.wait(lambda: not self.all(selector), f"{selector} to go")

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the cursor is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """Return what the browser has written to its console since the last call."""
        return console(self.driver)

    def press_send(self) -> None:
        """Press Ctrl+Enter."""
        actions = ActionChains(self.driver)
        actions.key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()

    def focused(self) -> WebElement:
        """Return the element with the cursor."""
        return self.driver.switch_to.active_element

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of an async function in the page and return what it returns.

        It finds the arguments in ``given``; as JSON, for the driver sorts the keys of objects.
        """
        wrapped = f"""
            const done = arguments[arguments.length - 1];
            const given = JSON.parse(arguments[0]);
            (async () => {{ {script} }})().then(
                (value) => done({{ value }}),
                (error) => done({{ error: String(error?.stack ?? error) }}));
        """
        result = self.driver.execute_async_script(wrapped, json.dumps(arguments))
        assert "error" not in result, result["error"]
        return result.get("value")

    # -- the inbox

    def open_inbox(self, gateway: Ports) -> None:
        """Open the inbox and wait until it is connected."""
        self.driver.get(origin_of(gateway) + "/")
        self.wait_until_connected()

    def wait_until_connected(self) -> None:
        """Wait until the page says that it is connected."""
        self.one('#connection[data-state="open"]')

    def wait_for_question(self, text: str) -> None:
        """Wait until a question is the one to answer."""
        self.wait_for_text(text, ".card .question")

    def wait_for_verdict(self, text: str) -> None:
        """Wait until a card has said what became of its question; it may have left since."""

        def was_said() -> bool:
            return any(text in said for said in self.run("return line.verdicts"))

        self.wait(was_said, f"{text!r} on a card")

    def type_answer(self, answer: str) -> None:
        """Type into the answer's field."""
        self.one("#answer-text").send_keys(answer)

    def send(self) -> None:
        """Press the button that sends."""
        self.one(".answer .button.primary").click()
