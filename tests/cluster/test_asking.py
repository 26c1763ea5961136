"""Asked, answered by several, approved and used at different gateways."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import trio

from tests.cluster.instances import PATIENCE, Instance, until
from tests.interop.person import person_at
from tests.live.caller import caller_at

pytestmark = pytest.mark.slow

_numbers = itertools.count(1)
ARGUMENTS = {"table": "users", "force": True}


async def call(instance: Instance, name: str, /, **arguments: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    async with caller_at(instance.mcp_port) as caller:
        await caller.send("tools/call", params)
        result: dict[str, Any] = (await (await caller.response()).result())["result"]
        return result


async def test_a_receipt_is_good_once_at_whichever_gateway(instances: list[Instance]) -> None:
    a, b, c = instances
    user = f"approver-{next(_numbers)}"
    got: list[dict[str, Any]] = []

    async def use(instance: Instance, receipt: str, **more: Any) -> None:
        asked = {"tool": "db.drop", "arguments": ARGUMENTS, "receipt": receipt} | more
        got.append((await call(instance, "verify_approval", **asked))["structuredContent"])

    with trio.fail_after(PATIENCE):
        async with person_at(b.ws_port, user=user) as person:
            opened = await call(
                a,
                "request_approval",
                tool="db.drop",
                arguments=ARGUMENTS,
                reason="Unused.",
                audience={"kind": "user", "name": user},
                wait="return",
            )
            question_id = opened["structuredContent"]["question_id"]
            assert await person.answer(await person.question(), "approve") == "accepted"
        collected = await call(c, "collect_answer", question_id=question_id)
        receipt = collected["structuredContent"]["approval"]["receipt"]
        await use(a, receipt, arguments={})
        assert got.pop()["status"] == "other_call"
        async with trio.open_nursery() as nursery:
            for instance in (a, b, c) * 3:
                nursery.start_soon(use, instance, receipt)
    assert sorted(each["status"] for each in got) == ["good"] + ["used"] * 8
    assert {tuple(each["approved_by"]) for each in got} == {(user,)}


async def test_people_at_several_gateways_make_a_quorum(instances: list[Instance]) -> None:
    a, b, c = instances
    team = f"team-{next(_numbers)}"
    with trio.fail_after(PATIENCE):
        async with (
            person_at(b.ws_port, user="ann", groups=(team,)) as ann,
            person_at(c.ws_port, user="bob", groups=(team,)) as bob,
        ):
            opened = await call(
                a,
                "ask_user",
                question="Ship it?",
                choices=["yes", "no"],
                audience={"kind": "group", "name": team, "quorum": 2},
                wait="return",
            )
            question_id = opened["structuredContent"]["question_id"]
            assert await ann.answer(await ann.question(), "yes") == "accepted"
            half = await call(a, "collect_answer", question_id=question_id)
            assert half["structuredContent"]["state"] == "open"
            assert half["structuredContent"]["counts"] == {"yes": 1, "no": 0}
            assert await bob.answer(await bob.question(), "no") == "accepted"
        whole = await call(a, "collect_answer", question_id=question_id, wait_seconds=20)
    told = whole["structuredContent"]
    assert (told["state"], told["quorum"]) == ("answered", 2)
    assert told["counts"] == {"yes": 1, "no": 1}
    assert sorted(each["answered_by"]["user"] for each in told["answers"]) == ["ann", "bob"]
    assert [each["event"] for each in told["history"]][:2] == ["asked", "answered"]


async def test_history_tells_of_frontends_at_all_gateways(instances: list[Instance]) -> None:
    a, b, c = instances
    team = f"team-{next(_numbers)}"

    async def events(question_id: str) -> list[tuple[str, str]]:
        found = await call(a, "collect_answer", question_id=question_id)
        history = found["structuredContent"]["history"]
        assert [each["at"] for each in history] == sorted(each["at"] for each in history)
        return [(each["event"], each.get("user", "")) for each in history]

    with trio.fail_after(PATIENCE):
        async with (
            person_at(b.ws_port, user="ann", groups=(team,)) as ann,
            person_at(c.ws_port, user="bob", groups=(team,)) as bob,
        ):
            asked = {"question": "?", "audience": {"kind": "group", "name": team}}
            opened = await call(a, "ask_user", wait="return", **asked)
            question_id = opened["structuredContent"]["question_id"]
            assert (await events(question_id))[0] == ("asked", "")
            question = await ann.question()
            await bob.question()
            await bob.say(type="seen", request_id=question_id)
            expected = {("asked", ""), ("offered", "ann"), ("offered", "bob"), ("seen", "bob")}

            async def is_noted() -> bool:
                return set(await events(question_id)) == expected

            await until(is_noted, "all that happened is noted")
            assert await ann.answer(question, "yes") == "accepted"
        whole = await events(question_id)
    assert whole[0] == ("asked", "")
    assert whole[-1] == ("answered", "ann")
    assert set(whole[:-1]) == expected
    assert len(whole) == 5
