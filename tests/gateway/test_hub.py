"""Who is here, for whom a question is, and who is least busy."""

from collections.abc import Mapping

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gateway.hub import Hub
from session.model import EVERYONE, Audience


class Tab:
    """A frontend with nothing behind it."""

    def __init__(
        self, tenant: str, frontend_id: str, user: str = "", groups: tuple[str, ...] = ()
    ) -> None:
        self.tenant = tenant
        self.frontend_id = frontend_id
        self.user = user
        self.groups = groups
        self.tools: Mapping[str, str] = {}


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        (EVERYONE, ["1", "2", "3"]),
        (Audience("user", "ann"), ["1", "2"]),
        (Audience("group", "ops"), ["2", "3"]),
        (Audience("frontend", "3"), ["3"]),
        (Audience("user", "nobody"), []),
        (Audience("group", ""), []),
    ],
)
def test_an_audience_means_frontends_of_its_tenant_only(
    hub: Hub, audience: Audience, expected: list[str]
) -> None:
    tabs = [
        Tab("a", "1", "ann"),
        Tab("a", "2", "ann", ("ops",)),
        Tab("a", "3", "bob", ("ops", "dev")),
    ]
    for tab in tabs:
        hub.attach(tab)
    hub.attach(Tab("b", "3", "ann", ("ops",)))
    assert [f.frontend_id for f in hub.matching("a", audience)] == expected
    assert [t.frontend_id for t in tabs if hub.matches(t, audience)] == expected


def test_nobody_is_left_of_a_tenant_that_has_gone(hub: Hub) -> None:
    tab = Tab("a", "1", "ann", ("ops",))
    hub.attach(tab)
    hub.detach(tab)
    assert len(hub) == 0
    assert list(hub) == []
    assert list(hub.matching("a", EVERYONE)) == []
    assert hub.least_busy("a", EVERYONE) is None


def test_a_frontend_is_attached_once(hub: Hub) -> None:
    tab = Tab("a", "1")
    hub.attach(tab)
    hub.add_load(tab, 1)
    with pytest.raises(RuntimeError, match="once"):
        hub.attach(tab)
    hub.add_load(tab, -1)
    hub.detach(tab)
    assert hub.least_busy("a", EVERYONE) is None


def test_equals_take_turns(hub: Hub) -> None:
    tabs = [Tab("a", str(n)) for n in range(3)]
    for tab in tabs:
        hub.attach(tab)
    order = []
    for _ in range(6):
        chosen = hub.least_busy("a", EVERYONE)
        assert chosen is not None
        hub.add_load(chosen, 1)
        order.append(chosen.frontend_id)
    assert order == ["0", "1", "2", "0", "1", "2"]


def test_who_was_passed_over_is_not_asked_again(hub: Hub) -> None:
    tabs = [Tab("a", str(n), "ann") for n in range(3)]
    for tab in tabs:
        hub.attach(tab)
    hub.add_load(tabs[2], 5)
    assert hub.least_busy("a", EVERYONE, {tabs[0], tabs[1]}) is tabs[2]
    assert hub.least_busy("a", Audience("user", "ann"), {tabs[0]}) is tabs[1]
    assert hub.least_busy("a", EVERYONE, set(tabs)) is None
    assert hub.least_busy("a", Audience("user", "ann"), set(tabs)) is None


def test_a_call_is_for_the_connections_of_one_frontend_that_offer_its_tool(hub: Hub) -> None:
    tabs = [Tab("acme", "a tab"), Tab("acme", "a tab"), Tab("acme", "another")]
    for tab in tabs:
        hub.attach(tab)
    audience = Audience("tool", "shop.look a tab")
    assert list(hub.matching("acme", audience)) == []
    tabs[1].tools = tabs[2].tools = {"shop.look": "digest"}
    assert list(hub.matching("acme", audience)) == [tabs[1]]
    assert [hub.matches(tab, audience) for tab in tabs] == [False, True, False]
    assert list(hub.matching("acme", Audience("tool", "shop.buy a tab"))) == []
    assert list(hub.matching("acme", Audience("tool", "shop.look nobody"))) == []
    assert list(hub.matching("other", audience)) == []


class Crowd(RuleBasedStateMachine):
    """Frontends come, go, get busy and free: the least busy one is always found."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub()
        self.loads: dict[Tab, int] = {}
        self.count = 0

    @rule(user=st.sampled_from(["", "ann", "bob"]))
    def attach(self, user: str) -> None:
        self.count += 1
        tab = Tab("a", str(self.count % 4), user)
        self.hub.attach(tab)
        self.loads[tab] = 0

    @rule(which=st.integers(0, 30))
    def detach(self, which: int) -> None:
        if self.loads:
            tab = list(self.loads)[which % len(self.loads)]
            self.hub.detach(tab)
            del self.loads[tab]

    @rule(which=st.integers(0, 30), change=st.integers(-1, 3))
    def work(self, which: int, change: int) -> None:
        if self.loads:
            tab = list(self.loads)[which % len(self.loads)]
            change = max(change, -self.loads[tab])
            self.loads[tab] += change
            self.hub.add_load(tab, change)

    @invariant()
    def the_least_busy_one_has_the_lowest_load(self) -> None:
        for audience in (EVERYONE, Audience("user", "ann")):
            matching = [tab for tab in self.loads if self.hub.matches(tab, audience)]
            chosen = self.hub.least_busy("a", audience)
            lowest = min((self.loads[tab] for tab in matching), default=None)
            assert (None if chosen is None else self.loads[chosen]) == lowest  # type: ignore[index]

    @invariant()
    def everybody_is_there(self) -> None:
        assert list(self.hub.matching("a", EVERYONE)) == list(self.loads)
        assert len(self.hub) == len(self.loads)


def test_the_hub_agrees_with_a_list() -> None:
    run_state_machine_as_test(Crowd, settings=settings(max_examples=60, stateful_step_count=30))
