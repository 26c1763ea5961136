"""The tools and the prompt of several rounds that the suite goes through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, final

from gateway.mcp import capabilities, rounds
from gateway.mcp.call import Call
from gateway.mcp.results import Encoded, PromptMessage, PromptResult, TextContent, ToolResult, text
from gateway.mcp.rounds import InputRequest, elicitation, roots, sampling

if TYPE_CHECKING:
    from gateway.mcp.registry import Registry
    from gateway.mcp.seals import Seals

_PREFIX: Final = "test_input_required_result_"
NAME: Final = elicitation("What is your name?", {"name": {"type": "string"}}, "name")
CONFIRM: Final = elicitation("Is that so?", {"ok": {"type": "boolean"}}, "ok")
_CAPITAL: Final = sampling("What is the capital of France?", 100)


@final
class Asking:
    """The handlers, and what their state is sealed with."""

    def __init__(self, seals: Seals) -> None:
        self._seals = seals

    def declare(self, registry: Registry) -> None:
        """Declare them all."""
        handlers = {
            "elicitation": self._elicitation,
            "sampling": self._sampling,
            "list_roots": self._list_roots,
            "request_state": self._with_state,
            "tampered_state": self._with_state,
            "multiple_inputs": self._several,
            "multi_round": self._rounds,
            "capabilities": self._what_can_be_asked,
        }
        for name, handler in handlers.items():
            registry.tool(_PREFIX + name, handler, description="Asks its caller first")
        registry.prompt(f"{_PREFIX}prompt", self._prompt, description="Asks its caller first")

    async def _elicitation(self, call: Call, _arguments: object) -> ToolResult | Encoded:
        name = name_in(rounds.responses(call).get("user_name"))
        if name is None:
            return rounds.ask(call, {"user_name": NAME})
        return text(f"Hello, {name}!")

    async def _sampling(self, call: Call, _arguments: object) -> ToolResult | Encoded:
        return self._ask_for(call, {"capital_question": _CAPITAL})

    async def _list_roots(self, call: Call, _arguments: object) -> ToolResult | Encoded:
        return self._ask_for(call, {"client_roots": roots()})

    async def _with_state(self, call: Call, _arguments: object) -> ToolResult | Encoded:
        state = self._seals.opened(call)
        if state is None or "confirm" not in rounds.responses(call):
            return rounds.ask(call, {"confirm": CONFIRM}, self._seals.seal(call, "begun"))
        return text("state-ok")

    async def _several(self, call: Call, _arguments: object) -> ToolResult | Encoded:
        wanted = {"user_name": NAME, "greeting": _CAPITAL, "client_roots": roots()}
        if self._seals.opened(call) is None:
            return rounds.ask(call, wanted, self._seals.seal(call, "begun"))
        return self._ask_for(call, wanted)

    async def _rounds(self, call: Call, _arguments: object) -> ToolResult | Encoded:
        done, given = self._seals.opened(call), rounds.responses(call)
        if done is None:
            return rounds.ask(call, {"step1": NAME}, self._seals.seal(call, 1))
        if done == 1 and "step1" in given:
            return rounds.ask(call, {"step2": CONFIRM}, self._seals.seal(call, 2))
        if done == 2 and "step2" in given:
            return text("All rounds are done.")
        again = {f"step{done}": NAME if done == 1 else CONFIRM}
        return rounds.ask(call, again, self._seals.seal(call, done))

    async def _what_can_be_asked(self, call: Call, _arguments: object) -> ToolResult | Encoded:
        possible = {"user_name": NAME, "capital_question": _CAPITAL, "client_roots": roots()}
        wanted = {
            key: request
            for key, request in possible.items()
            if capabilities.declares(call, *request)
        }
        return self._ask_for(call, wanted or possible)

    async def _prompt(self, call: Call, _arguments: dict[str, str]) -> PromptResult | Encoded:
        response = rounds.responses(call).get("user_context")
        if response is None:
            context = {"context": {"type": "string"}}
            return rounds.ask(call, {"user_context": elicitation("What is this about?", context)})
        said = TextContent(f"This is about: {rounds.accepted(response)}")
        return PromptResult((PromptMessage("user", said),))

    @staticmethod
    def _ask_for(call: Call, wanted: Mapping[str, InputRequest]) -> ToolResult | Encoded:
        given = rounds.responses(call)
        missing = {key: request for key, request in wanted.items() if key not in given}
        return rounds.ask(call, missing) if missing else text(f"Got {', '.join(sorted(given))}.")


def name_in(response: dict[str, Any] | None) -> str | None:
    """Return the name that somebody filled in."""
    content = rounds.accepted(response)
    name = None if content is None else content.get("name")
    return name if type(name) is str else None
