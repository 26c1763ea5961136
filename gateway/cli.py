"""The command line: ``frontend-router [serve]`` and its other commands (`_COMMANDS`).

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
from functools import partial
from importlib import metadata
from typing import Any, Final

from gateway import settings as settings_module
from gateway.errors import UnusableError
from gateway.ports import url_host
from gateway.quotas.settings import in_force, quota_of
from gateway.quotas.tenants import QuotasFile
from gateway.setting_names import SettingsError, unknown
from gateway.settings import Settings
from session import parse_store_address

_USAGE: Final = 2
_FAILED: Final = 1
_INTERRUPTED: Final = 130
_COMMANDS: Final = {
    "serve": "Serve until told to stop (the default).",
    "ask": "Ask people a question, as an agent would.",
    "answer": "Answer questions in this terminal.",
    "drain": "Tell a gateway to leave in order, and wait until it has.",
    "key": "Make, list and revoke API keys.",
    "audit": "Read the audit record: who asked, answered, was refused.",
    "check": "See whether the settings are good and say what they mean.",
    "loadtest": "Put a gateway under load and check every answer.",
}
# They serve nothing, and each is a module of `gateway.terminal`.
_CLIENTS: Final = ("ask", "answer", "drain", "key", "audit")
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
  frontend-router key --help                       let others in, by API keys
  frontend-router drain --pid 4711                 have it leave, and lose nobody
  frontend-router audit --since 2h                 who did what
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
    try:
        if given[:1] == ["loadtest"]:
            return _load_test(given[1:])
        return _run(_read(_with_command(given)))
    except (SettingsError, UsageError) as error:
        return _complain(error, _USAGE)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read has seen enough.
        return 0
    finally:
        _leave_output()


def described(settings: Settings) -> str:
    """Return in words what would be served, and to whom."""
    host = url_host(settings.host)
    everybody = settings.delivery == "all"
    lines = [
        "The settings are good. This would be served:",
        f"  the inbox and frontends   http://{host}:{settings.ws_port}/ and /ws",
        f"  agents (MCP)              http://{host}:{settings.mcp_port}/mcp",
        f"  health and metrics        http://{host}:{settings.monitoring_port}/health, /metrics",
        *_of_workers(settings),
        *_who(settings),
        *_from_one_address(settings),
        *_how_much(settings),
        f"Pages of other origins that may connect: {', '.join(settings.access.origins) or 'none'}.",
        "A question is offered to "
        + ("everybody it is for." if everybody else "one frontend after the other."),
        "Questions and answers are kept in memory and end with the process."
        if settings.store == settings_module.MEMORY
        else f"Questions and answers are kept in {parse_store_address(settings.store)}.",
        _recorded(settings),
    ]
    changed = settings_module.changed(settings)
    if changed:
        lines += ["Other than by default:", *(f"  {flag} {value}" for flag, value in changed)]
    return "\n".join(lines)


def _of_workers(settings: Settings) -> list[str]:
    """Return in words where the other processes tell their health and numbers."""
    if settings.workers == 1 or not settings.monitoring_port:
        return []
    first = settings.monitoring_port + 1
    last = settings.monitoring_port + settings.workers - 1
    ports = f"port {first}" if first == last else f"ports {first} to {last}"
    return [f"  those of other workers    on {ports}"]


def _recorded(settings: Settings) -> str:
    """Return in words where the audit record goes."""
    is_shared = settings.store != settings_module.MEMORY
    to_log, to_store = settings.audit.goes_to(
        has_credentials=settings.auth.is_on, is_shared=is_shared
    )
    places = [name for name, is_used in (("the log", to_log), ("the store", to_store)) if is_used]
    if not places:
        return "Who asked and who answered is not recorded (--audit-to)."
    what = "ids, times and texts" if settings.audit.content == "text" else "ids and times"
    return f"Who asked, answered and was refused is recorded in {' and '.join(places)}: {what}."


def _who(settings: Settings) -> list[str]:
    """Return in words who can reach what."""
    auth = settings.auth
    if not auth.is_on:
        return ["Everybody on this machine may ask and answer; nobody else can reach it."]
    lines = [
        f"Whoever reaches {settings.host} gets the inbox's page, health and metrics.",
        "Everything else needs a credential with the scope for it:",
        "  ask                       to ask people, collect their answers, take a question back",
        "  answer                    to be asked and to answer: people and their frontends",
        "  notify                    to tell people what needs no answer",
        "  list                      to see who is connected",
        "  tools                     to offer tools of a page, and to call them",
        "  admin                     with ask: to read, await and take back every question of the",
        "                            tenant, and not only one's own",
        "Accepted are:",
    ]
    if auth.keys:
        where = "in the store" if auth.keys == "store" else f"in {auth.keys}"
        lines.append(f"  API keys                  {where}")
    if auth.has_tokens:
        source = auth.jwks or auth.secret_file
        lines += [
            f"  access tokens             of {auth.issuer}, for {auth.accepted_audience}",
            f"  whose keys are at         {source}",
            f"  tenant and user           the claims {auth.tenant_claim} and {auth.subject_claim}",
        ]
    lines.append("Nobody sees another tenant's questions, answers or frontends.")
    return lines


def _from_one_address(settings: Settings) -> list[str]:
    """Return in words how many connections one address may have, where others can connect."""
    if not settings.auth.is_on:
        return []
    flag, limits, access = "--connections-per-address", settings.connections, settings.access
    if limits.per_address < limits.maximum:
        lines = [
            f"One address may have {limits.per_address:,} of the {limits.maximum:,} connections."
        ]
    else:
        advice = (
            f"set {flag}"
            if access.proxies
            else f"set {flag}, unless all clients come through one proxy"
        )
        lines = [f"One address may have all of the {limits.maximum:,} connections: {advice}."]
    if access.proxies and access.proxy_protocol == "off":
        lines.append(
            f"Of clients behind a proxy {flag} limits WebSockets only; agents are the proxy's to "
            "limit, or set --access-proxy-protocol on."
        )
    return lines


def _how_much(settings: Settings) -> list[str]:
    """Return in words what is limited; a file with quotas has to be right."""
    used = in_force(settings.quotas, are_known=settings.auth.is_on)
    quota = quota_of(used)
    if not used.file and quota.is_free:
        return []
    lines = [
        f"{whose} may use: {', '.join(f'{name} {value:,.15g}' for name, value in limits.items())}."
        for whose, limits in (("A tenant", quota.tenant), ("A subject", quota.subject))
        if limits
    ]
    if used.file:
        try:
            named = QuotasFile(used.file, used).read() or {}
        except SettingsError as error:
            raise SettingsError(f"--quotas-file {used.file}: {error}") from None
        lines.append(f"Of {used.file} come the quotas of {', '.join(named) or 'nobody'}.")
    return lines


def _check_files(settings: Settings) -> None:
    """Refuse files that nobody could serve with."""
    if settings.auth.is_on:
        # Not at the top: whoever says only what settings mean needs none of it.
        sources = importlib.import_module("gateway.auth.sources")
        try:
            importlib.import_module("trio").run(sources.check_files, settings.auth)
        except UnusableError as error:
            raise SettingsError(str(error)) from None
    if settings.redis.password_file:
        stores = _terminal("stores")
        try:
            stores.password_in(settings.redis.password_file)
        except stores.StoreError as error:
            raise SettingsError(str(error)) from None


def _run(options: argparse.Namespace) -> int:
    if options.command in _CLIENTS:
        status: int = _terminal(options.command).main(options)
        return status
    load = partial(settings_module.load, vars(options), dict(os.environ))
    settings = load()
    if options.command == "check":
        words = described(settings)
        _check_files(settings)
        print(words)
        return 0
    # Not at the top: the other commands need none of it.
    app = importlib.import_module("gateway.app")
    logs = importlib.import_module("gateway.logs")
    logs.configure(settings.log_level, sys.stdout)
    reloader = importlib.import_module("gateway.reload").Reloader(load, settings)
    if settings.workers > 1:
        fleet = importlib.import_module("gateway.fleet")
        return int(fleet.run(settings, partial(_serve, app, reloader), reloader))
    return _serve(app, reloader, settings)


def _serve(app: Any, reloader: Any, settings: Settings, parent: int | None = None) -> int:
    try:
        status: int = app.serve(settings, parent, reloader)
    except OSError as error:
        return _complain(error.args[-1], _FAILED)
    return status


def _load_test(arguments: Sequence[str]) -> int:
    # Not at the top, and by its name: a gateway needs none of it.
    try:
        program = importlib.import_module("loadtest.cli")
    except ModuleNotFoundError as error:
        advice = "`make load` in a checkout, elsewhere pip install 'frontend-router[loadtest]'"
        return _complain(f"{error}: {advice}", _FAILED)
    status: int = program.main(arguments)
    return status


def _leave_output() -> None:
    """Write what is left. Python would complain at its end of a reader who has gone."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(problem: object, status: int) -> int:
    print(f"frontend-router: {problem}", file=sys.stderr)
    return status


def _with_command(arguments: list[str]) -> list[str]:
    """Put ``serve`` where no command is, and the second dash where Go's flags have one."""
    first = arguments[0] if arguments else ""
    if first in (*_CLIENTS, "-h", "--help", "--version"):
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
    if wanted in _CLIENTS:
        _terminal(wanted).add_arguments(commands[wanted])
    return parser, commands


def _terminal(command: str) -> Any:
    # Not at the top: a gateway needs no client.
    return importlib.import_module(f"gateway.terminal.{command}")
