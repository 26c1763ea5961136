"""What of changed settings is taken on at run time, and what is named instead."""

from __future__ import annotations

from typing import Any

import structlog

from gateway.reload import Reloader, compared, with_changes
from gateway.settings import Settings, load


def settings(**given: str) -> Settings:
    variables = {f"FRONTEND_ROUTER_{name.upper()}": value for name, value in given.items()}
    return load({}, variables)


def test_what_is_read_at_each_use_changes_and_the_rest_is_named() -> None:
    known = settings(store="redis://:secret@localhost")
    wanted = settings(
        store="redis://:other@localhost",
        log_level="debug",
        ws_port="1",
        access_hosts="a.example",
        http_body_bytes="2048",
        connections_per_address="7",
        connections_maximum="9",
        questions_unseen_seconds="1",
        questions_default_seconds="2",
    )
    changes = compared(known, wanted)
    assert changes.changed == {
        "log_level": ("info", "debug"),
        "access.hosts": ((), ("a.example",)),
        "http.body_bytes": (4 * 1024 * 1024, 2048),
        "connections.per_address": (16_384, 7),
        "questions.default_seconds": (300.0, 2.0),
    }
    assert changes.needs_restart == [
        *("ws_port", "store", "connections.maximum", "questions.unseen_seconds")
    ]
    assert changes.settings.connections.per_address == 7
    assert changes.settings.connections.maximum == known.connections.maximum
    assert (changes.settings.ws_port, changes.settings.store) == (known.ws_port, known.store)


def test_nothing_changed_is_nothing_to_do() -> None:
    changes = compared(settings(), settings())
    assert (changes.settings, changes.changed, changes.needs_restart) == (settings(), {}, [])
    assert with_changes(settings(), {}) == settings()


def test_what_needs_a_restart_is_named_until_it_was_restarted() -> None:
    reloader = Reloader(lambda: settings(ws_port="1", log_level="warn"), settings())
    first, second = reloader.read(), reloader.read()
    assert first is not None
    assert second is not None
    assert set(first.changed) == {"log_level"}
    assert second.changed == {}
    assert first.needs_restart == second.needs_restart == ["ws_port"]


def test_settings_that_are_no_good_are_refused_whole_and_the_next_are_compared_with_the_old() -> (
    None
):
    given: dict[str, Any] = {"log_level": "loud", "access_hosts": "a.example"}
    reloader = Reloader(lambda: settings(**given), settings())
    with structlog.testing.capture_logs() as logs:
        assert reloader.read() is None
    assert logs == [
        {
            "event": "reload_refused",
            "log_level": "error",
            "reason": "FRONTEND_ROUTER_LOG_LEVEL is one of debug, info, warn, error, fatal, "
            "not 'loud'",
        }
    ]
    given["log_level"] = "debug"
    changes = reloader.read()
    assert changes is not None
    assert set(changes.changed) == {"log_level", "access.hosts"}


def test_no_secret_is_logged() -> None:
    reloader = Reloader(lambda: settings(store="redis://:hush@localhost"), settings())
    with structlog.testing.capture_logs() as logs:
        reloader.read()
    assert logs[0]["needs_restart"] == ["store"]
    assert "hush" not in str(logs)
