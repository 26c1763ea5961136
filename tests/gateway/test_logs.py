"""What is logged, as a person and as a machine reads it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gateway.logs import LEVELS, configure


class Terminal(io.StringIO):
    """A stream that a person watches."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def machine(level: str) -> tuple[Any, io.StringIO]:
    """Return a logger and what reads its lines."""
    stream = io.StringIO()
    configure(level, stream)
    return structlog.get_logger(), stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_machine_gets_one_json_object_a_line() -> None:
    log, stream = machine("info")
    log.info("question_routed", question_id="q1", text="two\nlines")
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "question_routed",
        "level": "info",
        "question_id": "q1",
        "text": "two\nlines",
    }


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_keeps_what_is_as_important_under_the_name_go_gives_it(level: str) -> None:
    log, stream = machine(level)
    for method in ("debug", "info", "warning", "error", "critical"):
        log.log(logging.getLevelNamesMapping()[method.upper()], "happened")
    assert [line["level"] for line in lines(stream)] == list(LEVELS)[list(LEVELS).index(level) :]


def test_an_exception_is_an_error_with_its_traceback_in_the_same_line() -> None:
    log, stream = machine("info")
    try:
        int("broken")
    except ValueError:
        log.exception("job_failed", lane="a")
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert "ValueError: invalid literal" in line["exception"]


def test_a_value_that_json_does_not_know_loses_no_line() -> None:
    log, stream = machine("info")
    log.info("peer_seen", peer=b"\xff", of={1, 2})
    assert lines(stream)[0]["peer"] == "b'\\xff'"


def test_libraries_are_heard_in_the_same_words_from_warnings_on() -> None:
    _, stream = machine("debug")
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("it %s", "broke")
    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("it broke", "warn")


def test_libraries_are_not_heard_below_the_level() -> None:
    _, stream = machine("error")
    logging.getLogger("library").warning("it broke")
    assert stream.getvalue() == ""


def test_a_person_reads_event_level_and_keys() -> None:
    stream = Terminal()
    configure("info", stream)
    log = structlog.get_logger()
    log.info("gateway_started", ws_port=8080)
    log.critical("gateway_fell")
    text = stream.getvalue()
    assert not text.startswith("{")
    for word in ("gateway_started", "info", "ws_port", "8080", "fatal"):
        assert word in text


def test_what_was_configured_last_is_what_counts() -> None:
    log, before = machine("debug")
    _, after = machine("info")
    log.debug("unheard")
    log.info("heard")
    logging.getLogger("library").error("heard too")
    assert before.getvalue() == ""
    assert [line["event"] for line in lines(after)] == ["heard", "heard too"]


def test_being_out_of_descriptors_is_said_in_a_line_each_time() -> None:
    """Trio says it of the monitoring port ten times a second, with where in its code it was."""
    _, stream = machine("info")
    full = OSError(24, "Too many open files")
    logging.getLogger("trio.serve_listeners").error("accept returned", exc_info=full)
    logging.getLogger("library").error("it broke", exc_info=full)
    known, other = lines(stream)
    assert (known["event"], "exception" in known) == ("accept returned", False)
    assert "Too many open files" in other["exception"]


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_an_error_is_told_without_what_local_variables_hold(stream: io.StringIO) -> None:
    configure("info", stream)
    token = "canary"
    try:
        int(token[:0])
    except ValueError as error:
        structlog.get_logger().error("job_failed", exc_info=error)
    assert "Traceback" in stream.getvalue()
    assert "canary" not in stream.getvalue()
