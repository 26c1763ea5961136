"""Asked at one gateway, answered at another, collected at a third.

Everybody is of one tenant here, so each test asks a user or a group of its own.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import pytest
import trio

from haproxy.redis_cluster import RedisCluster
from session.redis import keys
from tests.cluster.instances import PATIENCE, Instance, until
from tests.interop.person import Person, person_at
from tests.live.caller import WITH_TASKS, caller_at, open_session, text_of

pytestmark = pytest.mark.slow

_numbers = itertools.count(1)


class Route(NamedTuple):
    """Where something is asked, answered and collected."""

    asked: int
    answered: int
    collected: int


ROUTES = [Route(0, 1, 2), Route(1, 2, 0), Route(2, 0, 1)]
everywhere = pytest.mark.parametrize("route", ROUTES, ids=lambda r: "ABC"[r.asked])
in_both_eras = pytest.mark.parametrize("era", ["handshake", "modern"])


@pytest.fixture
def user() -> str:
    """Somebody whom no other test asks."""
    return f"user-{next(_numbers)}"


def asked_of(user: str) -> dict[str, str]:
    return {"kind": "user", "name": user}


async def session_of(era: str, instance: Instance) -> str:
    """Return an MCP session opened at an instance; a modern caller has none."""
    return await open_session(instance.mcp_port) if era == "handshake" else ""


async def call(instance: Instance, session: str, tool: str, **arguments: Any) -> dict[str, Any]:
    async with caller_at(instance.mcp_port, session=session) as caller:
        return await caller.call(tool, **arguments)


async def left_open(instance: Instance, user: str, text: str = "?", **more: Any) -> str:
    """Ask without waiting; return the question's id."""
    result = await call(
        instance, "", "ask_user", question=text, audience=asked_of(user), wait="return", **more
    )
    question_id: str = result["structuredContent"]["question_id"]
    return question_id


async def shown(person: Person, question_id: str) -> dict[str, Any]:
    """Return a question when a person is shown it."""
    while True:
        question = await person.question()
        if question["request_id"] == question_id:
            return question


async def closed(person: Person, question_id: str) -> dict[str, Any]:
    """Return how a question is taken from a person."""
    while True:
        frame = await person.frame("question_closed")
        if frame["request_id"] == question_id:
            return frame


# -- the ways to wait


@in_both_eras
async def test_an_answer_given_elsewhere_comes_back_as_plain_json(
    instances: list[Instance], era: str, user: str
) -> None:
    a, b, _ = instances
    with trio.fail_after(PATIENCE):
        session = await session_of(era, a)
        async with (
            person_at(b.ws_port, user=user) as person,
            caller_at(a.mcp_port, session=session) as caller,
        ):
            arguments = {"question": "Now?", "audience": asked_of(user)}
            await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
            assert await person.answer(await person.question(), "now") == "accepted"
            response = await caller.response()
            assert response.headers["content-type"] == "application/json"
            assert text_of((await response.result())["result"]) == "now"


@in_both_eras
@everywhere
async def test_an_answer_given_elsewhere_comes_back_on_a_stream(
    instances: list[Instance], era: str, user: str, route: Route
) -> None:
    asked, answered, _ = (instances[index] for index in route)
    with trio.fail_after(PATIENCE):
        session = await session_of(era, instances[route.collected])
        async with (
            person_at(answered.ws_port, user=user) as person,
            caller_at(asked.mcp_port, session=session) as caller,
        ):
            arguments = {"question": "Later?", "audience": asked_of(user)}
            await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
            question = await person.question()
            if route.asked:
                # Begun before the answer: it took longer than plain JSON may.
                response = await caller.response()
                assert response.headers["content-type"] == "text/event-stream"
                assert await person.answer(question, "later") == "accepted"
            else:
                assert await person.answer(question, "later") == "accepted"
                response = await caller.response()
            assert text_of((await response.result())["result"]) == "later"


@in_both_eras
@everywhere
async def test_a_question_left_open_is_answered_and_collected_elsewhere(
    instances: list[Instance], era: str, user: str, route: Route
) -> None:
    """It is collected while it is open, and once more when it is not."""
    asked, answered, collected = (instances[index] for index in route)
    with trio.fail_after(PATIENCE):
        session = await session_of(era, answered)
        result = await call(
            asked, session, "ask_user", question="?", audience=asked_of(user), wait="return"
        )
        question_id = result["structuredContent"]["question_id"]
        async with (
            person_at(answered.ws_port, user=user) as person,
            caller_at(collected.mcp_port, session=session) as caller,
        ):
            question = await shown(person, question_id)
            arguments = {"question_id": question_id, "wait_seconds": 30}
            await caller.send("tools/call", {"name": "collect_answer", "arguments": arguments})
            assert await person.answer(question, "collected") == "accepted"
            reply = await (await caller.response()).result()
            assert text_of(reply["result"]) == "collected"
        again = await call(asked, session, "collect_answer", question_id=question_id)
        assert text_of(again) == "collected"


@everywhere
async def test_a_question_that_is_a_task_is_answered_and_looked_at_elsewhere(
    instances: list[Instance], user: str, route: Route
) -> None:
    asked, answered, collected = (instances[index] for index in route)
    ask = {"question": "?", "audience": asked_of(user), "wait": "task"}

    async def task_at(instance: Instance, task_id: str) -> dict[str, Any]:
        async with caller_at(instance.mcp_port) as caller:
            await caller.send("tasks/get", {"taskId": task_id, **WITH_TASKS})
            task: dict[str, Any] = (await (await caller.response()).result())["result"]
            return task

    with trio.fail_after(PATIENCE):
        async with (
            person_at(answered.ws_port, user=user) as person,
            caller_at(asked.mcp_port) as caller,
        ):
            await caller.send("tools/call", {"name": "ask_user", "arguments": ask, **WITH_TASKS})
            task_id = (await (await caller.response()).result())["result"]["taskId"]
            question = await person.question()
            assert (await task_at(collected, task_id))["status"] == "working"
            assert await person.answer(question, "done") == "accepted"
        for instance in (collected, asked):
            found = await task_at(instance, task_id)
            assert found["status"] == "completed"
            assert text_of(found["result"]) == "done"


@in_both_eras
@everywhere
async def test_a_repeated_ask_elsewhere_joins_the_question_and_gets_the_answer(
    instances: list[Instance], era: str, user: str, route: Route
) -> None:
    """The person is asked once; every call under the key gets the one answer."""
    asked, answered, collected = (instances[index] for index in route)
    arguments = {"question": "Once?", "audience": asked_of(user), "idempotency_key": f"key {user}"}
    with trio.fail_after(PATIENCE):
        session = await session_of(era, asked)
        async with (
            person_at(answered.ws_port, user=user) as person,
            caller_at(asked.mcp_port, session=session) as first,
            caller_at(collected.mcp_port, session=session) as second,
        ):
            for caller in (first, second):
                await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
            question = await person.question()
            await until(
                lambda: joined(instances, question["request_id"]), "both callers wait", every=0.05
            )
            assert await person.answer(question, "once") == "accepted"
            for caller in (first, second):
                reply = await (await caller.response()).result()
                assert text_of(reply["result"]) == "once"
                assert reply["result"]["structuredContent"]["question_id"] == question["request_id"]
        late = await call(answered, session, "ask_user", **arguments)
        assert text_of(late) == "once"


async def joined(instances: list[Instance], _question_id: str) -> bool:
    """Whether two calls wait for people, at whichever instances."""
    return sum([await each.metric("mcp_active_requests") for each in instances]) >= 2


@everywhere
async def test_a_stream_that_broke_is_resumed_elsewhere(
    instances: list[Instance], user: str, route: Route
) -> None:
    """Resumed while the question is open, and once more after the answer."""
    asked, answered, collected = (instances[index] for index in route)
    if route.asked == 0:
        # It has no stream to break: it answers in plain JSON.
        asked, answered, collected = instances[1], instances[0], instances[2]
    with trio.fail_after(PATIENCE):
        session = await open_session(collected.mcp_port)
        async with person_at(answered.ws_port, user=user) as person:
            async with caller_at(asked.mcp_port, session=session) as caller:
                arguments = {"question": "Cut?", "audience": asked_of(user)}
                await caller.send("tools/call", {"name": "ask_user", "arguments": arguments}, 7)
                question = await person.question()
                last_event, _ = await (await caller.response()).event()
            assert last_event
            async with caller_at(collected.mcp_port, session=session) as caller:
                response = await caller.resume(last_event)
                assert response.status == 200
                assert await person.answer(question, "resumed") == "accepted"
                reply = await response.result()
            async with caller_at(answered.mcp_port, session=session) as caller:
                again = await (await caller.resume(last_event)).result()
    assert (reply["id"], text_of(reply["result"])) == (7, "resumed")
    assert (again["id"], text_of(again["result"])) == (7, "resumed")


async def test_a_session_opened_at_one_instance_is_used_and_ended_at_others(
    instances: list[Instance],
) -> None:
    a, b, c = instances
    with trio.fail_after(PATIENCE):
        session = await open_session(a.mcp_port)
        for each in instances:
            async with caller_at(each.mcp_port, session=session) as caller:
                await caller.send("tools/list", {})
                assert "tools" in (await (await caller.response()).result())["result"]
        async with caller_at(b.mcp_port, session=session) as caller:
            await caller.stream.send_all(
                f"DELETE /mcp HTTP/1.1\r\nHost: 127.0.0.1:{b.mcp_port}\r\n"
                f"Mcp-Session-Id: {session}\r\n\r\n".encode()
            )
            assert (await caller.response()).status in {200, 202, 204}

        async def has_ended() -> bool:
            async with caller_at(c.mcp_port, session=session) as caller:
                await caller.send("tools/list", {})
                return (await caller.response()).status == 404

        # What was read is kept for a moment.
        await until(has_ended, "the session has ended everywhere")


# -- who is shown what


@everywhere
async def test_everybody_anywhere_is_shown_a_question_and_told_of_its_end(
    instances: list[Instance], user: str, route: Route
) -> None:
    """The first answer wins; a late one is told whose it was, at every instance."""
    asked, answered, other = (instances[index] for index in route)
    with trio.fail_after(PATIENCE):
        async with (
            person_at(answered.ws_port, user=user, frontend_id=f"first-{user}") as first,
            person_at(other.ws_port, user=user, frontend_id=f"second-{user}") as second,
            person_at(asked.ws_port, user=user, frontend_id=f"third-{user}") as third,
        ):
            question_id = await left_open(asked, user)
            question = await shown(first, question_id)
            for person in (second, third):
                await shown(person, question_id)
            assert await first.answer(question, "mine") == "accepted"
            for person in (second, third):
                end = await closed(person, question_id)
                assert end["reason"] == "answered"
                assert end["by"] == {"frontend_id": f"first-{user}", "user": user}
                await person.say(type="user_response", request_id=question_id, answer="too slow")
                ack = await person.frame("response_ack")
                assert ack["status"] == "duplicate"
                assert ack["by"] == {"frontend_id": f"first-{user}", "user": user}


async def test_who_is_offline_is_shown_at_any_instance_what_was_asked_meanwhile(
    instances: list[Instance], user: str
) -> None:
    with trio.fail_after(PATIENCE):
        ids = [await left_open(each, user) for each in instances]
        for each in instances:
            async with person_at(each.ws_port, user=user) as person:
                assert [(await person.question())["request_id"] for _ in ids] == ids
        for question_id in ids:
            await call(instances[0], "", "cancel_question", question_id=question_id)


async def test_audiences_reach_across_instances(instances: list[Instance], user: str) -> None:
    """A user, a group and one frontend: nobody else is shown it."""
    a, b, c = instances
    frontend, group = f"frontend-{user}", f"group-{user}"
    with trio.fail_after(PATIENCE):
        async with (
            person_at(b.ws_port, user=user) as by_user,
            person_at(c.ws_port, groups=[group]) as by_group,
            person_at(b.ws_port, frontend_id=frontend) as by_frontend,
        ):
            people = {"user": by_user, "group": by_group, "frontend": by_frontend}
            names = {"user": user, "group": group, "frontend": frontend}
            ids = {}
            for kind in people:
                result = await call(
                    a,
                    "",
                    "ask_user",
                    question=kind,
                    audience={"kind": kind, "name": names[kind]},
                    wait="return",
                )
                ids[kind] = result["structuredContent"]["question_id"]
            # Asked last, of everybody: what comes before it is all that a person gets.
            last = (await call(a, "", "ask_user", question="all", wait="return"))[
                "structuredContent"
            ]["question_id"]
            for kind, person in people.items():
                seen = [await person.question()]
                while seen[-1]["request_id"] != last:
                    seen.append(await person.question())
                assert [each["question"] for each in seen if each["question"] in people] == [kind]
            for question_id in (*ids.values(), last):
                await call(c, "", "cancel_question", question_id=question_id)


@everywhere
async def test_with_delivery_one_a_frontend_anywhere_has_it_and_the_next_when_it_leaves(
    instances: list[Instance], user: str, route: Route
) -> None:
    asked, first_at, second_at = (instances[index] for index in route)
    with trio.fail_after(PATIENCE):
        async with (
            person_at(second_at.ws_port, user=user) as second,
            person_at(first_at.ws_port, user=user) as first,
        ):
            question_id = await left_open(asked, user, delivery="one")
            holder, other = await whoever_has_it(first, second, question_id)
            await holder.say(type="seen", request_id=question_id)
            await holder.leave()
            question = await shown(other, question_id)
            assert question["delivery"] == "one"
            assert await other.answer(question, "taken over") == "accepted"
        result = await call(asked, "", "collect_answer", question_id=question_id)
        assert text_of(result) == "taken over"


async def whoever_has_it(one: Person, another: Person, question_id: str) -> tuple[Person, Person]:
    """Return who is shown a question, and who is not."""
    holders: list[Person] = []
    async with trio.open_nursery() as nursery:

        async def look(person: Person) -> None:
            await shown(person, question_id)
            holders.append(person)
            nursery.cancel_scope.cancel()

        nursery.start_soon(look, one)
        nursery.start_soon(look, another)
    return (one, another) if holders[0] is one else (another, one)


@everywhere
async def test_with_delivery_one_who_does_not_look_loses_it_to_another_instance(
    instances: list[Instance], user: str, route: Route
) -> None:
    asked, first_at, second_at = (instances[index] for index in route)
    with trio.fail_after(PATIENCE):
        async with (
            person_at(first_at.ws_port, user=user) as first,
            person_at(second_at.ws_port, user=user) as second,
        ):
            question_id = await left_open(asked, user, delivery="one")
            holder, other = await whoever_has_it(first, second, question_id)
            assert (await closed(holder, question_id))["reason"] == "reassigned"
            question = await shown(other, question_id)
            await other.say(type="seen", request_id=question_id)
            assert await other.answer(question, "I looked") == "accepted"
            assert await holder.answer(question, "I did not") == "duplicate"


async def test_who_is_elsewhere_counts_as_present(instances: list[Instance], user: str) -> None:
    """`if_absent: fail` asks them, `list_frontends` has them, and when they go they are gone."""
    a, b, c = instances
    arguments = {"question": "?", "audience": asked_of(user), "if_absent": "fail"}
    with trio.fail_after(PATIENCE):
        result = await call(a, "", "ask_user", **arguments)
        assert result["isError"]
        assert "0 frontends online" in text_of(result)
        async with (
            person_at(b.ws_port, user=user, frontend_id=f"b-{user}") as person,
            person_at(c.ws_port, user=user, frontend_id=f"c-{user}"),
        ):
            for each in instances:
                await until(lambda each=each: is_listed(each, f"b-{user}", f"c-{user}"), "listed")  # type: ignore[misc]
            async with caller_at(a.mcp_port) as caller:
                await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
                await person.answer(await person.question(), "here")
                assert text_of((await (await caller.response()).result())["result"]) == "here"

        async def nobody() -> bool:
            return not await is_listed(a, f"b-{user}") and not await is_listed(a, f"c-{user}")

        await until(nobody, "both have gone")


async def is_listed(instance: Instance, *frontends: str) -> bool:
    """Whether an instance lists frontends, wherever they are."""
    listed = (await call(instance, "", "list_frontends"))["structuredContent"]["frontends"]
    return set(frontends) <= {each["frontend_id"] for each in listed}


async def test_people_at_all_instances_are_told(instances: list[Instance], user: str) -> None:
    a, b, c = instances
    with trio.fail_after(PATIENCE):
        async with (
            person_at(a.ws_port, user=user, frontend_id=f"a-{user}") as first,
            person_at(b.ws_port, user=user, frontend_id=f"b-{user}") as second,
            person_at(c.ws_port, user=user, frontend_id=f"c-{user}") as third,
        ):
            await until(lambda: is_listed(a, *(f"{x}-{user}" for x in "abc")), "all are listed")
            result = await call(
                a, "", "notify_user", message="Coffee", title="Now", audience=asked_of(user)
            )
            assert result["structuredContent"] == {"told": 3}
            frames = [await each.frame("notify_user") for each in (first, second, third)]
            assert {(frame["message"], frame["title"]) for frame in frames} == {("Coffee", "Now")}
            assert len({frame["notification_id"] for frame in frames}) == 1


@everywhere
async def test_a_question_is_cancelled_at_another_instance(
    instances: list[Instance], user: str, route: Route
) -> None:
    """Who waits is told, who was shown it loses it, and an answer is too late."""
    asked, answered, cancelled = (instances[index] for index in route)
    with trio.fail_after(PATIENCE):
        async with (
            person_at(answered.ws_port, user=user) as person,
            caller_at(asked.mcp_port) as caller,
        ):
            arguments = {"question": "Never mind?", "audience": asked_of(user)}
            await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
            question = await person.question()
            question_id = question["request_id"]
            result = await call(
                cancelled, "", "cancel_question", question_id=question_id, reason="solved"
            )
            assert result["structuredContent"]["state"] == "cancelled"
            reply = (await (await caller.response()).result())["result"]
            assert text_of(reply) == "The question was cancelled: solved."
            assert (await closed(person, question_id))["reason"] == "cancelled"
            assert await person.answer(question, "late") == "too_late"


async def test_nobody_answers_in_time_wherever_they_are(
    instances: list[Instance], user: str
) -> None:
    a, b, _ = instances
    with trio.fail_after(PATIENCE):
        async with person_at(b.ws_port, user=user) as person, caller_at(a.mcp_port) as caller:
            arguments = {"question": "?", "audience": asked_of(user), "timeout_seconds": 3}
            await caller.send("tools/call", {"name": "ask_user", "arguments": arguments})
            question = await person.question()
            reply = (await (await caller.response()).result())["result"]
            assert reply["structuredContent"]["state"] == "timed_out"
            assert (await closed(person, question["request_id"]))["reason"] == "timed_out"
            assert await person.answer(question, "late") == "too_late"


async def test_a_draft_follows_its_frontend_to_another_instance(
    instances: list[Instance], shared_cluster: RedisCluster, user: str
) -> None:
    a, b, c = instances
    frontend = f"tab-{user}"
    with trio.fail_after(PATIENCE):
        question_id = await left_open(a, user)
        async with person_at(b.ws_port, user=user, frontend_id=frontend) as person:
            await shown(person, question_id)
            await person.say(type="draft", request_id=question_id, text="I was about to")
            key = keys.drafts("default", frontend).decode()
            slot = shared_cluster.slot_of(key)
            node = await trio.to_thread.run_sync(shared_cluster.primary_of, slot)

            async def is_kept() -> bool:
                return bool(node.command("HEXISTS", key, question_id))

            await until(is_kept, "the draft is kept")
        async with person_at(c.ws_port, user=user, frontend_id=frontend) as person:
            question = await shown(person, question_id)
            assert question["draft"] == "I was about to"
            assert await person.answer(question, "say this") == "accepted"
