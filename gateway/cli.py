"""The command line: ``frontend-router [serve] | ask | answer | check``.

It reads arguments, says what is wrong with them, and hands over; what the
commands do is elsewhere.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Final, NoReturn

from gateway import settings as settings_module
from gateway.settings import Settings, SettingsError

_USAGE: Final = 2
_FAILED: Final = 1
_COMMANDS: Final = ("serve", "ask", "answer", "check")
_DESCRIPTION: Final = """\
The gateway through which AI agents reach people: an agent calls the MCP tool
ask_user, the question appears in front of a person, the answer returns."""
_EXAMPLES: Final = """\
examples:
  frontend-router                                  serve on 8080, 8081 and 8082
  frontend-router --ws-port 9000 --delivery one    other ports, one person a question
  frontend-router ask "Ship it?" --choice yes --choice no
  frontend-router answer                           an inbox in this terminal
  frontend-router check --config gateway.toml      what would be served, in words

Every setting is also an environment variable (FRONTEND_ROUTER_WS_PORT=9000) and a
line in a TOML file (--config FILE)."""


class _Parser(argparse.ArgumentParser):
    """argparse, whose complaint about an unknown flag names the nearest one."""

    def error(self, message: str) -> NoReturn:
        unknown = re.search(r"unrecognized arguments: (--?[\w-]+)", message)
        if unknown is not None:
            message = f"there is no flag {unknown[1]}; the nearest is "
            message += settings_module.nearest_flag("--" + unknown[1].lstrip("-"))
        self.exit(_USAGE, f"frontend-router: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status: 0 well, 1 failed, 2 wrongly used."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(_with_command(given))
    if options.command in ("ask", "answer"):
        status: int = importlib.import_module(f"gateway.terminal.{options.command}").main(options)
        return status
    try:
        settings = settings_module.load(vars(options), os.environ)
    except SettingsError as error:
        print(f"frontend-router: {error}", file=sys.stderr)
        return _USAGE
    if options.command == "check":
        print(described(settings))
        return 0
    return _serve(settings)


def described(settings: Settings) -> str:
    """Return in words what would be served, and to whom."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    others = ", ".join(settings.access.origins) or "none"
    return (
        "The settings are good. This would be served:\n"
        f"  the inbox and frontends   http://{host}:{settings.ws_port}/ and /ws\n"
        f"  agents (MCP)              http://{host}:{settings.mcp_port}/mcp\n"
        f"  health and metrics        http://{host}:{settings.monitoring_port}/health, /metrics\n"
        "Everybody on this machine may ask and answer; nobody else can reach it.\n"
        f"Pages of other origins that may connect: {others}.\n"
        "Questions and answers are kept in memory and end with the process."
    )


def _serve(settings: Settings) -> int:
    # Not at the top: the other commands need none of it.
    app = importlib.import_module("gateway.app")
    logs = importlib.import_module("gateway.logs")
    logs.configure(settings.log_level, sys.stdout)
    try:
        status: int = app.serve(settings)
    except OSError as error:
        print(f"frontend-router: {error.args[-1]}", file=sys.stderr)
        return _FAILED
    return status


def _with_command(arguments: list[str]) -> list[str]:
    """Put ``serve`` where no command is, and the second dash where Go's flags have one."""
    flags = {name.flag[1:] for name in settings_module.names() if not name.part}
    arguments = ["-" + each if each.partition("=")[0] in flags else each for each in arguments]
    if arguments and (arguments[0] in _COMMANDS or arguments[0] in ("-h", "--help", "--version")):
        return arguments
    return ["serve", *arguments]


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        "frontend-router", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=raw,
        allow_abbrev=False,
    )  # fmt: skip
    version = metadata.version("frontend-router")
    parser.add_argument("--version", action="version", version=f"frontend-router {version}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, help_ in (
        ("serve", "Serve until told to stop (the default)."),
        ("check", "See whether the settings are good and say what they mean."),
    ):
        command = commands.add_parser(
            name, help=help_, description=help_, formatter_class=raw, allow_abbrev=False
        )
        settings_module.add_arguments(command)
    for name, help_ in (
        ("ask", "Ask people a question, as an agent would."),
        ("answer", "Answer questions in this terminal."),
    ):
        command = commands.add_parser(name, help=help_, description=help_, allow_abbrev=False)
        if name in sys.argv[1:2] or name in sys.argv[2:]:
            importlib.import_module(f"gateway.terminal.{name}").add_arguments(command)
    return parser
