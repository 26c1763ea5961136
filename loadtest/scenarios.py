"""The loads that have a name, as a table.

Pure module. Each is what a person would say of it: how many people and agents,
how often they ask, how long they think, what happens to them. Everything can be
changed on the command line; `of_size` keeps the proportions.
"""

from __future__ import annotations

from typing import Final

import msgspec

_ORDINARY: Final = "lognormal:1.5s,0.6"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One load."""

    summary: str
    #: People, each with a connection of their own.
    frontends: int
    #: Agents, each with a connection of their own and one question at a time.
    callers: int = 0
    #: Questions a second in all; ``None``: every caller asks when it has its answer.
    rate: float | None = None
    #: Seconds; of one step when a limit is looked for.
    duration: float = 60.0
    think: str = _ORDINARY
    #: Bytes of context in a question, and bytes in its answer, beside the token.
    payload: int = 0
    #: Who is shown a question: `one` after the other, or `all`.
    delivery: str = "one"
    #: Messages a second of every user, instead of questions.
    messages: float = 0.0
    #: From which part of the duration on the rate is how many times as high.
    shape: tuple[tuple[float, float], ...] = ()
    #: At which parts of the duration all frontends reconnect at once.
    storms: tuple[float, ...] = ()
    #: Which share of the frontends stops reading as the load begins.
    slow: float = 0.0
    #: Questions a second of a neighbour, another tenant, that is allowed a tenth of them.
    noise: float = 0.0
    #: Whether the rate is raised until the server gives way.
    seeks_limit: bool = False

    @property
    def peak_rate(self) -> float:
        """The highest rate of the plan; nothing without one."""
        return (self.rate or 0.0) * max((factor for _, factor in self.shape), default=1.0)

    def of_size(self, users: int) -> Scenario:
        """Return the same load for so many users."""
        scale = users / self.frontends
        return msgspec.structs.replace(
            self,
            frontends=users,
            callers=max(1, round(self.callers * scale)) if self.callers else 0,
            rate=None if self.rate is None else self.rate * scale,
            noise=self.noise * scale,
        )


SCENARIOS: Final = {
    "baseline": Scenario(
        summary="an ordinary day: 1,000 people, each asked every ten seconds",
        frontends=1_000,
        callers=500,
        rate=100.0,
    ),
    "peak": Scenario(
        summary="the busiest hour: 10,000 people",
        frontends=10_000,
        callers=5_000,
        rate=1_000.0,
    ),
    "stress": Scenario(
        summary="more than one instance holds: 50,000 people over several targets",
        frontends=50_000,
        callers=25_000,
        rate=5_000.0,
    ),
    "spike": Scenario(
        summary="ten times as many questions for a fifth of the time",
        frontends=1_000,
        callers=4_000,
        rate=100.0,
        shape=((0.0, 1.0), (0.4, 10.0), (0.6, 1.0)),
    ),
    "soak": Scenario(
        summary="the ordinary day for long: --duration 24h if you like",
        frontends=1_000,
        callers=500,
        rate=100.0,
        duration=600.0,
    ),
    "storm": Scenario(
        summary="three times all frontends are cut off and reconnect at once",
        frontends=1_000,
        callers=1_000,
        rate=100.0,
        # Who is cut off while thinking has somebody else think again, which no server can help.
        think="exp:200ms",
        storms=(0.25, 0.5, 0.75),
    ),
    "slow": Scenario(
        summary="everybody is shown everything, and one frontend in ten stops reading",
        frontends=200,
        callers=50,
        rate=20.0,
        think="0",
        payload=2_000,
        delivery="all",
        slow=0.1,
    ),
    "fanout": Scenario(
        summary="every question is shown to 100 people, one of whom answers",
        frontends=100,
        callers=64,
        rate=100.0,
        think="0",
        delivery="all",
    ),
    "large": Scenario(
        summary="questions and answers of 100 KB each",
        frontends=100,
        callers=50,
        rate=20.0,
        think="0",
        payload=100_000,
    ),
    "messages": Scenario(
        summary="every user sends ten messages a second, each of which has a reply",
        frontends=1_000,
        messages=10.0,
        think="0",
    ),
    "noisy-neighbour": Scenario(
        summary="a tenant alone, and beside another one that asks ten times what it may",
        frontends=100,
        callers=100,
        rate=50.0,
        duration=30.0,
        think="0",
        noise=500.0,
    ),
    "find-limit": Scenario(
        summary="the rate is raised until answers are late or wrong; then the knee is looked for",
        frontends=100,
        callers=2_000,
        rate=500.0,
        duration=5.0,
        think="0",
        seeks_limit=True,
    ),
}
