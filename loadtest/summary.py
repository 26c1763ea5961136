"""What a run found, as a table at its end.

Pure module. What should be zero and is not, what did not hold, and a client
that was the limit are marked, for nobody reads every line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loadtest import figures, readings
from loadtest.result import Result, Step

_Section = tuple[str, Sequence[tuple[str, str]]]


def text(result: Result) -> str:
    """Return the table."""
    sections = [section for section in _sections(result) if section[1]]
    widest = max(len(name) for _, lines in sections for name, _ in lines)
    blocks = [
        "\n".join((title, *(f"  {name:{widest}}  {said}".rstrip() for name, said in lines)))
        for title, lines in sections
    ]
    if result.client.bottleneck:
        # First and last: the figures between them are not what they seem.
        warning = f"!!! THE CLIENT WAS THE LIMIT, not the server: {result.client.bottleneck}"
        blocks = [warning, *blocks, warning]
    return "\n\n".join(blocks) + "\n"


def _sections(result: Result) -> Iterator[_Section]:
    yield (
        f"{result.scenario}, {result.began}, {figures.clock(result.seconds)}",
        list(result.conditions.items()),
    )
    yield "Truth", _truth(result)
    yield "Latency", _latency(result)
    yield "Neighbour", _neighbour(result)
    yield "Throughput", _throughput(result)
    yield "Client", _client(result)
    yield "Server", _server(result)
    yield "Limit", _limit(result)
    yield (
        "Requirements",
        [
            (verdict.requirement, f"{'holds' if verdict.held else 'FAILED'}: {verdict.found}")
            for verdict in result.verdicts
        ],
    )


def _truth(result: Result) -> list[tuple[str, str]]:
    truth = result.truth
    wrong = {
        "lost": truth.lost,
        "duplicated": truth.duplicated,
        "crossed": truth.crossed,
        "late": truth.late,
        **{f"refused: {_one_line(why)}": count for why, count in truth.refused.items()},
    }
    return [
        ("asked", f"{truth.asked:>12,}"),
        ("answered", f"{truth.answered:>12,}"),
        *(
            (name, f"{count:>12,}{'  <<< NOT ZERO' if count else ''}")
            for name, count in wrong.items()
        ),
    ]


def _latency(result: Result) -> list[tuple[str, str]]:
    latency = result.latency
    if not latency.count:
        return [("none", "nothing was answered")]
    return [
        (name, f"{figures.milliseconds(value):>12}")
        for name, value in (
            ("mean", latency.mean),
            ("p50", latency.p50),
            ("p90", latency.p90),
            ("p99", latency.p99),
            ("p99.9", latency.p999),
            ("max", latency.max),
        )
    ]


def _neighbour(result: Result) -> list[tuple[str, str]]:
    other = result.neighbour
    if other is None:
        return []
    return [
        ("p99 alone", f"{figures.milliseconds(other.p99_alone):>12}"),
        ("p99 beside it", f"{figures.milliseconds(other.p99_beside):>12}"),
        ("ratio", f"{figures.ratio(other.ratio):>12}"),
        ("it asked", f"{other.asked:>12,}"),
        ("and was answered", f"{other.answered:>12,}"),
        ("over its quota", f"{other.over_quota:>12,}"),
    ]


def _throughput(result: Result) -> list[tuple[str, str]]:
    connecting = result.connecting
    refused = f", {connecting.refused:,} REFUSED" if connecting.refused else ""
    frames = sum(each.frames for each in result.slices)
    asked = result.truth.asked / result.seconds if result.seconds > 0 else None
    return [
        ("asked", f"{figures.rate(asked):>12}"),
        ("answered", f"{figures.rate(readings.answered_rate(result)):>12}"),
        ("frames received", f"{frames:>12,}"),
        (
            "connecting",
            f"{connecting.connections:>12,} in {figures.seconds(connecting.seconds)}{refused}",
        ),
    ]


def _client(result: Result) -> list[tuple[str, str]]:
    client = result.client
    verdict = "THE LIMIT, see above" if client.bottleneck else "fit to measure"
    where = ", beside the limit" if result.steps else ""
    return [
        ("verdict", verdict),
        ("processes", f"{client.processes}"),
        ("longest stall", figures.milliseconds(client.lag_max)),
        ("busiest process", f"{figures.share(client.cpu)} of a core{where}"),
    ]


def _server(result: Result) -> list[tuple[str, str]]:
    lines = []
    for instance in readings.instances(result.server):
        start, end, peak = map(
            figures.size, (instance.rss_start, instance.rss_end, instance.rss_peak)
        )
        grown, cpu = figures.share(instance.rss_growth), figures.share(instance.cpu)
        lag = figures.milliseconds(instance.lag_max)
        lines += [
            (instance.address, f"memory {start} to {end} ({grown}), at most {peak}"),
            ("", f"loop at most {lag} late, {cpu} of a core"),
        ]
    return lines


def _limit(result: Result) -> list[tuple[str, str]]:
    if not result.steps:
        return []
    found = readings.knee(result.steps)
    return [
        *(
            (figures.rate(step.rate), _step(step))
            for step in sorted(result.steps, key=lambda step: step.rate)
        ),
        ("limit", "no rate held" if found is None else f"{figures.rate(found)} held"),
    ]


def _step(step: Step) -> str:
    held = "held " if step.held else "BROKE"
    p50, p99 = figures.milliseconds(step.p50), figures.milliseconds(step.p99)
    answered = figures.rate(step.answered_rate)
    client, server = figures.share(step.client_cpu), figures.share(step.server_cpu)
    return (
        f"{held}  answered {answered}, p50 {p50}, p99 {p99}, {step.failed:,} failed, "
        f"of a core: client {client}, server {server}"
    )


def _one_line(said: str) -> str:
    # A server's own words: they move no cursor and fill no screen.
    return "".join(letter if letter.isprintable() else " " for letter in said[:80])
