"""State that a caller carries for us."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.mcp.call import LATER, Call, Later
from gateway.mcp.jsonrpc import RpcError
from gateway.mcp.seals import LONGEST, Seals
from session.model import SCOPES, Principal
from tests.gateway.mcp.recording import META, Port


class _Bench:
    """Makes calls, and keeps time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls: list[Call] = []
        self.port = Port(declare=self._declare)
        self.seals = Seals("here", lambda: self.now, seconds=60)

    def _declare(self, registry: Any) -> None:
        registry.tool("take", self._take, description="d")
        registry.tool("other", self._take, description="d")

    async def _take(self, call: Call, _arguments: dict[str, Any]) -> Later:
        self.calls.append(call)
        return LATER

    def call(self, state: object = None, name: str = "take", **arguments: Any) -> Call:
        params: dict[str, Any] = {"name": name, "_meta": META, "arguments": arguments}
        if state is not None:
            params |= {"requestState": state, "inputResponses": {"k": {}}}
        self.port.modern("tools/call", params)
        return self.calls[-1]


@pytest.fixture
def bench() -> _Bench:
    return _Bench()


def _refused(seals: Seals, call: Call) -> bool:
    with pytest.raises(RpcError) as caught:
        seals.opened(call)
    return caught.value.code == -32602


def test_the_next_round_of_the_same_request_gets_the_state(bench: _Bench) -> None:
    # A name that chance does not write.
    state = {"step_of_this_request": [1, "x"]}
    sealed = bench.seals.seal(bench.call(a=1, b=2), state)
    assert bench.seals.opened(bench.call(sealed, b=2, a=1)) == state
    assert bench.seals.opened(bench.call(a=1)) is None
    assert "step_of_this_request" not in sealed
    assert sealed != bench.seals.seal(bench.call(a=1, b=2), state)


def test_it_is_good_for_nothing_else(bench: _Bench) -> None:
    sealed = bench.seals.seal(bench.call(a=1), 1)
    assert _refused(bench.seals, bench.call(sealed, a=2))
    assert _refused(bench.seals, bench.call(sealed, "other", a=1))
    elsewhere = Seals("there", lambda: bench.now, keys=lambda: [bytes(32)])
    assert _refused(elsewhere, bench.call(sealed, a=1))
    same_key = Seals("here", lambda: bench.now, keys=lambda: [bytes(32)])
    assert _refused(same_key, bench.call(elsewhere.seal(bench.call(a=1), 1), a=1))
    for principal in (
        Principal("acme", "bob", scopes=SCOPES),
        Principal("other", "ann", scopes=SCOPES),
    ):
        bench.port.principal = principal
        assert _refused(bench.seals, bench.call(sealed, a=1))


def test_who_shares_the_key_opens_what_another_sealed(bench: _Bench) -> None:
    one = Seals("here", lambda: bench.now, keys=lambda: [bytes(32)])
    other = Seals("here", lambda: bench.now, keys=lambda: [b"1" * 32, bytes(32)])
    assert other.opened(bench.call(one.seal(bench.call(), "s"))) == "s"


def test_it_is_good_for_a_while(bench: _Bench) -> None:
    sealed = bench.seals.seal(bench.call(), 1)
    bench.now += 59.9
    assert bench.seals.opened(bench.call(sealed)) == 1
    bench.now += 0.1
    assert _refused(bench.seals, bench.call(sealed))


def test_no_bit_of_it_can_be_changed(bench: _Bench) -> None:
    sealed = bench.seals.seal(bench.call(), 1)
    raw = base64.urlsafe_b64decode(sealed[2:])
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1
        text = "1." + base64.urlsafe_b64encode(bytes(changed)).decode()
        assert _refused(bench.seals, bench.call(text))


@pytest.mark.parametrize(
    "state", ["", "1.", "1.!", "1.AAAA", "2.AAAA", "x" * (LONGEST + 1), 5, [], {}, True, "1.\u00e9"]
)
def test_what_was_never_sealed_is_refused(bench: _Bench, state: object) -> None:
    assert _refused(bench.seals, bench.call(state))


def test_what_is_appended_is_refused(bench: _Bench) -> None:
    sealed = bench.seals.seal(bench.call(), 1)
    assert _refused(bench.seals, bench.call(f"{sealed}-TAMPERED"))


def test_a_long_state_is_not_sealed(bench: _Bench) -> None:
    with pytest.raises(ValueError, match="characters"):
        bench.seals.seal(bench.call(), "x" * LONGEST)
