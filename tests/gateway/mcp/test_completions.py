"""What an argument may be, in both eras."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.mcp.call import Call
from gateway.mcp.mirroring import DeclarationError
from gateway.mcp.registry import Registry
from tests.gateway.mcp.recording import Port


async def _nothing(*_what: object) -> Any:
    raise AssertionError("nobody reads this")


async def _suggest(_call: Call, typed: str, others: dict[str, str]) -> list[str]:
    return [f"{typed}{number}{others.get('unit', '')}" for number in range(150)]


def _declare(registry: Registry) -> None:
    make: Any = _nothing
    registry.prompt(
        "say",
        make,
        description="d",
        arguments=({"name": "word"}, {"name": "other"}),
        completers={"word": _suggest},
    )
    registry.template("test://{id}", "t", make, completers={"id": _suggest})
    registry.resource("test://fixed", "f", make)


@pytest.fixture
def port() -> Port:
    return Port(declare=_declare)


def _params(ref: object, name: str = "word", value: object = "a", **more: Any) -> dict[str, Any]:
    return {"ref": ref, "argument": {"name": name, "value": value}, **more}


SAY = {"type": "ref/prompt", "name": "say"}


def test_suggestions_are_cut_to_what_one_result_may_have(port: Port) -> None:
    params = _params(SAY, context={"arguments": {"unit": "m"}})
    session = port.initialize()
    for reply in (
        port.modern("completion/complete", params, mcp_name="").json,
        port.in_session(session, "completion/complete", params).json,
    ):
        completion = reply["result"]["completion"]
        assert completion["values"] == [f"a{number}m" for number in range(100)]
        assert (completion["total"], completion["hasMore"]) == (150, True)


def test_an_argument_that_nobody_completes_has_no_suggestions(port: Port) -> None:
    reply = port.modern("completion/complete", _params(SAY, "other")).json
    assert reply["result"]["completion"] == {"values": []}


def test_arguments_of_templates_are_completed(port: Port) -> None:
    params = _params({"type": "ref/resource", "uri": "test://{id}"}, "id")
    reply = port.modern("completion/complete", params).json
    assert len(reply["result"]["completion"]["values"]) == 100


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"ref": SAY},
        {"ref": SAY, "argument": []},
        {"ref": SAY, "argument": {"name": "word"}},
        {"ref": SAY, "argument": {"name": 1, "value": "a"}},
        _params(SAY, value="a" * 1025),
        _params(SAY, "none"),
        _params(None),
        _params({"type": "ref/tool", "name": "say"}),
        _params({"type": "ref/prompt", "name": "none"}),
        _params({"type": "ref/prompt", "uri": "say"}),
        _params({"type": "ref/resource", "uri": "test://none"}, "id"),
        _params({"type": "ref/resource", "uri": "test://fixed"}, "id"),
        _params(SAY, context={"arguments": {"unit": 5}}),
        _params(SAY, context={"arguments": []}),
    ],
)
def test_what_cannot_be_completed_is_refused(port: Port, params: Any) -> None:
    reply = port.modern("completion/complete", params)
    assert (reply.status, reply.json["error"]["code"]) == (400, -32602)


def test_where_nothing_is_completed_there_is_no_such_method() -> None:
    reply = Port().modern("completion/complete", _params(SAY))
    assert (reply.status, reply.json["error"]["code"]) == (404, -32601)


def test_only_what_a_prompt_asks_for_can_be_completed() -> None:
    make: Any = _nothing
    with pytest.raises(DeclarationError):
        Registry().prompt("say", make, description="d", completers={"word": _suggest})
