"""Who is told that people came or went, and how often."""

from __future__ import annotations

from collections.abc import Callable

from gateway.presence_news import ANY, TENANTS, TOLD_SECONDS, PresenceNews


class Bus:
    """What other instances heard, while they can be reached."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.is_away = False

    def presence(self, tenant: str) -> bool:
        if not self.is_away:
            self.said.append(tenant)
        return not self.is_away


class World:
    """News of an instance, a clock that the test sets, and who was told."""

    def __init__(self, *, shared: bool = True) -> None:
        self.bus = Bus()
        self.news = PresenceNews(self.bus.presence if shared else None)
        self.now = 1_000.0
        self.told: list[str] = []

    def watch(self, name: str, tenant: str = "acme") -> None:
        self.news.watch(tenant, lambda: self.told.append(name))

    def tell(self, later: float = TOLD_SECONDS) -> list[str]:
        """Return who is told when so much time has passed."""
        self.now += later
        before = len(self.told)
        for tell in self.news.due(self.now):
            tell()
        return self.told[before:]


def test_all_of_the_tenant_are_told_and_nobody_else() -> None:
    world = World()
    world.watch("ann")
    world.watch("bob")
    world.watch("eve", "other")
    assert world.tell() == []
    world.news.changed("acme")
    assert world.tell() == ["ann", "bob"]
    assert world.bus.said == ["acme"]
    assert world.tell() == []


def test_a_storm_is_told_once_a_second_and_costs_one_note() -> None:
    world = World()
    world.watch("ann")
    told = []
    for _ in range(10_000):
        world.news.changed("acme")
        told += world.tell(later=0.0005)
    # Five seconds of it: at their beginning, and once in each.
    assert len(told) <= 6
    assert len(world.bus.said) == len(told)
    assert world.tell() == ["ann"]
    assert world.tell() == []


def test_work_for_a_frontend_does_not_grow_with_who_watches() -> None:
    world = World()
    for number in range(1_000):
        world.watch(str(number))
    for _ in range(1_000):
        world.news.changed("acme")
    assert len(world.told) == 0
    assert len(world.tell()) == 1_000


def test_what_happens_elsewhere_is_told_here_and_not_passed_on() -> None:
    world = World()
    world.watch("ann")
    world.watch("eve", "other")
    world.news.changed_elsewhere("acme")
    assert world.tell() == ["ann"]
    world.news.changed_elsewhere(ANY)
    assert sorted(world.tell()) == ["ann", "eve"]
    assert world.bus.said == []


def test_where_nobody_watches_only_the_others_hear_of_it() -> None:
    world = World()
    world.news.changed("acme")
    assert world.tell() == []
    assert world.bus.said == ["acme"]


def test_one_alone_has_nobody_to_say_it_to() -> None:
    world = World(shared=False)
    world.watch("ann")
    world.news.changed("acme")
    assert world.news.unsaid == 0
    assert world.tell() == ["ann"]


def test_what_cannot_be_sent_is_said_once_it_can() -> None:
    world = World()
    world.bus.is_away = True
    world.news.changed("acme")
    world.tell()
    assert (world.bus.said, world.news.unsaid) == ([], 1)
    world.bus.is_away = False
    world.tell()
    assert (world.bus.said, world.news.unsaid) == (["acme"], 0)


def test_too_many_tenants_at_once_are_said_to_be_any() -> None:
    world = World()
    for number in range(TENANTS + 10):
        world.news.changed(f"tenant-{number}")
    assert world.news.unsaid == 1
    world.tell()
    assert world.bus.said == [ANY]


def test_who_stops_is_told_no_more_and_leaves_nothing() -> None:
    world = World()
    stop = world.news.watch("acme", lambda: world.told.append("ann"))
    world.watch("bob")
    assert len(world.news) == 2
    world.news.changed("acme")
    stop()
    stop()
    assert world.tell() == ["bob"]
    assert len(world.news) == 1


def test_who_leaves_while_others_are_told_is_not_told() -> None:
    world = World()
    stops: list[Callable[[], None]] = []

    def stop_the_other() -> None:
        stops.pop()()

    world.news.watch("acme", stop_the_other)
    stops.append(world.news.watch("acme", lambda: world.told.append("bob")))
    world.news.changed("acme")
    assert world.tell() == []
    assert stops == []


def test_a_clock_that_is_set_back_delays_nothing() -> None:
    world = World()
    world.watch("ann")
    world.news.changed("acme")
    world.tell()
    world.news.changed("acme")
    assert world.tell(later=-3_600) == ["ann"]
