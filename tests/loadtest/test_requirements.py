"""What is understood as a requirement, and when it holds."""

from __future__ import annotations

import pytest

from loadtest.requirements import Requirement, check, known, parse
from loadtest.result import Verdict
from tests.loadtest.example import broken, empty, find_limit, result


@pytest.mark.parametrize(
    ("text", "name", "compare", "limit"),
    [
        ("p99<20ms", "p99", "<", 20.0),
        ("p50<=2ms", "p50", "<=", 2.0),
        ("max<1s", "max", "<", 1_000.0),
        ("mean<500us", "mean", "<", 0.5),
        ("p999<1.5min", "p99.9", "<", 90_000.0),
        ("p99.9<1h", "p99.9", "<", 3_600_000.0),
        (" rate >= 40_000 ", "rate", ">=", 40_000.0),
        ("rate>=40000/s", "rate", ">=", 40_000.0),
        ("errors==0", "errors", "==", 0.0),
        ("error_rate<0.1%", "error_rate", "<", 0.001),
        ("rss<200MiB", "rss", "<", 200 * 2**20),
        ("rss<1GB", "rss", "<", 1e9),
        ("rss_growth<5%", "rss_growth", "<", 0.05),
        ("connect<5s", "connect", "<", 5_000.0),
        ("limit>1000", "limit", ">", 1_000.0),
    ],
)
def test_a_requirement_is_understood(text: str, name: str, compare: str, limit: float) -> None:
    parsed = parse(text)
    assert parsed[1:3] == (name, compare)
    assert parsed.limit == pytest.approx(limit)
    assert parsed.text == text.strip()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a requirement"),
        ("p99", "not a requirement"),
        ("p99=20ms", "not a requirement"),
        ("p99<-1ms", "not a requirement"),
        ("p99<20ms<30ms", "not a requirement"),
        ("p98<20ms", "no figure 'p98'"),
        ("p99<20", "p99 is given in us, ms, s, min, h"),
        ("p99<20MiB", "p99 is given in us"),
        ("lost==0%", "lost is given as a number"),
        ("rate>1%", "rate is given as a number or in /s"),
    ],
)
def test_a_wrong_requirement_is_told_what_exists(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        parse(text)
    assert known() in str(raised.value)


@pytest.mark.parametrize(
    ("text", "found", "held"),
    [
        ("rate>=2000", "2,000/s, just missed", False),
        ("rate>1999", "2,000/s", True),
        ("rate>2000", "2,000/s, just missed", False),
        ("errors==0", "17", False),
        ("error_rate<1%", "0.014%", True),
        ("lost==0", "3", False),
        ("duplicated<=1", "1", True),
        ("crossed<2", "2, just missed", False),
        ("late<5", "4", True),
        ("refused==7", "7", True),
        ("asked>100000", "120,000", True),
        ("answered==119986", "119,986", True),
        ("connect<1s", "800 ms", True),
        ("connections==500", "500", True),
        ("connect_refused==0", "0", True),
        ("lag<50ms", "210 ms", False),
        ("cpu<60%", "55%", True),
        ("rss<100MiB", "81.1 MiB", True),
        ("rss_growth<1%", "1.4%", False),
        ("client_lag<100ms", "950 ms", False),
        ("client_cpu<95%", "99%", False),
        ("max>1ms", "31.1 ms", True),
    ],
)
def test_a_requirement_holds_or_not_and_says_what_was_found(
    text: str, found: str, held: bool
) -> None:
    assert check([parse(text)], broken()) == [Verdict(requirement=text, found=found, held=held)]


def test_the_limit_is_what_was_found_of_it() -> None:
    assert parse("limit>=4000").judge(find_limit()).held
    assert not parse("limit>4000").judge(find_limit()).held


@pytest.mark.parametrize(
    "text", ["p99<1h", "rate>=0", "limit>=0", "error_rate<1%", "rss<1GiB", "lag<1s", "cpu<1%"]
)
def test_what_was_not_measured_does_not_hold(text: str) -> None:
    expected = Verdict(requirement=text, found="not measured", held=False)
    assert parse(text).judge(empty()) == expected


def test_verdicts_come_in_the_order_of_the_requirements() -> None:
    wanted: list[Requirement] = [parse("lost==0"), parse("p99<20ms"), parse("crossed==0")]
    assert [each.requirement for each in check(wanted, result())] == [
        "lost==0",
        "p99<20ms",
        "crossed==0",
    ]
