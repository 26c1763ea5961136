"""What the product has for callers to read: questions, who is connected, how to ask well.

One registration, as `gateway.mcp.tools` is. What is read says nothing that the tools
would not tell the same caller: a question is its asker's, and its tenant's admins'.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from gateway.mcp.jsonrpc import INVALID_PARAMS, RESOURCE_NOT_FOUND, RpcError
from gateway.mcp.outcomes import answers_of, counts_of, history_of
from gateway.mcp.question_tasks import watch_question
from gateway.mcp.results import (
    Encoded,
    PromptMessage,
    PromptResult,
    ReadResult,
    ResourceContents,
    TextContent,
)
from gateway.mcp.revisions.family import encode
from gateway.mcp.watching import Watching
from gateway.ownership import may_act_on
from session import longtexts

if TYPE_CHECKING:
    from gateway.mcp.call import Call, Later
    from gateway.mcp.registry import Registry
    from gateway.router import Router
    from session import Found
    from session.model import Principal, State
    from session.steps import Steps

QUESTION: Final = "question://{id}"
FRONTENDS: Final = "frontends://connected"

_JSON: Final = "application/json"
_HOW_TO_ASK: Final = """\
You can reach people with the tool ask_user. Their time is worth more than yours.

Ask when only a person can know or decide: a preference, an approval before something that \
cannot be undone, a fact that is nowhere to be found. Do not ask what you can look up or try.

Ask well:
- One question at a time, that can be understood without what you know: put what led to it \
into context.
- Give choices where you know the possible answers, and say what each of them means.
- Give a schema where you need several values, or several questions: people get one form.
- Before something that cannot be undone, use request_approval: people see exactly what would run.
- Name an audience where it is clear who should answer; list_frontends says who is there.
- Give timeout_seconds that fit the matter, and say what you will do without an answer.

While you wait:
- Give an idempotency_key: asking again with it never asks people twice.
- If you have other work, ask with wait "return" and get the answer later by collect_answer.
- Take a question back with cancel_question as soon as it is of no use any more.
- An answer is final. A person who declines has decided: do not ask again."""


def register(registry: Registry, router: Router) -> None:
    """Declare what the product has to read."""
    reading = _Reading(router)
    registry.template(
        QUESTION,
        "question",
        reading.question,
        watch=reading.watch_question,
        scope="ask",
        title="A question that you asked",
        description="Its state, and its answer with who gave it, by its question_id",
        mimeType=_JSON,
    )
    registry.resource(
        FRONTENDS,
        "frontends",
        reading.frontends,
        watch=reading.watch_frontends,
        scope="list",
        title="Who is connected",
        description="The frontends whose people could answer a question now",
        mimeType=_JSON,
    )
    registry.prompt(
        "ask_a_person",
        reading.how_to_ask,
        title="Ask a person",
        description="How and when to ask people, for an agent that is about to",
        arguments=(
            {"name": "matter", "description": "What is to be found out", "required": False},
        ),
    )


@final
class _Reading:
    """The readers."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def question(self, call: Call, uri: str, values: dict[str, str]) -> Encoded | Later:
        """Return a question that the caller may read, and what became of it."""
        found = await self._router.collect(call.principal, values["id"], None, may_act_on)
        if found is None:
            code = INVALID_PARAMS if call.session is None else RESOURCE_NOT_FOUND
            raise RpcError(code, "Resource not found", {"uri": uri})
        shown = _question(found)
        if longtexts.is_long(shown):
            return call.writer.reply(call, partial(_writing, uri, shown), private=True)
        return _private(uri, shown)

    async def watch_question(
        self, principal: Principal, _uri: str, values: dict[str, str], changed: Callable[[], None]
    ) -> Watching | None:
        """Have the end of a question told that the caller may read."""
        return await watch_question(
            self._router, principal, values["id"], lambda _question, _outcome: changed(), may_act_on
        )

    async def watch_frontends(
        self, principal: Principal, _uri: str, _values: dict[str, str], changed: Callable[[], None]
    ) -> Watching:
        """Have it told that people of the caller's tenant came or went."""
        return Watching(self._router.people.news.watch(principal.tenant, changed))

    async def frontends(self, call: Call, uri: str, _values: dict[str, str]) -> Encoded:
        """Return who is connected."""
        present = await self._router.people.frontends(call.principal)
        shown = [
            {
                "frontend_id": each.frontend_id,
                "user": each.user,
                "name": each.name,
                "groups": each.groups,
            }
            for each in present
        ]
        return _private(uri, {"frontends": shown})

    async def how_to_ask(self, _call: Call, arguments: dict[str, str]) -> PromptResult:
        """Teach an agent to ask."""
        matter = arguments.get("matter", "")
        words = f"{_HOW_TO_ASK}\n\nWhat is to be found out: {matter}" if matter else _HOW_TO_ASK
        return PromptResult((PromptMessage("user", TextContent(words)),))


def _private(uri: str, content: dict[str, Any]) -> Encoded:
    """Return what may be kept for this caller only, and not for long."""
    contents = ResourceContents(uri, _JSON, encode(content).decode())
    return Encoded(encode(ReadResult((contents,))), cacheable=True, private=True)


def _writing(uri: str, content: dict[str, Any], token: str) -> Steps[list[bytes]]:
    """Return the body of what `_private` does in pieces, step by step."""
    writer = longtexts.Writer(token)
    marked = yield from writer.marking(content)
    quoted = yield from longtexts.quoting((yield from writer.pieces(marked)))
    before, behind = encode(ReadResult((ResourceContents(uri, _JSON, token),))).split(encode(token))
    return [before, *quoted, behind]


def _question(found: Found) -> dict[str, Any]:
    question, outcome = found.question, found.outcome
    shown: dict[str, Any] = {
        "question_id": question.id,
        "state": "open",
        "question": question.text,
        "asked_at": question.created_at,
        "deadline": question.deadline,
        "history": history_of(question, outcome, found.answers, found.history),
    }
    if question.quorum:
        answers = found.answers if outcome is None else outcome.answers
        given = [msgspec.to_builtins(each) for each in answers_of(answers)]
        shown |= {"quorum": question.quorum, "answers": given}
        if question.choices:
            shown["counts"] = counts_of(question, answers)
    if outcome is None:
        return shown
    state: State = outcome.state
    shown |= {"state": state.text, "ended_at": outcome.at}
    if state.text == "answered":
        shown |= {"answer": outcome.answer, "answered_by": {"frontend_id": outcome.by}}
        if outcome.by_user:
            shown["answered_by"]["user"] = outcome.by_user
        if outcome.content is not None:
            shown["content"] = outcome.content
    elif outcome.reason:
        shown["reason"] = outcome.reason
    return shown
