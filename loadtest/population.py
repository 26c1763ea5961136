"""One process's part of the people and agents of a plan, and how they are connected."""

from __future__ import annotations

import functools
import random  # noqa: TID251 - chance with a seed
import socket
from collections.abc import Callable

from loadtest import handshakes, messengers, plans, requests, thinking
from loadtest.agents import Agent, Pool
from loadtest.dialing import Dialled, Joining, Line
from loadtest.load import Load
from loadtest.messengers import Messenger
from loadtest.people import Manner, Person
from loadtest.places import Place
from loadtest.plans import Plan
from loadtest.requests import Template


class Population:
    """Everybody; `joining` connects them."""

    def __init__(self, load: Load, plan: Plan, part: int, joined: Callable[[], None]) -> None:
        self._load = load
        self._plan = plan
        self._part = part
        self.chance = random.Random(f"{plan.wishes.seed} {part}")
        self.dialled = Dialled()
        self.joining = Joining(joined)
        self.pool = Pool(load, closed=plan.scenario.rate is None)
        self.people: list[Person] = []
        self.slow: list[Person] = []
        self.messengers: list[Messenger] = []
        if plan.scenario.messages:
            self._add_messengers()
        elif plan.wishes.driver == "selector":
            self._add_people()
        self._add_agents()

    def _add_people(self) -> None:
        plan = self._plan
        manner = Manner(
            thinking.parse(plan.scenario.think),
            self.chance,
            plan.longest_thought,
            plan.wishes.protocol == "full",
            b" " + b"x" * plan.scenario.payload if plan.scenario.payload else b"",
            plan.wishes.deflate,
        )
        for number in plan.frontends_of(self._part):
            route = plan.frontend_route(number)
            handshake = functools.partial(
                handshakes.frontend,
                route.place,
                plans.hello(plan, number),
                deflates=plan.wishes.deflate,
            )
            turn = plan.turn(number)
            person = Person(self._load, route, handshake, manner, self.dialled, turn=turn)
            self.people.append(person)
            if plan.is_slow(number):
                self.slow.append(person)
            self.joining.add(person.line)

    def _add_agents(self) -> None:
        plan, wishes = self._plan, self._plan.wishes
        thinks = thinking.parse(plan.scenario.think).mean > 0
        for number in plan.callers_of(self._part):
            route = plan.route(number, [target.mcp for target in plan.targets])
            modern = wishes.era == "modern" or (wishes.era == "both" and number % 2 == 0)
            revision = requests.MODERN if modern else requests.HANDSHAKE
            agent = Agent(
                self._load,
                self.pool,
                route,
                functools.partial(handshakes.caller, route.place, revision),
                self.dialled,
                template=functools.partial(_template, plan, route.place, revision),
                patience=wishes.timeout,
                thinking=thinks,
                reask=wishes.reask,
            )
            self._load.peers.append(agent)
            self.joining.add(agent.line)

    def _add_messengers(self) -> None:
        plan = self._plan
        for number in plan.frontends_of(self._part):
            route = plan.frontend_route(number)
            said = plans.hello(plan, number)
            line = Line(
                self._load,
                route,
                functools.partial(handshakes.messenger, route.place, said),
                functools.partial(self._messenger, number),
                self.dialled,
            )
            self.joining.add(line)

    def _messenger(self, number: int, sock: socket.socket, reply: Callable[[bytes], bytes]) -> None:
        batches = messengers.batches(number, 1, reply)
        interval = 1 / self._plan.scenario.messages
        messenger = Messenger(self._load, sock, batches, 1, interval)
        self._load.add(messenger)
        self.messengers.append(messenger)


def _template(plan: Plan, place: Place, revision: str, session: bytes) -> Template:
    arguments: dict[str, object] = {
        "timeout_seconds": plan.wishes.timeout,
        "delivery": plan.scenario.delivery,
    }
    if plan.wishes.reask:
        arguments["idempotency_key"] = f"{plan.run}-{requests.PLACE}"
    if plan.scenario.payload:
        arguments["context"] = "x" * plan.scenario.payload
    return requests.ask_template(place, revision, session, arguments)
