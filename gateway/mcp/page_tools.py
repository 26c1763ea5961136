"""The tools of web pages, as callers list and call them.

What the pages of a caller's tenant offer is merged with what is declared, and a call of it
becomes a question for one page. The declared ones are asked for first, so that no page can
stand in for them.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from gateway.errors import InvalidAskError
from gateway.mcp import quota
from gateway.mcp.call import LATER, Call, Later
from gateway.mcp.page_calls import CallWait, ended_result
from gateway.mcp.refusals import forbidden
from gateway.mcp.registry import Registry, Tool, make_cursor, read_cursor
from gateway.mcp.results import Encoded, ToolResult, text
from gateway.offers import Ask
from gateway.ownership import is_own
from gateway.tool_calls import ToolCalls, audience_of, chosen
from gateway.tool_catalogs import Catalog, Catalogs, PageTool
from gateway.tool_definitions import Settings, Target, arguments_refusal, target_of
from gateway.withdrawals import Withdrawal
from session import longtexts
from session.errors import TooManyPendingError
from session.model import Delivery
from session.steps import WHOLE

if TYPE_CHECKING:
    from gateway.mcp.registry import Resumer, ResumerScope
    from gateway.quotas.allowances import Allowances
    from gateway.router import Router
    from pool.connection import Callback
    from pool.portions import Slots
    from pool.timers import Timers
    from pool.workers import Workers
    from session import Tools
    from session.model import Principal, Question

SCOPE: Final = "tools"
#: What metrics call all of them: their names are anybody's.
LABEL: Final = "page_tool"
#: What the request of a call may say besides its arguments, in ``_meta``.
TIMEOUT_KEY: Final = "frontend-router/timeout_seconds"
IDEMPOTENCY_KEY: Final = "frontend-router/idempotency_key"

# Many callers read the first page of a list alone.
_PAGE_TOOLS: Final = 1_000
_PAGE_BYTES: Final = 1024 * 1024
_KEY: Final = 256
_encode: Final = msgspec.json.Encoder().encode


@final
class _Listing:
    """The whole list as one tenant's callers are shown it, and the pages of it that are kept.

    Those that begin where the list or one of the others does: all of them together are as
    long as the list. Callers can make up a cursor for any other place; what begins there is
    made for them alone.
    """

    __slots__ = ("changes", "names", "pages")

    def __init__(self, changes: int, names: list[str]) -> None:
        #: With which of the tools that are declared it was made.
        self.changes = changes
        self.names = names
        #: By where they begin; ``None`` for one that nobody has asked for.
        self.pages: dict[int, Encoded | None] = {0: None}

    def keep(self, start: int, page: Encoded, end: int) -> None:
        """Keep a page, if it is one of those that are kept."""
        if start in self.pages:
            self.pages[start] = page
            if end < len(self.names):
                self.pages.setdefault(end)


@final
class PageTools:
    """See the module; a `gateway.mcp.registry.MoreTools`.

    Args:
        resource: the public URL of the callers' port, if it is known.
    """

    def __init__(  # noqa: PLR0913 - made once, by `register`
        self,
        settings: Settings,
        *,
        registry: Registry,
        router: Router,
        calls: ToolCalls,
        catalogs: Catalogs,
        tools: Tools,
        workers: Workers,
        timers: Timers[Callback],
        quotas: Allowances | None,
        resource: str,
    ) -> None:
        self.settings = settings
        self.router = router
        self.calls = calls
        self.workers = workers
        self.timers = timers
        self.tools = tools
        self._registry = registry
        self._catalogs = catalogs
        self._quotas = quotas
        self._resource = resource
        self._resume_other: Resumer | None = registry.resume
        self._other_scope: ResumerScope | None = registry.resume_scope
        #: How many calls wait here for each page, by tenant and frontend.
        self.under_way: dict[tuple[str, str], int] = {}

    # -- for the registry

    async def page(self, call: Call, cursor: str | None) -> Encoded | None:
        """Return a page of all tools that there are for a caller."""
        if SCOPE not in call.principal.scopes:
            return None
        catalog = await self._catalogs.of(call.principal.tenant)
        listing: _Listing | None = catalog.listing
        if listing is None or listing.changes != self._registry.tools.changes:
            listing = catalog.listing = self._listing(catalog)
        start = 0
        if cursor is not None:
            start = bisect.bisect_right(listing.names, read_cursor(cursor))
        page = listing.pages.get(start)
        if page is None:
            page, end = self._make_page(catalog, listing.names, start)
            listing.keep(start, page, end)
        return page

    async def find(self, call: Call, name: str) -> Tool | None:
        """Return a tool that some page of the caller's tenant offers."""
        if "." not in name:
            return None
        if SCOPE not in call.principal.scopes:
            self._registry.denied(call.principal, SCOPE)
            raise forbidden(SCOPE, self._resource)
        tool = (await self._catalogs.of(call.principal.tenant)).tools.get(name)
        if tool is None:
            return None

        async def handler(call: Call, arguments: dict[str, Any]) -> ToolResult | Encoded | Later:
            return await self._call(call, tool, arguments)

        definition = tool.described.definition
        return Tool(name, handler, None, definition["inputSchema"], definition, SCOPE)

    async def resume_scope(self, principal: Principal, question_id: str) -> str:
        """Return what it takes to go on waiting for a page, or for a person."""
        found = await self.router.store.find(principal.tenant, question_id)
        # That it is gone is told to everybody who may have waited for it.
        is_mine = SCOPE in principal.scopes if found is None else bool(found.question.tool)
        if is_mine or self._other_scope is None:
            return SCOPE
        return await self._other_scope(principal, question_id)

    async def resume(self, call: Call, question_id: str) -> ToolResult | Encoded | Later:
        """Continue a stream that waited for a page, or for a person."""
        found = await self.router.store.find(call.principal.tenant, question_id)
        if found is None or not found.question.tool:
            if self._resume_other is None:
                return text("There is nothing to wait for any more.", is_error=True)
            return await self._resume_other(call, question_id)
        question = found.question
        if not is_own(call.principal, question):
            return text("There is no such call of yours.", is_error=True)
        if found.outcome is not None:
            return ended_result(question, found.outcome)
        if self._quotas is not None:
            await quota.stream(self._quotas, call)
        wait = CallWait(call, self)
        self.router.offer_of(question).waiters.append(wait)
        wait.begin(question)
        # It may have ended before it was waited for.
        found = await self.router.store.find(question.tenant, question.id)
        if found is not None and found.outcome is not None:
            self.router.forget(question.id, wait)
            wait.settled(question, found.outcome)
        return LATER

    # -- inside

    def _listing(self, catalog: Catalog) -> _Listing:
        tools = self._registry.tools
        declared = {tool.name for tool in tools}
        return _Listing(tools.changes, sorted(catalog.names.keys() | declared))

    def _make_page(self, catalog: Catalog, names: list[str], start: int) -> tuple[Encoded, int]:
        """Return the page that begins with one of the names, and where the next one begins."""
        declared = {tool.name: tool for tool in self._registry.tools}
        listings: list[bytes] = []
        size = 0
        for name in names[start : start + _PAGE_TOOLS]:
            tool = declared.get(name)
            listing = (
                catalog.tools[name].described.listing if tool is None else _encode(tool.listing)
            )
            size += len(listing)
            if size > _PAGE_BYTES and listings:
                break
            listings.append(listing)
        end = start + len(listings)
        more = b""
        if end < len(names):
            more = b',"nextCursor":' + _encode(make_cursor(names[end - 1]))
        # What one tenant's pages offer is nobody else's, and may be another soon.
        body = b'{"tools":[%b]%b}' % (b",".join(listings), more)
        return Encoded(body, cacheable=True, private=True), end

    async def _call(
        self, call: Call, tool: PageTool, arguments: dict[str, Any]
    ) -> ToolResult | Encoded | Later:
        """Call a tool at one page, and wait for what it returns."""
        call.label = LABEL
        definition = tool.described.definition
        target = target_of(arguments)
        if isinstance(target, str):
            return text(target, is_error=True)
        most = self._most()
        # What is seen to be too long is not looked at for anything else.
        is_long = longtexts.is_long(arguments, most, 1)
        wrong = _too_long(most) if is_long else arguments_refusal(definition, arguments)
        if wrong:
            return text(wrong, is_error=True)
        page = chosen(tool, target, call.principal.subject)
        if page is None:
            return text(_nobody(tool, target), is_error=True)
        limit = self.settings.calls
        if self.under_way.get((page.tenant, page.frontend_id), 0) >= limit:
            words = f"{limit} calls of this page are under way. Please try again in a moment."
            return text(words, is_error=True)
        ask = self._ask(call, tool, arguments, page.frontend_id)
        if isinstance(ask, str):
            return text(ask, is_error=True)
        wait = CallWait(call, self)
        # Now, and not when the page has it: until then others come that would not count it.
        wait.count(page.tenant, page.frontend_id)
        try:
            return await self._wait_for(call, ask, wait)
        finally:
            wait.give_back()

    async def _wait_for(self, call: Call, ask: Ask, wait: CallWait) -> ToolResult | Encoded | Later:
        pending: tuple[Slots, ...] = ()
        quotas = self._quotas
        if quotas is not None:
            used = quota.tries(quotas, call, holds=True)
            pending = await quota.ask(quotas, call, holds=True) if used is None else used
        try:
            asked = await self.router.ask(call.principal, ask, wait)
            if pending and asked.fresh and quotas is not None:
                quotas.asked(asked.question, pending)
                pending = ()
        except (InvalidAskError, TooManyPendingError) as error:
            # That the store is away, every tool says alike: see `gateway.mcp.refusals.put_off`.
            return text(f"The tool cannot be called now: {error}", is_error=True)
        finally:
            for slots in pending:
                slots.take_back()
        if asked.outcome is not None:
            return ended_result(asked.question, asked.outcome)
        wait.begin(asked.question)
        return LATER

    def _ask(
        self, call: Call, tool: PageTool, arguments: dict[str, Any], frontend_id: str
    ) -> Ask | str:
        meta = call.meta
        timeout = meta.get(TIMEOUT_KEY, self.settings.call_seconds)
        if type(timeout) not in (int, float) or timeout <= 0:
            return f"{TIMEOUT_KEY} is a number of seconds."
        key = meta.get(IDEMPOTENCY_KEY, "")
        if type(key) is not str or len(key) > _KEY:
            return f"{IDEMPOTENCY_KEY} is a text of at most {_KEY} characters."
        said = _encode(arguments).decode()
        if len(said) > self._most():
            return _too_long(self._most())
        session = call.session
        return Ask(
            tool.name,
            float(timeout),
            audience_of(tool.name, frontend_id),
            Delivery.ONE,
            (),
            tool.described.definition.get("outputSchema"),
            said,
            # Another name than any question's.
            f"{tool.name}\n{key}" if key else "",
            "" if session is None else session.id,
            call.caller_name,
            "wait",
            tool=tool.name,
        )

    def _most(self) -> int:
        """Return how many characters arguments may have, which are written in one go."""
        return min(self.router.settings.question_bytes, WHOLE)

    def cancel_soon(self, question: Question, call: Call, reason: str, by: str) -> None:
        """End a call for whose result nobody waits, or that no page can end."""
        withdrawal = Withdrawal(self.calls.cancel, call.principal, question.id, reason, by)
        self.router.withdrawals.start(self.workers, withdrawal)


def register(pages: PageTools, registry: Registry) -> None:
    """Have callers of a registry offered the tools of pages."""
    registry.more_tools = pages
    registry.resume = pages.resume
    registry.resume_scope = pages.resume_scope


def _too_long(most: int) -> str:
    return f"The arguments are longer than {most} characters."


def _nobody(tool: PageTool, target: Target) -> str:
    who = " and ".join(
        words
        for words in (
            f"user {target.user!r}" if target.user else "",
            f"frontend {target.frontend_id!r}" if target.frontend_id else "",
        )
        if words
    )
    offering = sorted({offer.user or offer.frontend_id for offer in tool.offers})[:10]
    return f"No page of {who} offers {tool.name}. Pages that do: {', '.join(offering)}."
