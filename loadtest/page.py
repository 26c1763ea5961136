"""A run as one page that can be mailed: nothing of it is anywhere else.

Pure module but for its own style sheet. What was promised comes first, then how
it went over time, with the server below on the same axis. It has no script, so a
policy in its head forbids all of them, and every other resource, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import Final

from loadtest import figures, readings, timelines
from loadtest.result import Result

_STYLE: Final = resources.files("loadtest").joinpath("page.css").read_text(encoding="utf-8")
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)

#: Cells of a row, and the class of the row.
_Row = tuple[Sequence[str], str]


def render(result: Result) -> str:
    """Return the page."""
    title = escape(f"Load test: {result.scenario}")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{title}</title>
<style>
{_STYLE}</style>
</head>
<body><main>
<header><h1>{title}</h1><p>{escape(result.began)} · {figures.clock(result.seconds)}</p></header>
{_banners(result)}
{_tiles(result)}
<div class="cards">{_verdicts(result)}{_truth(result)}{_latency(result)}</div>
{_search(result)}<h2>Latency</h2>
{_all(timelines.latency(result))}<div class="tall">{_all(timelines.percentiles(result))}</div>
<h2>Load</h2>
{_all(timelines.load(result))}<h2>Server <small>as it says of itself, on the same axis</small></h2>
<div class="short">{_all(timelines.server(result))}</div>
{_quiet(result)}<h2>Client <small>whether the load's own side was fit to measure</small></h2>
<div class="short">{_all(timelines.client(result))}</div>
<h2>Conditions</h2>
<div class="cards">{_conditions(result)}{_costs(result)}</div>
<footer>Latency counts from the moment at which a question was meant to be asked. Lines of long
runs show the highest and the lowest of each stretch.</footer>
</main></body>
</html>
"""


def _banners(result: Result) -> str:
    found = []
    if result.client.bottleneck:
        said = (
            "The client was the limit, not the server. These figures say more of the load's side."
        )
        found.append(_banner("warn", said, result.client.bottleneck))
    truth = result.truth
    failed = [verdict.requirement for verdict in result.verdicts if not verdict.held]
    if truth.failures:
        said = f"{truth.failures:,} of {truth.asked:,} questions went wrong."
        found.append(_banner("bad", said, ""))
    if failed:
        found.append(_banner("bad", "Requirements that do not hold:", ", ".join(failed)))
    if not truth.asked:
        found.append(_banner("warn", "Nothing was asked.", ""))
    elif not truth.failures and not failed:
        said = (
            f"All is well: {truth.asked:,} asked, {truth.answered:,} answered, nothing went wrong."
        )
        found.append(_banner("good", said, ""))
    return "\n".join(found)


def _banner(kind: str, said: str, more: str) -> str:
    return f'<div class="banner {kind}" role="status"><b>{escape(said)}</b>{escape(more)}</div>'


def _tiles(result: Result) -> str:
    latency = result.latency
    known = latency.count > 0
    tiles = [
        ("answered", figures.rate(readings.answered_rate(result)), ""),
        *(
            (name, figures.milliseconds(value if known else None), "")
            for name, value in (("p50", latency.p50), ("p99", latency.p99), ("max", latency.max))
        ),
        ("went wrong", f"{result.truth.failures:,}", "bad" if result.truth.failures else ""),
    ]
    if result.steps:
        tiles.insert(0, ("limit", figures.rate(readings.knee(result.steps)), ""))
    return '<div class="tiles">{}</div>'.format(
        "".join(
            f'<div class="{kind}"><span>{escape(name)}</span><b>{escape(said)}</b></div>'
            for name, said, kind in tiles
        )
    )


def _verdicts(result: Result) -> str:
    return _card(
        "Requirements",
        (
            (
                (verdict.requirement, verdict.found, "holds" if verdict.held else "FAILED"),
                "right" if verdict.held else "wrong",
            )
            for verdict in result.verdicts
        ),
    )


def _truth(result: Result) -> str:
    truth = result.truth
    wrong = {
        "lost": truth.lost,
        "duplicated": truth.duplicated,
        "crossed": truth.crossed,
        "late": truth.late,
        **{f"refused: {why}": count for why, count in truth.refused.items()},
    }
    return _card(
        "Truth",
        (
            (("asked", f"{truth.asked:,}"), ""),
            (("answered", f"{truth.answered:,}"), ""),
            *(((name, f"{count:,}"), "wrong" if count else "") for name, count in wrong.items()),
        ),
    )


def _latency(result: Result) -> str:
    latency = result.latency
    if not latency.count:
        return ""
    values = {
        "mean": latency.mean,
        "p50": latency.p50,
        "p90": latency.p90,
        "p99": latency.p99,
        "p99.9": latency.p999,
        "max": latency.max,
    }
    rows = (((name, figures.milliseconds(value)), "") for name, value in values.items())
    return _card("Latency", rows)


def _search(result: Result) -> str:
    if not result.steps:
        return ""
    steps = sorted(result.steps, key=lambda step: step.rate)
    rows = (
        (
            (
                figures.rate(step.rate),
                figures.rate(step.answered_rate),
                figures.milliseconds(step.p50),
                figures.milliseconds(step.p99),
                f"{step.failed:,}",
                figures.share(step.client_cpu),
                figures.share(step.server_cpu),
                "held" if step.held else "broke",
            ),
            "right" if step.held else "wrong",
        )
        for step in steps
    )
    headings = ("asked", "answered", "p50", "p99", "failed", "client CPU", "server CPU", "")
    table = _card("Rates that were tried", rows, headings)
    return f'<h2>Limit</h2>\n{_all(timelines.knee(result))}<div class="cards">{table}</div>\n'


def _quiet(result: Result) -> str:
    quiet = timelines.always_zero(result)
    return f"<p><small>Always zero: {escape(', '.join(quiet))}.</small></p>\n" if quiet else ""


def _conditions(result: Result) -> str:
    connecting, client = result.connecting, result.client
    return _card(
        "What and where", (((name, said), "") for name, said in result.conditions.items())
    ) + _card(
        "The load's side",
        (
            (("connections", f"{connecting.connections:,}"), ""),
            (("connected in", figures.seconds(connecting.seconds)), ""),
            (
                ("handshakes refused", f"{connecting.refused:,}"),
                "wrong" if connecting.refused else "",
            ),
            (("processes", f"{client.processes:,}"), ""),
            (("longest stall", figures.milliseconds(client.lag_max)), ""),
            (("busiest process, of a core", figures.share(client.cpu)), ""),
        ),
    )


def _costs(result: Result) -> str:
    rows = (
        (
            (
                instance.address,
                figures.size(instance.rss_start),
                figures.size(instance.rss_end),
                figures.share(instance.rss_growth),
                figures.milliseconds(instance.lag_max),
                figures.share(instance.cpu),
            ),
            "",
        )
        for instance in readings.instances(result.server)
    )
    headings = ("instance", "memory", "at the end", "growth", "loop lag", "of a core")
    return _card("The server's side", rows, headings)


def _card(title: str, rows: Iterable[_Row], headings: Sequence[str] = ()) -> str:
    """Return a table, or nothing where there are no rows."""
    lines = [
        f'<tr class="{kind}"><th>{escape(first)}</th>'
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in others)}</tr>"
        for (first, *others), kind in rows
    ]
    if not lines:
        return ""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = (f"<tr>{head}</tr>" if head else "") + "".join(lines)
    return f'<section class="card"><h3>{escape(title)}</h3><table>{body}</table></section>'


def _all(charts: Iterable[timelines.Chart]) -> str:
    return "".join(chart.html() for chart in charts)
