"""How much a tenant, and each subject of it, may use when nothing else is said.

Pure module.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from pool.settings import setting

ASKS: Final = "asks_per_second"
BYTES: Final = "bytes_per_minute"
#: The quotas that are a number of things held at once.
LEVELS: Final = ("pending", "frontends", "sessions", "streams", "registered_tools")
NAMES: Final = (ASKS, BYTES, *LEVELS)
_SUBJECT: Final = "subject_"


def _of_tenant(default: float, help_: str, unit: str) -> Any:
    words = f"{help_} of a tenant, at all instances together; 0: no limit."
    return setting(default, words, unit=unit, minimum=0)


def _of_subject(default: float, help_: str, unit: str) -> Any:
    return setting(
        default, f"{help_} of one subject of a tenant; 0: no limit.", unit=unit, minimum=0
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """For every tenant that the file does not name."""

    file: str = setting(
        "",
        "A TOML file with a table for each tenant that has quotas of its own, named as the flags "
        "are: [acme], pending = 500. Read again when it changes.",
    )
    asks_per_second: float = _of_tenant(1_000.0, "Questions and notifications a second", "asks")
    bytes_per_minute: int = _of_tenant(
        1024 * 1024 * 1024,
        "Bytes of requests and of messages from frontends, in a minute,",
        "bytes",
    )
    pending: int = _of_tenant(20_000, "Questions without an outcome", "questions")
    frontends: int = _of_tenant(20_000, "Connected frontends", "frontends")
    sessions: int = _of_tenant(10_000, "MCP sessions", "sessions")
    streams: int = _of_tenant(20_000, "Calls that wait, and streams that listen,", "streams")
    registered_tools: int = _of_tenant(
        20_000, "Tools that connected frontends offer, each of them its own,", "tools"
    )
    subject_asks_per_second: float = _of_subject(
        0.0, "Questions and notifications a second", "asks"
    )
    subject_bytes_per_minute: int = _of_subject(
        0, "Bytes of requests and of messages from frontends, in a minute,", "bytes"
    )
    subject_pending: int = _of_subject(0, "Questions without an outcome", "questions")
    subject_frontends: int = _of_subject(0, "Connected frontends", "frontends")
    subject_sessions: int = _of_subject(0, "MCP sessions", "sessions")
    subject_streams: int = _of_subject(0, "Calls that wait, and streams that listen,", "streams")
    subject_registered_tools: int = _of_subject(
        0, "Tools that connected frontends offer, each of them its own,", "tools"
    )


#: What is limited, by its name, and how much; what is not limited is not in it.
Limits = dict[str, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Quota:
    """What one tenant may use in all, and each of its subjects."""

    tenant: Limits
    subject: Limits

    @property
    def is_free(self) -> bool:
        """Whether nothing is limited."""
        return not (self.tenant or self.subject)


def quota_of(settings: Settings) -> Quota:
    """Return the quota that settings say."""
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return Quota(
        {name: values[name] for name in NAMES if values[name]},
        {name: values[_SUBJECT + name] for name in NAMES if values[_SUBJECT + name]},
    )


def in_force(settings: Settings, *, are_known: bool) -> Settings:
    """Return the settings that count: without credentials only those that somebody set.

    There is one tenant then, who need not be kept from another one's share.
    """
    if are_known:
        return settings
    usual = Settings()
    off: dict[str, Any] = {
        field.name: 0
        for field in dataclasses.fields(settings)
        if field.name != "file" and getattr(settings, field.name) == getattr(usual, field.name)
    }
    return dataclasses.replace(settings, **off)
