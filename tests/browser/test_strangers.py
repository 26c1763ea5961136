"""Pages of other origins in a real browser get nowhere, whatever they try."""

from __future__ import annotations

import pytest

from tests.browser.pages import Page, origin_of
from tests.browser.peers import Agent, open_site
from tests.live.process import GatewayProcess

pytestmark = pytest.mark.slow

# What a page can try: a WebSocket, a request it may read, one it may not.
_TRY = """
const [origin, mcp] = given;
const socket = (url, protocols) => new Promise((resolve) => {
  const opened = new WebSocket(url, protocols);
  opened.onopen = () => resolve("open");
  opened.onclose = (event) => resolve(event.code);
});
const request = (url, options) =>
  fetch(url, options).then((response) => response.status, () => "refused");
const headers = { "Content-Type": "application/json" };
const question = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call",
  params: { name: "ask_user", arguments: { question: "From a stranger?", wait: "return" } } });
return {
  socket: await socket(origin.replace("http", "ws") + "/ws", []),
  subprotocol: await socket(origin.replace("http", "ws") + "/ws", ["frontend-router.v1"]),
  page: await request(origin + "/config.json"),
  json: await request(mcp, { method: "POST", body: question, headers }),
  simple: await request(mcp, { method: "POST", body: question, mode: "no-cors" }),
  frames: line.frames.length,
};
"""


def test_a_page_of_another_origin_gets_no_socket_and_no_answer(
    gateway: GatewayProcess, agent: Agent, page: Page, other_page: Page
) -> None:
    page.open_inbox(gateway)
    agent.ask("For my eyes only?")
    other_page.come_to_front()
    with open_site("<!doctype html><title>Stranger</title>") as stranger:
        other_page.driver.get(stranger)
        mcp = f"http://127.0.0.1:{gateway.mcp_port}/mcp"
        result = other_page.run(_TRY, origin_of(gateway), mcp)
    # A request that may not be read is sent all the same; no-cors hides its
    # refusal behind status 0. What counts is that nobody was asked.
    simple = result.pop("simple")
    assert simple in (0, "refused")
    assert result == {
        "socket": 1006,
        "subprotocol": 1006,
        "page": "refused",
        "json": "refused",
        "frames": 0,
    }
    # What the browser says to the stranger's attempts is no fault of ours.
    assert all("'Access-Control-Allow-Origin'" in complaint for complaint in page.complaints())
    page.come_to_front()
    page.wait_for_text("1", "#waiting-count")
    assert "From a stranger?" not in page.text()


def test_a_page_whose_name_was_rebound_to_this_machine_is_not_served(
    gateway: GatewayProcess, page: Page
) -> None:
    page.driver.get(f"http://rebound.example:{gateway.ws_port}/")
    assert not page.all("#waiting")
    with open_site("<!doctype html><title>Stranger</title>") as stranger:
        page.driver.get(stranger.replace("127.0.0.1", "rebound.example"))
        opened = page.run(
            """
            const socket = new WebSocket(given[0]);
            return new Promise((resolve) => {
              socket.onopen = () => resolve("open");
              socket.onclose = (event) => resolve(event.code);
            });
            """,
            f"ws://rebound.example:{gateway.ws_port}/ws",
        )
    assert opened == 1006


def test_the_inbox_cannot_be_framed(gateway: GatewayProcess, page: Page) -> None:
    with open_site(f'<!doctype html><iframe src="{origin_of(gateway)}/"></iframe>') as stranger:
        page.driver.get(stranger)
        page.driver.switch_to.frame(0)
        assert not page.all("#waiting")
        page.driver.switch_to.default_content()
        page.wait(
            lambda: any("frame-ancestors" in said for said in page.complaints()), "the refusal"
        )
