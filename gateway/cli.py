"""The command line: ``frontend-router [serve] | ask | answer | check | loadtest``.

It reads arguments, says what is wrong with them, and hands over; what the
commands do is elsewhere. It refuses names it does not know, with the nearest
that it does.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Final

from gateway import settings as settings_module
from gateway.ports import url_host
from gateway.setting_names import SettingsError, unknown
from gateway.settings import Settings

_USAGE: Final = 2
_FAILED: Final = 1
_INTERRUPTED: Final = 130
_COMMANDS: Final = {
    "serve": "Serve until told to stop (the default).",
    "ask": "Ask people a question, as an agent would.",
    "answer": "Answer questions in this terminal.",
    "check": "See whether the settings are good and say what they mean.",
    "loadtest": "Put a gateway under load and check every answer.",
}
_DESCRIPTION: Final = """\
The gateway through which AI agents reach people: an agent calls the MCP tool
ask_user, the question appears in front of a person, the answer returns."""
_EXAMPLES: Final = """\
examples:
  frontend-router                                  serve on 8080, 8081 and 8082
  frontend-router --ws-port 9000 --delivery one    other ports, one person a question
  frontend-router serve --help                     every setting
  frontend-router check --config gateway.toml      what would be served, in words
  frontend-router ask "Ship it?" --choice yes --choice no
  frontend-router answer                           an inbox in this terminal
  frontend-router loadtest baseline                how it does with 1,000 people"""
_SETTINGS_EPILOG: Final = """\
Every setting is also an environment variable (FRONTEND_ROUTER_WS_PORT=9000) and
a line of a TOML file (ws_port = 9000; under [connections]: maximum = 1000). A
flag wins over the environment, the environment over the file."""


class UsageError(ValueError):
    """The command line is not one of ours; the message says what is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status: 0 well, 1 failed, 2 wrongly used."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["loadtest"]:
        return _load_test(given[1:])
    try:
        return _run(_read(_with_command(given)))
    except (SettingsError, UsageError) as error:
        return _complain(error, _USAGE)
    except KeyboardInterrupt:
        return _INTERRUPTED


def described(settings: Settings) -> str:
    """Return in words what would be served, and to whom."""
    host = url_host(settings.host)
    everybody = settings.delivery == "all"
    lines = [
        "The settings are good. This would be served:",
        f"  the inbox and frontends   http://{host}:{settings.ws_port}/ and /ws",
        f"  agents (MCP)              http://{host}:{settings.mcp_port}/mcp",
        f"  health and metrics        http://{host}:{settings.monitoring_port}/health, /metrics",
        "Everybody on this machine may ask and answer; nobody else can reach it.",
        f"Pages of other origins that may connect: {', '.join(settings.access.origins) or 'none'}.",
        "A question is offered to "
        + ("everybody it is for." if everybody else "one frontend after the other."),
        "Questions and answers are kept in memory and end with the process.",
    ]
    changed = settings_module.changed(settings)
    if changed:
        lines += ["Other than by default:", *(f"  {flag} {value}" for flag, value in changed)]
    return "\n".join(lines)


def _run(options: argparse.Namespace) -> int:
    if options.command in ("ask", "answer"):
        status: int = _terminal(options.command).main(options)
        return status
    settings = settings_module.load(vars(options), os.environ)
    if options.command == "check":
        print(described(settings))
        return 0
    # Not at the top: the other commands need none of it.
    app = importlib.import_module("gateway.app")
    logs = importlib.import_module("gateway.logs")
    logs.configure(settings.log_level, sys.stdout)
    try:
        status = app.serve(settings)
    except OSError as error:
        return _complain(error.args[-1], _FAILED)
    return status


def _load_test(arguments: Sequence[str]) -> int:
    # Not at the top, and by its name: a gateway needs none of it.
    try:
        program = importlib.import_module("loadtest.cli")
    except ModuleNotFoundError as error:
        return _complain(f"{error}: pip install 'frontend-router[loadtest]'", _FAILED)
    status: int = program.main(arguments)
    return status


def _complain(problem: object, status: int) -> int:
    print(f"frontend-router: {problem}", file=sys.stderr)
    return status


def _with_command(arguments: list[str]) -> list[str]:
    """Put ``serve`` where no command is, and the second dash where Go's flags have one."""
    first = arguments[0] if arguments else ""
    if first in ("ask", "answer", "-h", "--help", "--version"):
        return arguments
    if first in _COMMANDS:
        arguments = arguments[1:]
    elif first and not first.startswith("-"):
        raise UsageError(unknown("command", first, _COMMANDS))
    else:
        first = "serve"
    flags = {name.flag[1:] for name in settings_module.names() if not name.part}
    doubled = ("-" + each if each.partition("=")[0] in flags else each for each in arguments)
    return [first, *doubled]


def _read(arguments: list[str]) -> argparse.Namespace:
    """Parse the arguments of a command; the first is its name."""
    parser, commands = _parsers(arguments[0])
    options, rest = parser.parse_known_args(arguments)
    if not rest:
        return options
    if not rest[0].startswith("-"):
        if rest[0] in _COMMANDS:
            raise UsageError(f"the command comes first: frontend-router {rest[0]} ...")
        raise UsageError(f"{options.command} takes no {rest[0]!r}")
    flags = re.findall(r"--[a-z][a-z-]*", commands[options.command].format_help())
    raise UsageError(unknown("flag", rest[0].partition("=")[0], flags))


def _parsers(
    wanted: str,
) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser, and those of the commands; only the ``wanted`` one is complete."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "frontend-router",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=raw,
        allow_abbrev=False,
    )
    version = metadata.version("frontend-router")
    parser.add_argument("--version", action="version", version=f"frontend-router {version}")
    subparsers = parser.add_subparsers(dest="command", metavar="command", required=True)
    commands = {
        name: subparsers.add_parser(
            name, help=text, description=text, formatter_class=raw, allow_abbrev=False
        )
        for name, text in _COMMANDS.items()
    }
    for name in ("serve", "check"):
        commands[name].usage = f"frontend-router {name} [--config FILE] [--SETTING VALUE ...]"
        commands[name].epilog = _SETTINGS_EPILOG
        settings_module.add_arguments(commands[name])
    if wanted in ("ask", "answer"):
        _terminal(wanted).add_arguments(commands[wanted])
    return parser, commands


def _terminal(command: str) -> Any:
    # Not at the top: a gateway needs no client.
    return importlib.import_module(f"gateway.terminal.{command}")
