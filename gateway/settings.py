"""All settings of the process, and where they come from.

Each part declares its settings beside what they configure; here they are
composed, and read from flags, the environment, one TOML file and the defaults,
in this order. It refuses names it does not know, with the nearest that it does,
values out of their bounds, and what would let strangers in.
"""

from __future__ import annotations

import argparse
import dataclasses
import ipaddress
import operator
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gateway import drain
from gateway.audit import Settings as AuditSettings
from gateway.auth.settings import IN_STORE
from gateway.auth.settings import Settings as AuthSettings
from gateway.frontends.endpoint import Settings as FrontendsSettings
from gateway.http.access import Settings as AccessSettings
from gateway.http.head import Limits
from gateway.large import Settings as LargeSettings
from gateway.mcp.settings import Settings as McpSettings
from gateway.mcp.tools import Settings as ToolsSettings
from gateway.offers import Settings as QuestionsSettings
from gateway.quotas.settings import Settings as QuotasSettings
from gateway.setting_names import (
    PREFIX,
    Name,
    SettingsError,
    names_of,
    part,
    parts_of,
    titles_of,
    unknown,
)
from gateway.tool_definitions import Settings as PageToolsSettings
from pool.connection_settings import Settings as ConnectionsSettings
from pool.settings import setting
from pool.workers import Settings as WorkersSettings
from session import MemorySettings, RedisSettings, parse_store_address

_CONFIG: Final = PREFIX + "CONFIG"
# Those who ask and answer at a terminal have it; a gateway leaves it alone.
_TOKEN: Final = PREFIX + "TOKEN"
_LARGEST_PORT: Final = 65_535
# Kubernetes puts these into every pod beside a Service whose name begins with
# "frontend-router" (FRONTEND_ROUTER_SERVICE_HOST, FRONTEND_ROUTER_PORT_8080_TCP_ADDR).
_SERVICE_LINK: Final = re.compile(
    r"_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
)
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")

#: The store of a process that is alone.
MEMORY: Final = "memory://"

_Values = dict[tuple[str, str], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of the process; the parts are named as their flags begin."""

    host: str = setting("127.0.0.1", "The address the ports are bound to.")
    ws_port: int = setting(
        8080, "Frontends: the inbox and the WebSocket. 0 takes any free port.", minimum=0,
        maximum=_LARGEST_PORT,
    )  # fmt: skip
    mcp_port: int = setting(8081, "Callers: MCP.", minimum=0, maximum=_LARGEST_PORT)
    monitoring_port: int = setting(8082, "Health and metrics.", minimum=0, maximum=_LARGEST_PORT)
    log_level: str = setting(
        "info", "The least important messages that are logged.",
        choices=("debug", "info", "warn", "error", "fatal"),
    )  # fmt: skip
    workers: int = setting(
        1, "Processes on the same ports, for the cores of one machine; they need a shared store.",
        unit="processes", minimum=1, maximum=256,
    )  # fmt: skip
    store: str = setting(
        "memory://",
        "Where sessions and questions are kept: memory://, redis://[user@]host[:port]/0 "
        "or redis+cluster://host:port,host:port (rediss for TLS).",
    )
    delivery: str = setting(
        "all", "Who is offered a question that does not say: everybody, or one after the other.",
        choices=("all", "one"),
    )  # fmt: skip
    auth: AuthSettings = part(AuthSettings, "Credentials")
    quotas: QuotasSettings = part(
        QuotasSettings, "Quotas; without credentials only those that are set"
    )
    audit: AuditSettings = part(AuditSettings, "The audit record")
    access: AccessSettings = part(AccessSettings, "Whose requests are served")
    connections: ConnectionsSettings = part(ConnectionsSettings, "Connections of all ports")
    http: Limits = part(Limits, "HTTP requests")
    frontends: FrontendsSettings = part(FrontendsSettings, "Frontends")
    mcp: McpSettings = part(McpSettings, "Callers")
    tools: ToolsSettings = part(ToolsSettings, "The product's tools")
    page_tools: PageToolsSettings = part(PageToolsSettings, "The tools of web pages")
    questions: QuestionsSettings = part(QuestionsSettings, "Questions")
    memory: MemorySettings = part(MemorySettings, "The memory store")
    redis: RedisSettings = part(RedisSettings, "The store in Redis")
    large: LargeSettings = part(LargeSettings, "Large messages")
    nursery: WorkersSettings = part(WorkersSettings, "The worker nursery")
    drain: drain.Settings = part(drain.Settings, "Shutting down")


def names() -> list[Name]:
    """Return every setting there is, in the order of the declarations."""
    return list(names_of(Settings))


def changed(settings: Settings) -> list[tuple[str, str]]:
    """Return the flags that are not as by default, each with its value as typed."""
    return [
        (name.flag, _shown(value))
        for name in names()
        if (value := operator.attrgetter(name.key)(settings)) != name.default
    ]


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    try:
        # Without the password that it may have.
        return str(parse_store_address(str(value)))
    except ValueError:
        return str(value)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every setting, grouped by part."""
    titles = {"": "The process"} | titles_of(Settings)
    groups = {name: parser.add_argument_group(title) for name, title in titles.items()}
    groups[""].add_argument("--config", metavar="FILE", help="A TOML file with settings.")
    for known in names():
        text = f"{known.declaration.help} [{known.shown_default()}]"
        groups[known.part].add_argument(
            known.flag, metavar=known.value_word(), help=text.replace("%", "%%")
        )


def load(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Compose the settings.

    Args:
        flags: by argparse's names (``connections_maximum``); ``None`` is absent.
        environment: the process environment.

    Raises:
        SettingsError: a name or a value cannot be used.
    """
    config = flags.get("config") or environment.get(_CONFIG)
    values = _from_file(Path(config)) if config else {}
    values |= _from_environment(environment)
    _refuse_passwords_on_the_command_line(flags.get("store") or "")
    values |= _from_flags(flags)
    return _safe(_composed(values))


def _composed(values: _Values) -> Settings:
    def of(wanted: str) -> dict[str, Any]:
        return {field: value for (part_, field), value in values.items() if part_ == wanted}

    try:
        parts = {name: settings(**of(name)) for name, settings in parts_of(Settings).items()}
    except ValueError as error:
        # What a part refuses by itself: values that do not go together.
        raise SettingsError(str(error)) from None
    return Settings(**of(""), **parts)


def _from_flags(flags: Mapping[str, str | None]) -> _Values:
    values: _Values = {}
    for name in names():
        text = flags.get(name.flag[2:].replace("-", "_"))
        if text is not None:
            values[name.part, name.field] = name.parse(text, name.flag)
    return values


def _from_environment(environment: Mapping[str, str]) -> _Values:
    by_variable = {name.variable: name for name in names()}
    values: _Values = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable in (_CONFIG, _TOKEN):
            continue
        if _SERVICE_ADDRESS.match(text) or _SERVICE_LINK.search(variable):
            continue
        name = by_variable.get(variable)
        if name is None:
            raise SettingsError(unknown("environment variable", variable, by_variable))
        values[name.part, name.field] = name.parse(text, variable)
    return values


def _from_file(path: Path) -> _Values:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    parts = titles_of(Settings)
    given: dict[str, Any] = {}
    for key, value in tables.items():
        if key not in parts:
            given[key] = value
        elif isinstance(value, dict):
            given |= {f"{key}.{field}": item for field, item in value.items()}
        else:
            raise SettingsError(f"{path}: {key} is a table: write [{key}] and its settings below")
    by_key = {name.key: name for name in names()}
    values: _Values = {}
    for key, value in given.items():
        name = by_key.get(key)
        if name is None:
            raise SettingsError(f"{path}: {unknown('setting', key, [*by_key, *parts])}")
        values[name.part, name.field] = name.check(value, f"{path}: {key}")
    return values


def _safe(settings: Settings) -> Settings:
    """Refuse what is understood but must not or cannot be done."""
    _refuse_other_stores(settings.store, settings.workers, settings.redis.password_file)
    _refuse_keys_without_a_store(settings)
    _refuse_a_record_without_a_store(settings)
    _refuse_strangers(settings.host, are_known=settings.auth.is_on)
    _refuse_ports_that_cannot_be_shared(settings)
    taken: dict[int, str] = {}
    for flag in ("--ws-port", "--mcp-port", "--monitoring-port"):
        port = getattr(settings, flag[2:].replace("-", "_"))
        if port and port in taken:
            raise SettingsError(
                f"{taken[port]} and {flag} are both {port}; each needs a port of its own"
            )
        taken[port] = flag
    return settings


def _refuse_other_stores(store: str, workers: int, password_file: str) -> None:
    if store == MEMORY:
        if workers > 1:
            raise SettingsError(
                f"--workers {workers} needs a store that processes can share, and --store "
                f"{MEMORY} is in one of them: name a Redis, --store redis://127.0.0.1:6379/0"
            )
        return
    try:
        address = parse_store_address(store)
    except ValueError as error:
        raise SettingsError(f"--store: {error}") from None
    if address.user and not (address.password or password_file):
        raise SettingsError(
            f"--store names the user {address.user} and no password: --redis-password-file does"
        )


def _refuse_passwords_on_the_command_line(store: str) -> None:
    """Everybody on a machine can see the arguments of everybody's processes."""
    try:
        has_password = bool(parse_store_address(store).password)
    except ValueError:
        return
    if has_password:
        raise SettingsError(
            "--store has a password in it, which everybody on this machine can see; put the URL "
            f"into the environment ({PREFIX}STORE), or name a file with the password by "
            "--redis-password-file"
        )


def _refuse_ports_that_cannot_be_shared(settings: Settings) -> None:
    """Several processes need ports that they know, and one each for monitoring."""
    if settings.workers == 1:
        return
    first = settings.monitoring_port
    monitoring = range(first, first + settings.workers)
    for flag, port in (("--ws-port", settings.ws_port), ("--mcp-port", settings.mcp_port)):
        if not port or not first:
            raise SettingsError(f"--workers {settings.workers} needs ports that are not 0")
        if port in monitoring:
            raise SettingsError(
                f"--workers {settings.workers} takes the monitoring ports {monitoring[0]} to "
                f"{monitoring[-1]}, and {flag} is {port}"
            )


def _refuse_strangers(host: str, *, are_known: bool) -> None:
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise SettingsError(f"--host takes an IP address, not {host!r}") from None
    if not is_loopback and not are_known:
        raise SettingsError(
            f"--host {host} would let everybody who reaches it ask and answer, as there are no "
            "credentials. There are three ways to go on: make API keys with `frontend-router key "
            "create` and name them by --auth-keys; accept access tokens of your own log-in by "
            "--auth-jwks, --auth-issuer and --auth-audience; or keep 127.0.0.1, and let others in "
            "through something on this machine that checks who comes, as an SSH tunnel does"
        )


def _refuse_a_record_without_a_store(settings: Settings) -> None:
    if settings.audit.to in ("store", "both") and settings.store == MEMORY:
        raise SettingsError(
            f"--audit-to {settings.audit.to} needs a store that others can read; with --store "
            f"{MEMORY} the audit record is the log: --audit-to log"
        )


def _refuse_keys_without_a_store(settings: Settings) -> None:
    if settings.auth.keys == IN_STORE and settings.store == MEMORY:
        raise SettingsError(
            "--auth-keys store needs a store that outlives the process; with --store memory:// "
            "name a file: --auth-keys keys.json, which `frontend-router key create` writes"
        )
