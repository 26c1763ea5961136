"""From a message to the method it names, and from there to its reply.

Every call goes through here, alone or in a batch, new or resumed: it is entered
in the ledger, checked against its revision, and answered exactly once, also when
its method fails. It knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, final

from gateway.errors import OverQuotaError
from gateway.mcp import jsonrpc
from gateway.mcp.call import LATER, Call, Later
from gateway.mcp.heads import Era, Facts
from gateway.mcp.jsonrpc import Message, RpcError
from gateway.mcp.methods import Methods
from gateway.mcp.refusals import OVERLOADED, over_quota, put_off, unsupported
from gateway.mcp.revisions import handshake, modern
from gateway.mcp.sessions import Sessions, owned
from pool.workers import QueueFullError, Workers
from session.errors import StoreUnavailableError

if TYPE_CHECKING:
    from gateway.mcp.exchange import Exchange
    from gateway.mcp.ledger import Ledger
    from gateway.mcp.registry import Registry
    from gateway.mcp.revisions.family import Reply, Revision
    from session.model import McpSession, Principal


@final
class Dispatcher:
    """Runs calls."""

    __slots__ = (
        "_instructions",
        "_ledger",
        "_methods",
        "_modern",
        "_now",
        "_registry",
        "_sessions",
        "_table",
        "_workers",
    )

    def __init__(  # noqa: PLR0913 - made once, by the endpoint
        self,
        *,
        registry: Registry,
        methods: Methods,
        ledger: Ledger,
        sessions: Sessions,
        workers: Workers,
        now: Callable[[], float],
        revision: modern.Modern,
        instructions: str,
    ) -> None:
        self._registry = registry
        self._methods = methods
        self._ledger = ledger
        self._sessions = sessions
        self._workers = workers
        self._now = now
        self._modern = revision
        self._instructions = instructions
        self._table = {**methods.table, "server/discover": self._discover}

    def knows(self, method: str) -> bool:
        """Whether there is such a method in any revision."""
        return method in self._table

    def begin(
        self, exchange: Exchange, revision: Revision, principal: Principal, message: Message
    ) -> Call:
        """Make the call that a message asks for, as a part of an exchange."""
        self._ledger.active += 1
        call = Call(self._ledger, exchange, revision, principal, message, self._now())
        exchange.calls = (*exchange.calls, call) if exchange.calls else (call,)
        return call

    def run(self, call: Call, facts: Facts) -> None:
        """Take a call as far as it goes without waiting; a worker does the rest."""
        try:
            self._workers.start(call.principal.tenant, self._answer(call, self._reply(call, facts)))
        except QueueFullError:
            call.refuse(RpcError(jsonrpc.BUSY, OVERLOADED))

    async def check_resume(self, principal: Principal, question_id: str) -> None:
        """Look whether somebody may wait for a question again, as for the call that put it.

        Raises:
            RpcError: the credential does not allow it.
        """
        if self._registry.resume_scope is not None:
            self.check_scope(principal, await self._registry.resume_scope(principal, question_id))

    def check_scope(self, principal: Principal, scope: str) -> None:
        """Look whether somebody may go on with a call that takes a scope, if it takes one.

        Raises:
            RpcError: the credential does not allow it.
        """
        self._methods.check_scope(principal, scope)

    async def resume(self, call: Call, session: McpSession, question_id: str) -> None:
        """Answer a call with the outcome of a question it waited for before."""
        if not self._ledger.enter(call, session):
            call.refuse(self._too_many())
        elif self._registry.resume is not None:
            await self._answer(call, self._registry.resume(call, question_id))

    async def _answer(self, call: Call, reply: Awaitable[Reply | Later]) -> None:
        answered = False
        try:
            result = await reply
            if result is not LATER:
                call.finish(result)
            answered = True
        except RpcError as error:
            call.refuse(error)
            answered = True
        except StoreUnavailableError as away:
            put_off(call, away)
            answered = True
        except OverQuotaError as over:
            call.refuse(over_quota(over))
            answered = True
        except GeneratorExit:
            # There was no worker to go on with it: `run` says so.
            answered = True
            raise
        finally:
            # Whatever went wrong is the job boundary's to log; the caller is told.
            if not answered:
                call.refuse(RpcError(jsonrpc.INTERNAL_ERROR, "Internal error"))

    async def _reply(self, call: Call, facts: Facts) -> Reply | Later:
        if call.revision is self._modern:
            modern.check(facts, call.method, call.params)
            if self._registry.mirrors_arguments and call.method == "tools/call":
                self._check_parameters(call, facts)
        else:
            if facts.era is Era.UNKNOWN and facts.version is not None:
                raise unsupported(facts.version)
            session = owned(await self._sessions.find(facts.session_id), call.principal)
            call.take_revision(handshake.REVISIONS[session.revision])
            if not self._ledger.enter(call, session):
                raise self._too_many()
        method = self._table[call.method] if call.method in call.revision.methods else None
        if method is None:
            raise RpcError(jsonrpc.METHOD_NOT_FOUND, f"Method not found: {call.method[:100]}")
        return await method(call)

    def _check_parameters(self, call: Call, facts: Facts) -> None:
        tool = self._methods.declared(call.params)
        if tool is None:
            # Of a page, or none: those have nothing that headers repeat.
            return
        arguments = call.params.get("arguments")
        modern.check_parameters(
            facts, tool.header_parameters, arguments if type(arguments) is dict else {}
        )

    def _too_many(self) -> RpcError:
        return RpcError(
            jsonrpc.BUSY, f"{self._ledger.limit} calls of this session are under way.", status=429
        )

    async def _discover(self, _call: Call) -> Reply:
        return self._modern.discover_result(self._registry, self._instructions)
