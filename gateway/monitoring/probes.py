"""How the process is: checks of its parts, folded into the three reports.

Pure module: the checks, the clock and the ids are handed in. The reports' JSON
is a contract with balancers and dashboards.

It refuses to tell what passes through: a report has states and numbers, never
a name, a question or a credential.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, final

import msgspec

_OK: Final = 200
_UNAVAILABLE: Final = 503
_NANOSECONDS: Final = 1_000_000_000
_REQUEST_ID_LENGTH: Final = 128
# The loop ticks every 50 ms and no accepted input stalls it as long as that: at
# this lag something is broken that only a restart mends.
_DEAD_AFTER_SECONDS: Final = 10.0


class Status(enum.IntEnum):
    """How a part is, the worst last."""

    HEALTHY = 0
    WARNING = 1
    UNHEALTHY = 2


class Check(NamedTuple):
    """What a check found: ``metadata`` are numbers and words that help to see why."""

    status: Status
    message: str = ""
    metadata: Mapping[str, object] = {}


@final
class Probes:
    """The three reports of one process.

    Args:
        components: a check for each part, by name. A check returns at once and
            does not raise: a part that cannot be reached is `Status.UNHEALTHY`.
        is_ready: whether all ports listen and the process is not going away.
        clock: the time in seconds since the epoch.
        lag: seconds since the loop that serves the sockets last did something.
        new_id: makes the id of a request that came without one.
        version: of this program.
        system_info: what the process is and uses, for people.
    """

    def __init__(  # noqa: PLR0913 - named, and all of them are the outer world
        self,
        *,
        components: Mapping[str, Callable[[], Check]],
        is_ready: Callable[[], bool],
        clock: Callable[[], float],
        lag: Callable[[], float],
        new_id: Callable[[], str],
        version: str,
        system_info: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        self._components = components
        self._is_ready = is_ready
        self._clock = clock
        self._lag = lag
        self._new_id = new_id
        self._version = version
        self._system_info = system_info
        self._started = clock()
        self._reports: Mapping[str, Callable[[], tuple[bool, dict[str, Any]]]] = {
            "/health": self._health,
            "/ready": self._ready,
            "/live": self._live,
        }

    def request_id(self, given: str) -> str:
        """Return ``given`` if it may be echoed, else a fresh id."""
        if 0 < len(given) <= _REQUEST_ID_LENGTH and all("!" <= c <= "~" for c in given):
            return given
        return self._new_id()

    def response(
        self, path: str, request_id: str = "", *, is_whole: bool = True
    ) -> tuple[int, bytes, tuple[tuple[bytes, bytes], ...]] | None:
        """Return status, JSON and headers of the report at ``path``, if there is one.

        Without ``is_whole`` it has no metadata: where the store is, and what is wrong with
        it, is not for everybody who reaches a port.
        """
        report = self._reports.get(path)
        if report is None:
            return None
        is_well, fields = report()
        if not is_whole:
            for component in fields.get("components", {}).values():
                component["metadata"] = {}
        fields["request_id"] = request_id = self.request_id(request_id)
        headers = ((b"X-Request-ID", request_id.encode("ascii")), (b"Cache-Control", b"no-store"))
        return _OK if is_well else _UNAVAILABLE, msgspec.json.encode(fields), headers

    def outline(
        self, path: str, request_id: str
    ) -> tuple[int, bytes, tuple[tuple[bytes, bytes], ...]] | None:
        """Return the same as `response` for ports of people and callers."""
        return self.response(path, request_id, is_whole=False)

    def _health(self) -> tuple[bool, dict[str, Any]]:
        now = self._clock()
        timestamp = timestamp_of(now)
        worst = Status.HEALTHY
        components = {}
        for name, check in self._components.items():
            found = check()
            worst = max(worst, found.status)
            components[name] = {
                "name": name,
                "status": found.status.name.lower(),
                "message": found.message,
                "last_checked": timestamp,
                "metadata": found.metadata,
            }
        return worst is not Status.UNHEALTHY, {
            "status": worst.name.lower(),
            "timestamp": timestamp,
            "version": self._version,
            "components": components,
            "system_info": self._system_info(),
            # A clock set back must not show a time before the start.
            "uptime": max(0, int((now - self._started) * _NANOSECONDS)),
        }

    def _ready(self) -> tuple[bool, dict[str, Any]]:
        is_ready = self._is_ready()
        return is_ready, self._state("ready" if is_ready else "not_ready")

    def _live(self) -> tuple[bool, dict[str, Any]]:
        is_alive = self._lag() < _DEAD_AFTER_SECONDS
        return is_alive, self._state("alive" if is_alive else "not_alive")

    def _state(self, status: str) -> dict[str, Any]:
        return {"status": status, "timestamp": timestamp_of(self._clock())}


def timestamp_of(seconds: float) -> str:
    """Return a time as Go's RFC3339Nano in UTC: a fraction without trailing zeros, or none."""
    # A float of today's times is good for a few tenths of a microsecond.
    microseconds = round(seconds * 1_000_000)
    second, fraction = divmod(microseconds, 1_000_000)
    text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if fraction:
        text += f".{fraction:06d}".rstrip("0")
    return text + "Z"
