"""Defaults that promises depend on."""

from __future__ import annotations

from gateway.mcp import settings, tools
from pool.settings import declarations


def test_every_setting_is_explained_and_within_its_bounds() -> None:
    for each in (settings.Settings, tools.Settings):
        for name, (_, declared) in declarations(each).items():
            assert declared.help.endswith("."), name
            value = getattr(each(), name)
            if type(value) is not str:
                assert declared.minimum is not None
                assert declared.minimum <= value


def test_waiting_is_as_promised() -> None:
    defaults = settings.Settings()
    assert defaults.json_seconds == 0.1
    assert defaults.keep_alive_seconds <= 15
