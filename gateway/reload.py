"""What a running gateway takes on when it is told (SIGHUP) that its settings have changed.

That is what is read at each use: whose requests are served, limits, times, the log level.
The rest is made at the start, and named as what needs a restart. Settings that cannot be
used are refused whole, and the gateway goes on as before.
"""

from __future__ import annotations

import dataclasses
import operator
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import structlog

from gateway import logs
from gateway.setting_names import SettingsError
from gateway.settings import Settings, names

if TYPE_CHECKING:
    from gateway.app import Gateway

log = structlog.get_logger()

# By their keys, or whole parts.
_AT_RUN_TIME: Final = frozenset(
    (
        "log_level",
        "access",
        "http",
        "frontends",
        "drain",
        "questions",
        "connections.per_address",
        "connections.outbox_bytes",
        "connections.send_seconds",
        "connections.accept_pause_seconds",
    )
)
# How questions are handed round, and packed, is settled at the start.
_AT_THE_START: Final = frozenset(
    ("questions.unseen_seconds", "frontends.compress_bytes", "frontends.dictionary_bytes")
)


class Changes(NamedTuple):
    """What differs: the new values of what can change, and the names of what cannot."""

    settings: Settings
    changed: dict[str, tuple[Any, Any]]
    needs_restart: list[str]


@final
class Reloader:
    """The settings as they were read last, and how to read them again."""

    def __init__(self, load: Callable[[], Settings], known: Settings) -> None:
        self._load = load
        self._known = known

    def read(self) -> Changes | None:
        """Read the settings again; ``None``, with a word in the log, when they are no good."""
        try:
            wanted = self._load()
        except SettingsError as error:
            log.error("reload_refused", reason=str(error))  # noqa: TRY400 - a person's mistake has no traceback
            return None
        changes = compared(self._known, wanted)
        self._known = changes.settings
        log.info(
            "settings_reloaded",
            changed={key: list(values) for key, values in changes.changed.items()},
            # Their values may be secrets, as a store's password is.
            needs_restart=changes.needs_restart,
        )
        return changes


def compared(known: Settings, wanted: Settings) -> Changes:
    """Return what ``wanted`` changes of ``known`` at run time, and what it cannot."""
    changed: dict[str, tuple[Any, Any]] = {}
    needs_restart = []
    for name in names():
        before, after = (operator.attrgetter(name.key)(each) for each in (known, wanted))
        if before == after:
            continue
        if {name.part, name.key} & _AT_RUN_TIME and name.key not in _AT_THE_START:
            changed[name.key] = (before, after)
        else:
            needs_restart.append(name.key)
    return Changes(with_changes(known, changed), changed, needs_restart)


def with_changes(settings: Settings, changed: dict[str, tuple[Any, Any]]) -> Settings:
    """Return settings with new values by their keys."""
    for key, (_, after) in changed.items():
        part, _, field = key.rpartition(".")
        if not part:
            settings = dataclasses.replace(settings, **{field: after})
            continue
        values = dataclasses.replace(getattr(settings, part), **{field: after})
        settings = dataclasses.replace(settings, **{part: values})
    return settings


def apply(gateway: Gateway, changes: Changes) -> None:
    """Have a running gateway use what has changed, from the next use on."""
    settings = gateway.settings = with_changes(gateway.settings, changes.changed)
    logs.configure(settings.log_level, sys.stdout)
    gateway.connections.settings = settings.connections
    gateway.frontends.settings = settings.frontends
    gateway.frontends.admit_embedders(settings.access.origins)
    gateway.router.settings = settings.questions
    gateway.allowlist.become(settings.access)
    gateway.proxies.become(
        settings.access.proxies, speaks_proxy_protocol=settings.access.proxy_protocol == "on"
    )
    gateway.codings.limit = settings.http.body_bytes
    for site in gateway.sites:
        site.limits = settings.http
        site.heads.become(settings.http)
