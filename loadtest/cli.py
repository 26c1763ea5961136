"""The load-test program: `python -m loadtest SCENARIO [options]`.

It reads what is wanted, starts a gateway if none is named, has the load made
and the result shown. Exit status: 0 every question got its answer and every
requirement holds, 1 not so, 2 wrongly used, the load could not be made (also when
what it was made against is not there any more), or its result could not be written.
Ctrl-C ends the load early and reports what there is; a second one ends everything.
"""

from __future__ import annotations

import argparse
import math
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from loadtest import descriptors, neighbours, outputs, places, plans, targets, thinking
from loadtest.coordinator import Coordinator, LoadError
from loadtest.places import Target
from loadtest.plans import Plan, Wishes
from loadtest.result import FORMAT, Result
from loadtest.scenarios import SCENARIOS, Scenario
from loadtest.server import ServerError

if TYPE_CHECKING:
    from loadtest.requirements import Requirement

_USAGE: Final = 2
_INTERRUPTED: Final = 130
_DESCRIPTION: Final = """\
Put a gateway under load, check every single answer, and say what it did.

Each question carries a token that its answer must repeat: what is lost, comes
twice, late or to somebody else, and every refusal, is counted and makes the exit
status 1. With a rate, questions are due by a schedule that no answer delays, and
latency counts from when a question was due, so that a stall shows whole."""
_EXAMPLES: Final = """\
examples:
  python -m loadtest baseline                          a gateway of its own, 1,000 people
  python -m loadtest baseline --users 200 --duration 10s --require 'p99<20ms'
  python -m loadtest baseline --callers 64 --think 0   closed: each asks when it has its answer
  python -m loadtest soak --duration 24h --json soak.json --report soak.html
  python -m loadtest storm --reask --target ws://h:8080,http://h:8081/mcp,http://h:8082
  python -m loadtest find-limit
  python -m loadtest --compare before.json after.json

durations are 500ms, 2s, 10m, 24h; a bare number is seconds"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        if given.list:
            outputs.say(_table())
            return 0
        if given.compare:
            return _compare(*given.compare)
        if given.scenario is None:
            parser.error("which scenario? --list shows them")
        wanted = _requirements(given.require)
        scenario, wishes = chosen(given)
        named = tuple(map(places.parse_target, given.target))
        for name in filter(None, (given.json, given.report)):
            outputs.check(name)
    except (ValueError, msgspec.MsgspecError) as error:
        parser.error(str(error))
    descriptors.allow_many()
    try:
        result = _run(given.scenario, scenario, wishes, named)
    except (LoadError, ServerError, OSError) as error:
        print(f"stopped: {error}", file=sys.stderr)
        return _USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    return _show(result, given, wanted)


def chosen(given: argparse.Namespace) -> tuple[Scenario, Wishes]:
    """Return the scenario with what the command line changes of it, and how to make it.

    Raises:
        ValueError: something does not go together.
    """
    scenario = SCENARIOS[given.scenario]
    if given.users is not None:
        scenario = scenario.of_size(given.users)
    names = ("frontends", "callers", "rate", "duration", "payload", "think", "delivery")
    changes = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    if given.callers is not None and given.rate is None and not scenario.seeks_limit:
        # So many callers and no rate: as fast as they get answers.
        changes["rate"] = None
    scenario = msgspec.structs.replace(scenario, **changes)
    busy = plans.busy_callers(scenario)
    if given.callers is None and scenario.callers < 2 * busy:
        # Chance needs room, or questions wait for callers and not for the server.
        scenario = msgspec.structs.replace(scenario, callers=math.ceil(2 * busy))
    if scenario.frontends < 1:
        raise ValueError("somebody has to be there: --frontends 1")
    if scenario.rate and not scenario.callers:
        raise ValueError("a rate needs somebody who asks: --callers 10")
    if given.driver != "selector" and (scenario.messages or scenario.storms or scenario.slow):
        raise ValueError(
            f"--driver {given.driver} answers questions and does nothing else: "
            f"{given.scenario} needs the driver selector, which is the default"
        )
    if given.deflate and (given.driver != "selector" or scenario.messages):
        raise ValueError(
            "--deflate is for frontends of the driver selector that answer questions: messages "
            "compares every byte as it is sent, and trio-websocket offers no extension"
        )
    sources = tuple(given.source.split(",")) if given.source else ()
    wishes = Wishes(
        processes=given.processes,
        sources=sources,
        era=given.era,
        protocol=given.protocol,
        driver=given.driver,
        deflate=given.deflate,
        reask=given.reask,
        arrivals=given.arrivals,
        timeout=given.timeout,
        seed=given.seed,
        gateway=given.gateway,
        tokens=targets.credentials(given.token_file, os.environ),
    )
    return scenario, wishes


def failed(result: Result) -> bool:
    """Return whether the exit status is 1.

    A server whose limit is looked for is provoked until it refuses; its answers
    have to be right all the same, and what was required has to hold.
    """
    truth = result.truth
    wrong = truth.failures
    if result.steps:
        wrong -= sum(truth.refused.values())
    return bool(wrong) or not all(each.held for each in result.verdicts)


def _run(name: str, scenario: Scenario, wishes: Wishes, given: tuple[Target, ...]) -> Result:
    # Here and not at the top: drawing is the other half, and a run can do without a terminal.
    from loadtest.progress import Progress  # noqa: PLC0415 - as said
    from loadtest.scrape import Scraper  # noqa: PLC0415 - as said

    with targets.running(scenario, wishes, given) as (used, shown):
        plan = Plan(
            name=name,
            scenario=scenario,
            wishes=shown,
            targets=used,
            sources=plans.sources(scenario, wishes, used),
            processes=plans.processes(scenario, wishes),
            run=secrets.token_hex(4),
        )
        for what, value in plans.conditions(plan):
            print(f"{what}: {value}", file=sys.stderr)
        scrapers = [Scraper(target.monitoring) for target in used if target.monitoring]
        progress = Progress(sys.stderr, None if scenario.seeks_limit else scenario.duration)
        try:
            if scenario.noise:
                return neighbours.run(plan, scrapers, lambda: progress)
            return Coordinator(plan, scrapers, progress).run()
        finally:
            progress.finish()


def _requirements(texts: Sequence[str]) -> list[Requirement]:
    if not texts:
        return []
    from loadtest import requirements  # noqa: PLC0415 - see _run

    return [requirements.parse(text) for text in texts]


def _show(result: Result, given: argparse.Namespace, wanted: Sequence[Requirement]) -> int:
    from loadtest import requirements, summary  # noqa: PLC0415 - see _run

    result.verdicts = requirements.check(wanted, result)
    files: list[tuple[str, Callable[[], bytes]]] = []
    if given.json:
        files.append((given.json, lambda: msgspec.json.format(msgspec.json.encode(result))))
    if given.report:
        from loadtest import page  # noqa: PLC0415 - see _run

        files.append((given.report, lambda: page.render(result).encode()))
    for failure in (failures := outputs.leave(summary.text(result), files)):
        print(f"not written: {failure}", file=sys.stderr)
    return _USAGE if failures else int(failed(result))


def _compare(first: str, second: str) -> int:
    from loadtest import comparison  # noqa: PLC0415 - see _run

    outputs.say(comparison.text(_read(first), _read(second)))
    return 0


def _read(name: str) -> Result:
    try:
        result = msgspec.json.decode(Path(name).read_bytes(), type=Result)
    except OSError as error:
        raise ValueError(f"{name}: {error.strerror}") from error
    if result.format != FORMAT:
        raise ValueError(f"{name} has format {result.format}, this program reads {FORMAT}")
    return result


def _table() -> str:
    lines = [f"{name:<11} {scenario.summary}" for name, scenario in SCENARIOS.items()]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest",
        usage="python -m loadtest SCENARIO [options]",
        description=_DESCRIPTION + "\n\nscenarios:\n" + _indented(_table()),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("scenario", nargs="?", choices=SCENARIOS, metavar="SCENARIO")
    parser.add_argument("--list", action="store_true", help="show the scenarios")
    parser.add_argument(
        "--compare", nargs=2, metavar="FILE", help="say how two results of --json differ"
    )
    _add_size(parser.add_argument_group("how much (each scenario has its own defaults)"))
    _add_manner(parser.add_argument_group("how"))
    _add_output(parser.add_argument_group("what comes of it"))
    return parser


def _add_size(group: argparse._ArgumentGroup) -> None:
    seconds = thinking.parse_seconds
    group.add_argument("--users", type=_whole, metavar="N", help="scale everything to N people")
    group.add_argument("--frontends", type=_whole, metavar="N", help="people's connections")
    group.add_argument(
        "--callers",
        type=_whole,
        metavar="N",
        help="agents' connections; without --rate each asks as soon as it has its answer",
    )
    group.add_argument(
        "--rate", type=_positive, metavar="R", help="questions a second in all, by a schedule"
    )
    group.add_argument(
        "--duration", type=seconds, metavar="TIME", help="of the load; of one step of find-limit"
    )
    group.add_argument(
        "--payload", type=_whole, metavar="BYTES", help="beside the token, in question and answer"
    )
    group.add_argument(
        "--think",
        metavar="DIST",
        help="how long people think: 0, 2s, exp:2s, lognormal:1.5s,0.6 (median, sigma) or "
        "uniform:1s,3s; taken off the latencies",
    )
    group.add_argument(
        "--delivery", choices=("one", "all"), help="who is shown a question at a time"
    )


def _add_manner(group: argparse._ArgumentGroup) -> None:
    usual = Wishes()
    group.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="WS,MCP[,MON]",
        help="ws://host:port,http://host:port/mcp,http://host:port (monitoring); repeatable; "
        "none: a gateway is started here",
    )
    group.add_argument(
        "--gateway",
        type=_command,
        default=usual.gateway,
        metavar="COMMAND",
        help="what starts that one (default: python -m gateway)",
    )
    group.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"has the credential for targets that want one, or {targets.VARIABLE} has it; of "
        "noisy-neighbour two: the quiet tenant's, and the noisy one's in the next line",
    )
    group.add_argument(
        "--timeout",
        type=thinking.parse_seconds,
        default=usual.timeout,
        metavar="TIME",
        help="how long a question waits (default 30s); a later answer is a failure",
    )
    group.add_argument(
        "--arrivals", choices=("poisson", "even"), default=usual.arrivals, help="default poisson"
    )
    group.add_argument(
        "--era",
        choices=("modern", "handshake", "both"),
        default=usual.era,
        help="of MCP that callers are of (default both, by turns)",
    )
    group.add_argument(
        "--protocol",
        choices=("full", "go"),
        default=usual.protocol,
        help="of frontends: all of it, or what Go deployments say (default full)",
    )
    group.add_argument(
        "--deflate",
        action="store_true",
        help="have frontends speak permessage-deflate, as browsers do, both ways",
    )
    group.add_argument(
        "--reask",
        action="store_true",
        help="ask a question again when its connection was cut, with the same idempotency_key",
    )
    group.add_argument("--processes", type=_positive_whole, metavar="N", help="that make the load")
    group.add_argument(
        "--source",
        metavar="ADDRESS,...",
        help="addresses to come from: one has ports for 28,000 connections (chosen on loopback)",
    )
    group.add_argument(
        "--driver",
        choices=("selector", "trio-websocket"),
        default=usual.driver,
        help="of frontends: our own fast one (default), or the plain trio-websocket client in "
        "processes of its own, for a second opinion; that one only answers, so storm, slow and "
        "messages do without it",
    )
    group.add_argument(
        "--seed", type=int, default=usual.seed, metavar="N", help="of all chance (default 1)"
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="WHAT",
        help="fail unless it holds, such as 'p99<20ms'; repeatable",
    )
    group.add_argument("--json", metavar="FILE", help="write the result, for --compare")
    group.add_argument("--report", metavar="FILE", help="write an HTML page about it")


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())


def _command(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError:  # a quotation that does not end
        words = ()
    if not words or shutil.which(words[0]) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no command that can be run")
    return words


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _positive_whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise ValueError(text)
    return number
