"""Logs: pretty for a person at a terminal, one JSON object a line for machines.

Events are constant names in the past tense with ids as keys. It refuses to know
payloads or tokens: nobody hands them over.
"""

from __future__ import annotations

import logging
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# The names are Go's, on the command line as in what is written.
LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
_GO_NAMES: Final = {"warning": "warn", "exception": "error", "critical": "fatal"}


def configure(level: str, stream: TextIO) -> None:
    """Send everything that is logged, by structlog or the standard library, to ``stream``."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _name_level_as_go,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last = _for_people() if stream.isatty() else _for_machines()
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        # A line in one write: several processes may share the stream.
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    handler.addFilter(_without_known_trace)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries' own news matter only when something is wrong with them.
    root.setLevel(max(LEVELS[level], logging.WARNING))


def _without_known_trace(record: logging.LogRecord) -> bool:
    """Leave out where Trio accepts: while descriptors are out it says so ten times a second."""
    if record.name == "trio.serve_listeners":
        record.exc_info = None
    return True


def _name_level_as_go(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["level"] = _GO_NAMES.get(event["level"], event["level"])
    return event


def _for_people() -> list[Processor]:
    styles = structlog.dev.ConsoleRenderer.get_default_level_styles()
    styles["fatal"] = styles["critical"]
    # Not the one of rich, if that is there: it shows what local variables hold.
    plainly = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(level_styles=styles, exception_formatter=plainly)]


def _for_machines() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
