"""Quotas of single tenants: a TOML file with a table for each, read again when it changes.

It is taken whole or not at all: with one wrong line those that were read before stay.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from typing import Any, Final, final

from gateway.quotas.settings import Quota, Settings, quota_of
from gateway.setting_names import SettingsError, names_of, part, unknown
from gateway.watched_file import State, UnreadableError, read_if_changed

_MOST_BYTES: Final = 8 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class _Table:
    """What a tenant's table may say, in the way in which settings are declared."""

    quotas: Settings = part(Settings, "Quotas")


_BY_KEY: Final = {name.field: name for name in names_of(_Table) if name.field != "file"}


def quotas_of(data: bytes, usual: Settings) -> dict[str, Quota]:
    """Return the quota of each tenant; what its table does not say is as ``usual``.

    Raises:
        SettingsError: the message says where and why.
    """
    try:
        tables = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"it is not TOML: {error}") from None
    return {tenant: quota_of(_settings(tenant, table, usual)) for tenant, table in tables.items()}


def _settings(tenant: str, table: object, usual: Settings) -> Settings:
    if not isinstance(table, Mapping):
        raise SettingsError(f"{tenant} is no tenant's table: write [{tenant}] and its quotas below")
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = _BY_KEY.get(key)
        if name is None:
            raise SettingsError(f"[{tenant}]: {unknown('quota', key, _BY_KEY)}")
        values[key] = name.check(value, f"[{tenant}] {key}")
    return dataclasses.replace(usual, **values)


@final
class QuotasFile:
    """The file; looked into when it is another one, or changed."""

    def __init__(self, path: str, usual: Settings) -> None:
        self.path = path
        self._usual = usual
        self._seen: State | None = None

    def read(self) -> dict[str, Quota] | None:
        """Return the quotas by tenant, or `None` if nothing has changed. This waits for a disk.

        Raises:
            SettingsError: it cannot be read, or used; the message says why.
        """
        try:
            found = read_if_changed(self.path, self._seen, _MOST_BYTES)
        except UnreadableError as error:
            raise SettingsError(str(error)) from None
        if found is None:
            return None
        seen, data = found
        quotas = quotas_of(data, self._usual)
        self._seen = seen
        return quotas
