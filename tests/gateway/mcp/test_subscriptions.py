"""Who hears that something changed, in both eras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.mcp.call import Call
from gateway.mcp.endpoint import Settings
from gateway.mcp.registry import Registry
from gateway.mcp.results import ReadResult, ToolResult, text
from gateway.mcp.watching import Watching
from gateway.quotas.settings import Quota
from session.model import Principal
from tests.gateway.mcp.recording import META, Held, Port, Recorder

ALL = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
ID = "io.modelcontextprotocol/subscriptionId"


class _Things:
    """Resources that change."""

    def __init__(self) -> None:
        self.watched: list[Callable[[], None]] = []
        self.port: Port

    def declare(self, registry: Registry) -> None:
        registry.resource("test://one", "one", self._read)
        registry.template("test://mine/{id}", "mine", self._read, watch=self._watch)
        registry.prompt("say", self._make, description="d")

    async def look(self) -> None:
        """Find out what may be watched, which may take its time."""

    async def _read(self, *_what: object) -> ReadResult:
        return ReadResult(())

    async def _make(self, *_what: object) -> Any:
        raise AssertionError("nobody fills this in")

    async def _watch(
        self, _principal: Principal, _uri: str, values: dict[str, str], changed: Callable[[], None]
    ) -> Watching | None:
        if values["id"] == "foreign":
            return None
        self.watched.append(changed)
        await self.look()
        return Watching(lambda: self.watched.remove(changed))


@pytest.fixture
def things() -> _Things:
    return _Things()


@pytest.fixture
def port(things: _Things) -> Port:
    return Port(declare=things.declare)


def _listen(port: Port, wanted: object, request_id: object = "s1") -> Recorder:
    return port.modern("subscriptions/listen", {"notifications": wanted}, request_id=request_id)


def _methods(recorder: Recorder) -> list[str]:
    return [message["method"] for message in recorder.messages]


async def _tool(_call: Call, _arguments: dict[str, Any]) -> ToolResult:
    return text("t")


def _subs(port: Port) -> Any:
    return port.endpoint._subscriptions


# -- lists


def test_a_listener_is_acknowledged_first_and_hears_what_it_asked_for(port: Port) -> None:
    tools = _listen(port, {"toolsListChanged": True, "promptsListChanged": False}, 7)
    prompts = _listen(port, {"promptsListChanged": True})
    (first,) = tools.messages
    assert first["method"] == "notifications/subscriptions/acknowledged"
    assert first["params"] == {"_meta": {ID: 7}, "notifications": {"toolsListChanged": True}}
    port.registry.tool("new", _tool, description="d")
    port.registry.tools.remove("new")
    port.pass_time(0.2)
    told = tools.messages[1:]
    assert told == [
        {
            "jsonrpc": "2.0",
            "method": "notifications/tools/list_changed",
            "params": {"_meta": {ID: 7}},
        }
    ]
    assert len(prompts.messages) == 1
    port.registry.prompts.remove("say")
    port.pass_time(0.2)
    assert _methods(prompts)[1:] == ["notifications/prompts/list_changed"]


def test_what_changes_before_the_acknowledgement_is_told_once_and_behind_it(
    things: _Things,
) -> None:
    port = Port(quotas=Quota({"streams": 1}, {}), declare=things.declare)
    assert port.quotas is not None
    quota, watch = Held(port.quotas._store, "lease"), Held(things, "look")
    uris = ["test://one", "test://mine/1"]
    listener = _listen(port, {"toolsListChanged": True, "resourceSubscriptions": uris})
    port.registry.tool("new", _tool, description="d")
    port.registry.prompts.remove("say")
    port.pass_time(0.2)
    assert listener.messages == []
    quota.go_on()
    for _ in range(2):
        _subs(port).updated("test://one")
        things.watched[0]()
        port.registry.tools.remove("new")
        port.pass_time(0.2)
    assert listener.messages == []
    watch.go_on()
    assert [(each["method"], each["params"].get("uri")) for each in listener.messages] == [
        ("notifications/subscriptions/acknowledged", None),
        ("notifications/tools/list_changed", None),
        ("notifications/resources/updated", "test://one"),
        ("notifications/resources/updated", "test://mine/1"),
    ]
    _subs(port).updated("test://one")
    assert len(listener.messages) == 5


def test_who_may_not_listen_is_refused_whatever_changes_until_then(things: _Things) -> None:
    port = Port(Settings(json_seconds=9), quotas=Quota({"streams": 1}, {}), declare=things.declare)
    assert port.quotas is not None
    assert _listen(port, ALL).messages
    held = Held(port.quotas._store, "lease")
    refused = _listen(port, ALL)
    port.registry.tool("new", _tool, description="d")
    port.pass_time(0.2)
    held.go_on()
    assert (refused.status, refused.json["error"]["data"]["quota"]) == (429, "streams")
    assert len(_subs(port)) == 1


def test_resources_and_templates_are_one_list_to_those_who_listen(
    port: Port, things: _Things
) -> None:
    listener = _listen(port, ALL)
    assert listener.messages[0]["params"]["notifications"] == ALL
    port.registry.resources.remove("test://one")
    port.registry.templates.remove("test://mine/{id}")
    port.pass_time(0.2)
    assert _methods(listener)[1:] == ["notifications/resources/list_changed"]


def test_what_is_not_served_is_not_honoured() -> None:
    port = Port(bare=True, declare=lambda registry: registry.tool("t", _tool, description="d"))
    wanted = {**ALL, "resourceSubscriptions": ["test://one"], "taskIds": ["x"]}
    honoured = {"toolsListChanged": True, "resourceSubscriptions": []}
    assert _listen(port, wanted).messages[0]["params"]["notifications"] == honoured


def test_a_session_hears_it_on_one_of_its_streams(port: Port) -> None:
    session = port.initialize()
    streams = [port.listen(session), port.listen(session)]
    silent = port.listen(port.initialize())
    port.registry.tool("new", _tool, description="d")
    port.pass_time(0.2)
    told = [message for each in streams for message in each.messages]
    assert told == [{"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {}}]
    assert len(silent.messages) == 1


def test_many_are_told_a_part_at_a_time(port: Port) -> None:
    listeners = [_listen(port, ALL) for _ in range(450)]
    port.registry.tool("new", _tool, description="d")
    for callback in port.timers.due(port.now + 0.1):
        callback()
        break
    told = [len(each.messages) for each in listeners]
    assert told.count(2) == 200
    # What changes meanwhile is told to all, afterwards.
    port.registry.prompts.remove("say")
    port.pass_time(1)
    assert {tuple(_methods(each)[1:]) for each in listeners} == {
        ("notifications/tools/list_changed", "notifications/prompts/list_changed")
    }


# -- resources


def test_a_modern_caller_watches_resources_on_its_stream(port: Port, things: _Things) -> None:
    uris = ["test://one", "test://mine/1", "test://mine/foreign", "test://none"]
    listener = _listen(port, {"resourceSubscriptions": uris})
    honoured = listener.messages[0]["params"]["notifications"]
    assert honoured == {"resourceSubscriptions": uris[:2]}
    _subs(port).updated("test://one")
    _subs(port).updated("test://two")
    things.watched[0]()
    assert [message["params"] for message in listener.messages[1:]] == [
        {"_meta": {ID: "s1"}, "uri": "test://one"},
        {"_meta": {ID: "s1"}, "uri": "test://mine/1"},
    ]
    listener.disconnect()
    assert things.watched == []
    assert port.is_idle()


# -- bounds, and what is refused


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        [],
        {"toolsListChanged": 1},
        {"promptsListChanged": "yes"},
        {"resourceSubscriptions": "test://one"},
        {"resourceSubscriptions": [5]},
        {"resourceSubscriptions": ["x" * 3000]},
        {"resourceSubscriptions": ["test://one"] * 101},
    ],
)
def test_a_filter_that_is_none_is_refused(port: Port, wanted: object) -> None:
    reply = _listen(port, wanted)
    assert (reply.status, reply.json["error"]["code"]) == (400, -32602)
    assert len(_subs(port)) == 0


def test_a_caller_that_reads_no_stream_cannot_listen(port: Port) -> None:
    params = {"notifications": ALL}
    reply = port.modern("subscriptions/listen", params, accept="application/json")
    assert (reply.status, reply.json["error"]["code"]) == (406, -32600)
    assert len(_subs(port)) == 0


def test_listeners_of_both_eras_share_a_bound(things: _Things) -> None:
    port = Port(Settings(listeners=2), declare=things.declare)
    port.listen(port.initialize())
    first = _listen(port, ALL)
    assert port.endpoint.statistics().listeners == 2
    refused = _listen(port, ALL)
    assert (refused.status, refused.json["error"]["code"]) == (503, -31000)
    first.disconnect()
    assert not _listen(port, ALL).complete


# -- the end


def test_the_end_of_the_process_is_said_on_the_stream(port: Port) -> None:
    listener = _listen(port, ALL, 9)
    port.endpoint.stop_listening()
    assert listener.complete
    assert listener.reply["id"] == 9
    result = listener.reply["result"]
    assert result["resultType"] == "complete"
    assert result["_meta"][ID] == 9
    assert port.is_idle()


def test_whose_credential_ended_hears_why(port: Port) -> None:
    listener = _listen(port, ALL)
    (held,) = port.endpoint.listeners()
    assert held.principal is port.principal
    held.cut_off()
    assert listener.complete
    assert listener.reply["error"]["code"] == -31001
    assert len(_subs(port)) == 0


def test_a_stream_is_kept_alive(port: Port) -> None:
    listener = _listen(port, ALL)
    before = len(listener.body)
    port.pass_time(15)
    assert len(listener.body) > before
    meta = {**META, "progressToken": "t"}
    params = {"notifications": ALL, "_meta": meta}
    quiet = port.modern("subscriptions/listen", params)
    port.pass_time(15)
    assert len(quiet.messages) == 1
