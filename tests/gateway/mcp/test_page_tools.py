"""Tools of pages as callers list and call them, with everything real but sockets and time."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from gateway.mcp.page_tools import PageTools, register
from gateway.mcp.registry import make_cursor
from gateway.mcp.results import text as result
from gateway.offers import Settings as OfferSettings
from gateway.quotas.settings import Quota
from gateway.tool_calls import ToolCalls
from gateway.tool_catalogs import Catalogs
from gateway.tool_definitions import Settings, definition_of
from gateway.tool_offers import ToolOffers
from pool.promises import Promise
from pool.workers import Settings as WorkerSettings
from pool.workers import to_worker
from session import MemoryBus, MemoryTools
from session.errors import StoreUnavailableError, TooManyPendingError
from session.model import SCOPES
from tests.gateway.mcp.recording import ANN, META, Held, Port, Recorder, Screen, _now

NAME = "shop.look"
LOOK = {
    "name": "look",
    "description": "Looks",
    "inputSchema": {"type": "object", "properties": {"item": {"type": "string"}}},
}


class Shop:
    """A callers' port, and the pages whose tools are offered there."""

    def __init__(
        self,
        quotas: Quota | None = None,
        workers: WorkerSettings | None = None,
        **settings: Any,
    ) -> None:
        self.port = Port(quotas=quotas, workers=workers)
        port, self.tools = self.port, MemoryTools()
        self.calls = ToolCalls(port.router, MemoryBus())
        self.catalogs = Catalogs(self.tools)
        pages = self.pages = PageTools(
            Settings(**settings),
            registry=port.registry,
            router=port.router,
            calls=self.calls,
            catalogs=self.catalogs,
            tools=self.tools,
            workers=port.workers,
            timers=port.timers,
            quotas=port.quotas,
            resource="",
        )
        register(pages, port.registry)
        self.offers = ToolOffers(
            Settings(), self.tools, port._clock, "here", lambda _tenant: None, None
        )

    def page(self, frontend_id: str = "web-1", *tools: dict[str, Any], user: str = "ann") -> Screen:
        """Open a page that offers tools."""
        screen: Any = self.port.attach(Screen(frontend_id, user))
        said = [definition_of("shop", each, 99_999) for each in tools or (LOOK,)]
        _now(self.offers.put(screen, said))
        found: Screen = screen
        return found

    def leave(self, screen: Any) -> None:
        _now(self.port.router.detach(screen))
        _now(self.offers.take(screen))

    def call(self, name: str = NAME, meta: dict[str, Any] | None = None, **more: Any) -> Recorder:
        params: dict[str, Any] = {"name": name, "arguments": more}
        if meta is not None:
            params["_meta"] = {**META, **meta}
        return self.port.modern("tools/call", params)

    def finish(self, screen: Any, at: int = -1, **said: Any) -> None:
        _now(self.calls.finish(screen, screen.asked[at].id, said or {"content": []}))


def listed(response: Recorder) -> list[str]:
    return [tool["name"] for tool in response.json["result"]["tools"]]


def text(response: Recorder) -> str:
    words: str = response.reply["result"]["content"][0]["text"]
    return words


def test_tools_of_pages_are_listed_with_the_others_in_the_order_of_their_names() -> None:
    shop = Shop()
    shop.page()
    response = shop.port.modern("tools/list")
    names = listed(response)
    assert NAME in names
    assert "ask_user" in names
    assert names == sorted(names)
    # What one tenant's pages offer is for nobody else to keep.
    hints = response.json["result"]
    assert (hints["cacheScope"], hints["ttlMs"]) == ("private", 0)


def test_a_long_list_comes_in_pages_and_each_tool_once() -> None:
    shop = Shop()
    own = len(shop.port.modern("tools/list").json["result"]["tools"])
    many = [{**LOOK, "name": f"t{number}"} for number in range(2_500)]
    shop.page("web-1", *many)
    # It is made in turns, and this port has no worker.
    trio.run(shop.catalogs.of, "acme")
    names: list[str] = []
    params: dict[str, Any] = {}
    pages = 0
    while True:
        found = shop.port.modern("tools/list", params).json["result"]
        names += [tool["name"] for tool in found["tools"]]
        pages += 1
        if "nextCursor" not in found:
            break
        params = {"cursor": found["nextCursor"]}
    assert pages == 3
    assert len(names) == len(set(names)) == own + len(many)
    assert names == sorted(names)


def test_a_page_of_the_list_has_so_many_bytes() -> None:
    shop = Shop()
    big = [{**LOOK, "name": f"t{n}", "description": "x" * 90_000} for n in range(30)]
    shop.page("web-1", *big)
    response = shop.port.modern("tools/list")
    assert len(response.body) < 1_200_000
    assert "nextCursor" in response.json["result"]


def test_only_pages_that_begin_where_another_ends_are_kept() -> None:
    """Cursors can be made up: each place where a page could begin would be kept."""
    shop = Shop()
    own = [tool.name for tool in shop.port.registry.tools]
    big = [{**LOOK, "name": f"t{n:03}", "description": "x" * 90_000} for n in range(30)]
    shop.page("web-1", *big)
    names = sorted([*own, *(f"shop.t{n:03}" for n in range(30))])

    def make_up() -> None:
        for after in [*names, "a", "shop.t0005", "zzz"]:
            found = listed(shop.port.modern("tools/list", {"cursor": make_cursor(after)}))
            assert found == [name for name in names if name > after][: len(found)]

    make_up()
    whole: list[str] = []
    pages = 0
    params: dict[str, Any] = {}
    while pages == 0 or params:
        result = shop.port.modern("tools/list", params).json["result"]
        whole += [tool["name"] for tool in result["tools"]]
        pages += 1
        params = {"cursor": result["nextCursor"]} if "nextCursor" in result else {}
    assert whole == names
    make_up()
    kept = _now(shop.catalogs.of("acme")).listing.pages
    assert len(kept) == pages == 3


def test_a_cursor_of_somebody_elses_is_refused() -> None:
    response = Shop().port.modern("tools/list", {"cursor": "xx"})
    assert "none of ours" in response.json["error"]["message"]


def test_what_is_declared_is_not_shadowed() -> None:
    shop = Shop()

    async def declared(_call: Any, _arguments: Any) -> Any:
        return result("declared")

    shop.port.registry.tool(NAME, declared, description="declared")
    page = shop.page()
    assert text(shop.call()) == "declared"
    assert page.asked == []
    assert listed(shop.port.modern("tools/list")).count(NAME) == 1


def test_a_tool_that_is_declared_later_is_listed_beside_those_of_pages() -> None:
    shop = Shop()
    shop.page()

    async def declared(_call: Any, _arguments: Any) -> Any:
        raise AssertionError("nobody calls it")

    before = listed(shop.port.modern("tools/list"))
    shop.port.registry.tool("later", declared, description="x")
    assert set(listed(shop.port.modern("tools/list"))) == {*before, "later"}


def test_a_call_returns_what_the_page_returned() -> None:
    shop = Shop()
    page = shop.page()
    response = shop.call(item="tea", _target={"frontend_id": "web-1"})
    (question,) = page.asked
    assert json.loads(question.context) == {"item": "tea"}
    shop.finish(page, content=[{"type": "text", "text": "there"}])
    assert text(response) == "there"
    # A page's name for its tool is no label: there may be any number of them.
    assert shop.port.calls[-1] == ("tools/call", "page_tool", "success")
    assert shop.pages.under_way == {}
    assert shop.calls.listeners == {}
    assert shop.port.is_idle()


def test_so_many_calls_of_one_page_are_under_way() -> None:
    shop = Shop(calls=2)
    page = shop.page()
    waiting = [shop.call(), shop.call()]
    refused = shop.call()
    assert "2 calls of this page are under way" in text(refused)
    shop.finish(page, 0)
    again = shop.call()
    shop.finish(page, 1)
    shop.finish(page, 2)
    assert all(each.reply["result"]["content"] == [] for each in (*waiting, again))


@pytest.mark.parametrize("quotas", [None, Quota({"pending": 9}, {})])
def test_calls_that_come_together_are_counted_before_their_page_has_them(
    quotas: Quota | None,
) -> None:
    shop = Shop(quotas, calls=1)
    page = shop.page()
    store: Any = shop.port.store if quotas is None else shop.port.quotas
    if quotas is not None:
        # What is held here does not do: its keeper is asked first, and takes its time.
        store.tries = lambda *_arguments: False
    held = Held(store, "admit" if quotas is None else "claim")
    first = shop.call()
    assert page.asked == []
    assert "1 calls of this page are under way" in text(shop.call())
    held.go_on()
    assert len(page.asked) == 1
    shop.finish(page)
    assert first.reply["result"]["content"] == []
    assert shop.pages.under_way == {}
    assert not shop.call().complete


@pytest.mark.parametrize("era", ["modern", "2025-11-25"])
@pytest.mark.parametrize("late", [False, True])
def test_who_leaves_before_its_page_has_the_call_is_not_counted_any_more(
    era: str, late: bool
) -> None:
    shop = Shop()
    page = shop.page()
    params = {"name": NAME, "arguments": {}}
    port = shop.port
    session = "" if era == "modern" else port.initialize(era)
    held = Held(port.store, "admit")
    call = port.in_session(session, "tools/call", params) if session else shop.call()
    if late:
        held.go_on()
    call.disconnect()
    if not late:
        # It may still be shown to its page.
        assert shop.pages.under_way == {("acme", "web-1"): 1}
        held.go_on()
    assert len(page.asked) == 1
    assert shop.pages.under_way == {}
    assert shop.calls.listeners == {}


@pytest.mark.parametrize(
    "error", [TooManyPendingError("tenant", 1), StoreUnavailableError("away"), ValueError("x")]
)
def test_a_call_that_cannot_be_made_is_not_counted(error: Exception) -> None:
    shop = Shop()
    shop.page()
    store: Any = shop.port.store

    async def fails(*_arguments: Any, **_named: Any) -> Any:
        raise error

    store.admit = fails
    assert shop.call().complete
    assert shop.pages.under_way == {}


def test_a_call_over_a_quota_is_not_counted() -> None:
    shop = Shop(Quota({"pending": 1}, {}))
    shop.page("web-1")
    shop.page("web-2")
    shop.call(_target={"frontend_id": "web-1"})
    refused = shop.call(_target={"frontend_id": "web-2"})
    assert refused.json["error"]["data"]["quota"] == "pending"
    assert shop.pages.under_way == {("acme", "web-1"): 1}


def test_a_call_for_which_there_is_no_worker_is_not_counted() -> None:
    shop = Shop(workers=WorkerSettings(queue=1, queue_per_lane=1))
    shop.page()
    store: Any = shop.port.store

    async def far(*_arguments: Any, **_named: Any) -> Any:
        await to_worker()

    store.admit = far
    waiting = shop.port.workers.start("other", to_worker())
    assert waiting is not None
    assert "error" in shop.call().json
    assert shop.pages.under_way == {}
    waiting.cancel()


def test_a_call_that_ends_before_it_is_waited_for_is_not_counted() -> None:
    shop = Shop()
    page = shop.page()
    router: Any = shop.port.router
    ask, told = router.ask, Promise[None]()

    async def slow(*arguments: Any) -> Any:
        asked = await ask(*arguments)
        await told
        return asked

    router.ask = slow
    response = shop.call()
    assert shop.pages.under_way == {("acme", "web-1"): 1}
    shop.finish(page)
    assert response.reply["result"]["content"] == []
    told.set(None)
    assert shop.pages.under_way == {}
    assert shop.calls.listeners == {}


def test_a_call_that_joins_another_counts_for_the_page_that_has_it() -> None:
    shop = Shop()
    page, other = shop.page("web-1"), shop.page("web-2")
    meta = {"frontend-router/idempotency_key": "k"}
    calls = [shop.call(meta=meta, _target={"frontend_id": each}) for each in ("web-1", "web-2")]
    assert (len(page.asked), other.asked) == (1, [])
    assert shop.pages.under_way == {("acme", "web-1"): 2}
    shop.finish(page)
    # Then it is there already.
    calls.append(shop.call(meta=meta, _target={"frontend_id": "web-2"}))
    assert [each.reply["result"]["content"] for each in calls] == [[], [], []]
    assert shop.pages.under_way == {}


def test_a_call_counts_as_an_ask() -> None:
    shop = Shop(Quota({"pending": 1}, {}))
    page = shop.page()
    first = shop.call()
    refused = shop.call()
    assert refused.json["error"]["data"]["quota"] == "pending"
    shop.finish(page)
    assert first.reply["result"]["content"] == []
    assert not shop.call().complete


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"frontend-router/timeout_seconds": "9"}, "number of seconds"),
        ({"frontend-router/timeout_seconds": 0}, "number of seconds"),
        ({"frontend-router/timeout_seconds": True}, "number of seconds"),
        ({"frontend-router/idempotency_key": 9}, "a text of at most"),
        ({"frontend-router/idempotency_key": "x" * 257}, "a text of at most"),
    ],
)
def test_what_a_call_says_of_itself_is_checked(meta: dict[str, Any], words: str) -> None:
    shop = Shop()
    page = shop.page()
    assert words in text(shop.call(meta=meta))
    assert page.asked == []


def test_wrong_arguments_reach_no_page() -> None:
    shop = Shop()
    page = shop.page()
    assert 'is not of type "string"' in text(shop.call(item=7))
    assert "user or frontend_id" in text(shop.call(_target=7))
    assert "No page of user 'eve'" in text(shop.call(_target={"user": "eve"}))
    shop.port.router.settings = OfferSettings(question_bytes=300)
    assert "longer than 300" in text(shop.call(item="x" * 300))
    # Its quotes make it that long.
    assert "longer than 300" in text(shop.call(item="x" * 290))
    # It is seen before they are looked at.
    assert "longer than 300" in text(shop.call(item=["x" * 300]))
    assert page.asked == []


def test_without_the_scope_there_are_no_such_tools() -> None:
    shop = Shop()
    shop.page()
    shop.port.principal = replace(ANN, scopes=SCOPES - {"tools"})
    assert NAME not in listed(shop.port.modern("tools/list"))
    refused = shop.call()
    assert (refused.status, refused.json["error"]["data"]) == (403, {"scope": "tools"})
    # Whether there is one is not told.
    assert shop.call("shop.none").status == 403


def test_a_name_that_nobody_offers_is_unknown() -> None:
    shop = Shop()
    for name in (NAME, "none"):
        assert shop.call(name).json["error"]["message"] == f"Unknown tool: {name}"


def test_a_call_whose_page_stays_away_ends_and_one_that_comes_back_goes_on() -> None:
    shop = Shop(return_seconds=4)
    page = shop.page()
    response = shop.call()
    shop.leave(page)
    shop.port.pass_time(3)
    again = shop.page()
    _now(shop.port.router.catch_up(again))
    assert [each.id for each in again.asked] == [page.asked[0].id]
    shop.port.pass_time(10)
    assert not response.complete
    shop.leave(again)
    shop.port.pass_time(6)
    ended = response.reply["result"]
    assert ended["isError"] is True
    assert "has gone" in ended["content"][0]["text"]
    assert shop.pages.under_way == {}


def test_a_stream_that_broke_is_resumed_by_the_outcome_of_its_call() -> None:
    shop = Shop()
    page = shop.page()
    session = shop.port.initialize()
    params = {"name": NAME, "arguments": {}}
    response = shop.port.in_session(session, "tools/call", params)
    shop.port.pass_time(0.2)
    event = response.events[0]["id"]
    response.disconnect()
    resumed = shop.port.listen(session, last_event_id=event)
    (offer,) = shop.port.router.offers.values()
    assert [(waiter.waits, waiter.session_id) for waiter in offer.waiters] == [(True, session)]
    shop.finish(page, content=[{"type": "text", "text": "late"}])
    assert resumed.reply["result"]["content"][0]["text"] == "late"
    again = shop.port.listen(session, last_event_id=event)
    assert again.reply["result"]["content"][0]["text"] == "late"
    # A stream that waited for a person is still resumed as one.
    asked = shop.port.in_session(
        session, "tools/call", {"name": "ask_user", "arguments": {"question": "?"}}
    )
    shop.port.pass_time(0.2)
    event = asked.events[0]["id"]
    asked.disconnect()
    resumed = shop.port.listen(session, last_event_id=event)
    shop.port.answer(page, "blue")
    assert resumed.reply["result"]["content"][0]["text"] == "blue"


def test_who_may_not_call_tools_resumes_no_stream_of_one() -> None:
    shop = Shop()
    page = shop.page()
    port = shop.port
    session = port.initialize()
    calls = [{"name": NAME, "arguments": {}}, {"name": "ask_user", "arguments": {"question": "?"}}]
    broken = [port.in_session(session, "tools/call", call) for call in calls]
    port.pass_time(0.2)
    events = [each.events[0]["id"] for each in broken]
    for each in broken:
        each.disconnect()
    shop.finish(page, at=0, content=[{"type": "text", "text": "seen"}])
    port.answer(page, "blue")
    denied: list[str] = []
    port.registry.denied = lambda _principal, scope: denied.append(scope)
    answers = ["seen", "blue"]
    for which, lacks in enumerate(("tools", "ask")):
        port.principal = replace(ANN, scopes=SCOPES - {lacks})
        refused = port.listen(session, last_event_id=events[which])
        called = port.in_session(session, "tools/call", calls[which])
        assert (refused.status, refused.json) == (403, called.json)
        assert refused.headers == called.headers
        # The other scope does for the other stream.
        assert text(port.listen(session, last_event_id=events[1 - which])) == answers[1 - which]
    assert denied == ["tools", "tools", "ask", "ask"]
    # What is not kept any more nobody is told, whichever it was.
    session = port.initialize()
    _now(port.store.save_stream(session, "late", ("f" * 32, 1), 64))
    for scope in ("tools", "ask"):
        port.principal = replace(ANN, scopes=frozenset((scope,)))
        assert "no longer kept" in text(port.listen(session, last_event_id="late-0"))


def test_a_person_who_answers_for_a_page_declines_for_it() -> None:
    shop = Shop()
    page = shop.page()
    response = shop.call()
    shop.port.reject(page, "not now")
    assert text(response) == "The call of shop.look was declined by the page: not now."
