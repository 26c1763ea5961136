"""What a page registers, by WebMCP or by our own line, a real MCP client calls."""

from __future__ import annotations

import importlib.resources
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import jsonschema_rs
import pytest
import trio
from mcp import Client

from tests.browser.conftest import LEAVE_AT_ONCE
from tests.browser.pages import Page, origin_of
from tests.browser.peers import open_site
from tests.live.process import GatewayProcess, running_gateway

pytestmark = [
    pytest.mark.slow,
    # The SDK leaves generators of its HTTP client to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*Async generator:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PATIENCE: Final = 60

# A shop: where the gateway is stands behind the "#", so that a reload finds it again.
_SHOP: Final = """<!doctype html><title>Shop</title><script type="module">
const gateway = location.hash.slice(1);
const { connect } = await import(gateway + "/frontend-router.js");
window.count = (name) => (sessionStorage[name] = Number(sessionStorage[name] ?? 0) + 1);
window.heard = [];
window.router = connect({ url: gateway + "/ws", user: "ann", tools: "shop" });
router.on("tools", (offered) => (window.offered = offered));
const item = { type: "object", properties: { item: { type: "string" } }, required: ["item"] };
navigator.modelContext.registerTool({
  name: "add.to.cart",
  description: "Puts an item into the cart",
  inputSchema: item,
  async execute({ item }, agent) {
    count("added");
    agent.progress(1, 2, "looking for it");
    if (item === "for ever") {
      agent.signal.addEventListener("abort", () => heard.push("aborted"));
      await new Promise(() => {});
    }
    if (item === "nothing") throw new Error("We have no such thing.");
    return { content: [{ type: "text", text: `${item} is in the cart` }] };
  },
});
const slow = (again) => async ({ item }) => {
  count(again);
  while (!sessionStorage.go) await new Promise((resolve) => setTimeout(resolve, 20));
  return { item, times: Number(sessionStorage[again]) };
};
document.modelContext.registerTool({
  name: "look",
  description: "Looks an item up",
  annotations: { readOnlyHint: true },
  inputSchema: item,
  execute: slow("looked"),
});
document.modelContext.registerTool({
  name: "buy",
  description: "Buys an item",
  inputSchema: item,
  execute: slow("bought"),
});
document.modelContext.registerTool({
  name: "order",
  description: "Orders an item",
  inputSchema: item,
  execute: slow("ordered"),
  resume: async ({ item }, { callId }) =>
    ({ item, resumed: callId.length >= 32, times: Number(sessionStorage.ordered) }),
});
</script>"""
NAMES: Final = {"shop.add_to_cart", "shop.look", "shop.buy", "shop.order"}

# A browser that has WebMCP: it checks what pages register, and keeps it.
_NATIVE: Final = """
window.kept = new Map();
class ModelContext {
  registerTool(tool) {
    if (kept.has(tool.name)) throw new DOMException("there is one already", "InvalidStateError");
    kept.set(tool.name, tool);
  }
  unregisterTool(name) { kept.delete(name); }
}
const context = new ModelContext();
for (const { prototype } of [Navigator, Document])
  Object.defineProperty(prototype, "modelContext", { get: () => context, configurable: true });
"""


class Shop(NamedTuple):
    """Where the shop is, and the gateway at which it offers its tools."""

    url: str
    gateway: GatewayProcess


@pytest.fixture(scope="module")
def site() -> Iterator[Shop]:
    with (
        open_site(_SHOP) as app,
        running_gateway(*LEAVE_AT_ONCE, "--access-origins", app) as gateway,
    ):
        yield Shop(f"{app}/#{origin_of(gateway)}", gateway)


def opened(page: Page, site: Shop) -> GatewayProcess:
    """Open the shop; return the gateway at which its tools are offered now."""
    page.driver.get(site.url)
    page.wait(lambda: page.run("return window.offered?.names.length"), "tools to be offered")
    return site.gateway


def with_client(gateway: GatewayProcess, step: Callable[[Client], Any]) -> Any:
    """Do a step with a real MCP client; return what came of it."""

    async def run() -> Any:
        with trio.fail_after(PATIENCE):
            async with Client(f"http://127.0.0.1:{gateway.mcp_port}/mcp") as client:
                return await step(client)

    return trio.run(run)


def call(gateway: GatewayProcess, tool: str, **arguments: Any) -> Any:
    return with_client(gateway, lambda client: client.call_tool(tool, arguments))


def give_up(page: Page, gateway: GatewayProcess) -> None:
    """Call a tool that never ends, and leave as soon as it has begun."""
    before = int(page.run("return sessionStorage.added ?? 0"))

    def wait_until_begun() -> None:
        now = f"return Number(sessionStorage.added ?? 0) > {before}"
        page.wait(lambda: page.run(now), "the call to begin")

    async def step(client: Client) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.call_tool, "shop.add_to_cart", {"item": "for ever"})
            await trio.to_thread.run_sync(wait_until_begun)
            nursery.cancel_scope.cancel()

    with_client(gateway, step)


class Under:
    """A call that is under way, in a thread of its own."""

    def __init__(self, gateway: GatewayProcess, tool: str, **arguments: Any) -> None:
        self._result: list[Any] = []
        self._thread = threading.Thread(
            target=lambda: self._result.append(call(gateway, tool, **arguments))
        )
        self._thread.start()

    def result(self) -> Any:
        self._thread.join(PATIENCE)
        assert self._result, "the call has not come back"
        return self._result[0]


def listed(gateway: GatewayProcess) -> dict[str, Any]:
    found = with_client(gateway, lambda client: client.list_tools())
    return {tool.name: tool for tool in found.tools if "." in tool.name}


def words(result: Any) -> str:
    text: str = result.content[0].text
    return text


def test_what_a_page_registers_with_webmcp_is_called_by_an_agent(page: Page, site: Shop) -> None:
    gateway = opened(page, site)
    tools = listed(gateway)
    assert set(tools) == NAMES
    assert tools["shop.add_to_cart"].description == "Puts an item into the cart"
    assert tools["shop.look"].annotations.read_only_hint is True
    assert words(call(gateway, "shop.add_to_cart", item="tea")) == "tea is in the cart"
    wrong = call(gateway, "shop.add_to_cart", thing="tea")
    assert wrong.is_error
    assert '"item" is a required property' in words(wrong)
    failed = call(gateway, "shop.add_to_cart", item="nothing")
    assert failed.is_error
    assert words(failed) == "We have no such thing."
    assert page.run("return sessionStorage.added") == "2"


def test_a_page_offers_by_one_line_of_its_own_and_takes_it_back(page: Page, site: Shop) -> None:
    gateway = opened(page, site)
    page.run(
        """
        window.tools = router.offerTools("desk", { webmcp: false });
        window.remove = tools.register({
          name: "time", description: "Says the time", execute: () => "noon",
        });
        """
    )
    page.wait(lambda: set(listed(gateway)) == {"desk.time"}, "the tools of the desk")
    assert words(call(gateway, "desk.time")) == "noon"
    page.run("remove()")
    page.wait(lambda: not listed(gateway), "no tools at all")


def test_a_browser_that_has_webmcp_is_told_as_well(page: Page, site: Shop) -> None:
    page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _NATIVE})
    gateway = opened(page, site)
    assert page.run("return [...kept.keys()]") == ["add.to.cart", "look", "buy", "order"]
    assert words(call(gateway, "shop.add_to_cart", item="tea")) == "tea is in the cart"
    refused = page.run(
        """
        const again = { name: "look", description: "?", execute() {} };
        try { navigator.modelContext.registerTool(again) } catch (error) { return error.name }
        """
    )
    assert refused == "InvalidStateError"
    page.run("navigator.modelContext.unregisterTool('look')")
    page.wait(lambda: set(listed(gateway)) == NAMES - {"shop.look"}, "one tool less")


@pytest.mark.parametrize(
    ("tool", "counter", "expected"),
    [
        ("shop.look", "looked", {"item": "tea", "times": 2}),
        ("shop.order", "ordered", {"item": "tea", "resumed": True, "times": 1}),
        ("shop.buy", "bought", None),
    ],
    ids=["read-only", "resumed", "once"],
)
def test_a_page_that_reloads_does_not_run_a_call_twice_and_answers_it(
    page: Page, site: Shop, tool: str, counter: str, expected: dict[str, Any] | None
) -> None:
    gateway = opened(page, site)
    under = Under(gateway, tool, item="tea")
    page.wait(lambda: page.run(f"return sessionStorage.{counter}"), "the call to begin")
    page.run("sessionStorage.later = 1")
    page.driver.refresh()
    page.run("sessionStorage.go = 1")
    result = under.result()
    if expected is None:
        assert result.is_error
        assert "was not run again" in words(result)
        assert page.run(f"return sessionStorage.{counter}") == "1"
    else:
        assert result.structured_content == expected


def test_a_result_that_was_lost_on_the_way_arrives_after_a_reload(page: Page, site: Shop) -> None:
    gateway = opened(page, site)
    under = Under(gateway, "shop.buy", item="tea")
    page.wait(lambda: page.run("return sessionStorage.bought"), "the call to begin")
    # The cable is cut, the tool ends, and the page is loaded anew.
    page.run(
        """
        line.cut();
        sessionStorage.go = 1;
        const key = Object.keys(sessionStorage).find((key) => key.endsWith("#calls"));
        while (!sessionStorage[key].includes("structuredContent"))
          await new Promise((resolve) => setTimeout(resolve, 20));
        """
    )
    page.driver.refresh()
    assert under.result().structured_content == {"item": "tea", "times": 1}
    assert page.run("return sessionStorage.bought") == "1"


def duplicated(page: Page, other: Page, site: Shop) -> None:
    """Open the shop in a second tab, as a duplicate of the first: with its id."""
    kept = page.run(
        """
        const isId = ([key]) => /^frontend-router:[^#]*$/.test(key);
        return Object.entries(sessionStorage).filter(isId);
        """
    )
    copy = f"for (const [key, id] of {json.dumps(kept)}) sessionStorage.setItem(key, id);"
    other.come_to_front()
    other.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": copy})
    opened(other, site)
    assert other.run("return router.frontendId") == kept[0][1]
    page.come_to_front()


def test_a_duplicated_tab_that_is_back_first_does_not_run_the_call_of_the_other(
    page: Page, other_page: Page, site: Shop
) -> None:
    gateway = opened(page, site)
    under = Under(gateway, "shop.buy", item="tea")
    page.wait(lambda: page.run("return sessionStorage.bought"), "the call to begin")
    duplicated(page, other_page, site)
    page.run("line.cut()")
    other_page.come_to_front()
    is_shown = "return line.frames.some((frame) => frame.includes('tool_call'))"
    other_page.wait(lambda: other_page.run(is_shown), "the call to be shown to the other tab")
    # The tool ends where it runs, and what it returned waits for the line.
    page.come_to_front()
    page.run(
        """
        sessionStorage.go = 1;
        const key = Object.keys(sessionStorage).find((key) => key.endsWith("#calls"));
        while (!sessionStorage[key].includes("structuredContent"))
          await new Promise((resolve) => setTimeout(resolve, 20));
        line.mend();
        router.reconnect();
        """
    )
    assert under.result().structured_content == {"item": "tea", "times": 1}
    # Nothing is left of it, neither here nor there.
    notes = "return Object.keys(localStorage).filter((key) => key.includes('#calls')).length"
    page.wait(lambda: page.run(notes) == 0, "the note of the call to go")
    other_page.come_to_front()
    is_over = "return line.frames.some((frame) => frame.includes('tool_cancel'))"
    other_page.wait(lambda: other_page.run(is_over), "the other tab to hear that it has ended")
    locks = "return (await navigator.locks.query()).held.length"
    other_page.wait(lambda: other_page.run(locks) == 0, "the call's lock to go")
    assert other_page.run("return sessionStorage.bought ?? 0") == 0


def test_a_duplicated_tab_does_not_run_the_call_of_one_that_was_closed(
    page: Page, other_page: Page, site: Shop
) -> None:
    gateway = opened(page, site)
    under = Under(gateway, "shop.buy", item="tea")
    page.wait(lambda: page.run("return sessionStorage.bought"), "the call to begin")
    duplicated(page, other_page, site)
    other_page.come_to_front()
    other_page.run("sessionStorage.go = 1")
    page.come_to_front()
    page.driver.get("about:blank")
    result = under.result()
    assert result.is_error
    assert "was not run again" in words(result)
    other_page.come_to_front()
    assert other_page.run("return sessionStorage.bought ?? 0") == 0


def test_a_page_hears_that_nobody_waits_and_agents_that_it_has_gone(page: Page, site: Shop) -> None:
    gateway = opened(page, site)

    give_up(page, gateway)
    page.wait(lambda: page.run("return heard[0]") == "aborted", "the tool to hear of it")
    page.driver.get("about:blank")
    page.wait(lambda: not listed(gateway), "the tools to go")


def test_the_inbox_has_tools_when_its_person_lets_agents_use_them(page: Page, site: Shop) -> None:
    gateway = site.gateway
    page.open_inbox(gateway)
    assert not listed(gateway)
    page.one("#page-tools").click()
    page.wait_for_text("They find inbox.status and inbox.set_theme.", "#page-tools-said")
    assert set(listed(gateway)) == {"inbox.status", "inbox.set_theme"}
    assert call(gateway, "inbox.status").structured_content["waiting"] == 0
    for theme in ("dark", "light"):
        assert words(call(gateway, "inbox.set_theme", theme=theme)) == f"The inbox is {theme} now."
        assert call(gateway, "inbox.status").structured_content["theme"] == theme
        assert page.run("return document.documentElement.dataset.theme ?? 'light'") == theme
    # It is this tab's choice, and survives a reload of it.
    page.driver.refresh()
    page.wait_for_text("They find inbox.status", "#page-tools-said")
    page.one("#page-tools").click()
    page.wait(lambda: not listed(gateway), "the tools to go")
    assert page.text("#page-tools-said") == ""


def test_every_message_about_tools_is_as_the_schema_says(page: Page, site: Shop) -> None:
    source = importlib.resources.files("gateway.frontends").joinpath("protocol.schema.json")
    schema = json.loads(source.read_text())
    gateway = opened(page, site)
    page.run(
        """
        const tool = { description: "x", execute: () => ({ is: "there" }) };
        const { modelContext } = navigator;
        modelContext.registerTool({ ...tool, name: "see", outputSchema: { type: "object" } });
        modelContext.registerTool({ ...tool, name: "refused", inputSchema: { type: "array" } });
        """
    )
    page.wait(lambda: page.run("return offered.refused.length"), "a tool to be refused")
    call(gateway, "shop.see")
    call(gateway, "shop.add_to_cart", item="tea")

    give_up(page, gateway)
    page.wait(lambda: page.run("return heard[0]") == "aborted", "the tool to hear of it")
    for where, kinds in (
        ("to_gateway", {"connect", "register_tools", "tool_progress", "tool_result"}),
        (
            "from_gateway",
            {"connect_ack", "tools_registered", "tool_call", "tool_cancel", "tool_ack"},
        ),
    ):
        validator = jsonschema_rs.validator_for({**schema, "anyOf": [{"$ref": f"#/$defs/{where}"}]})
        said = page.run("return " + ("line.said" if where == "to_gateway" else "line.frames"))
        messages = [json.loads(message) for message in said]
        assert {message["type"] for message in messages} == kinds
        for message in messages:
            validator.validate(message)
