"""API keys as whoever runs a gateway makes and revokes them: by the command line."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

from haproxy.redis_node import wait_until
from tests.live.process import TESTED, Ports

_PATIENCE_SECONDS: Final = 60
_UNAUTHENTICATED: Final = 401


@final
class Keyring:
    """A file of keys; what is done here has been noticed by the gateways that read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._gateways: list[Ports] = []

    @contextlib.contextmanager
    def read_by(self, gateway: Ports) -> Iterator[None]:
        """Wait for this gateway, too, whenever a key is made or revoked meanwhile."""
        self._gateways.append(gateway)
        try:
            yield
        finally:
            self._gateways.remove(gateway)

    def create(self, subject: str, *scopes: str, group: str = "", expires: str = "") -> str:
        """Return a new key, which may answer unless it is said what it may do."""
        arguments = ["--tenant", "acme", "--subject", subject]
        for scope in scopes or ("answer",):
            arguments += ["--scope", scope]
        if group:
            arguments += ["--group", group]
        if expires:
            arguments += ["--expires", expires]
        key = self._run("create", *arguments).strip()
        self._wait_until_noticed(key, is_good=True)
        return key

    def revoke(self, key: str) -> None:
        """End a key."""
        # `fr_` and 16 digits; what follows is secret.
        self._run("revoke", key[:19])
        self._wait_until_noticed(key, is_good=False)

    def _wait_until_noticed(self, key: str, *, is_good: bool) -> None:
        for gateway in self._gateways:

            def missing(gateway: Ports = gateway) -> str:
                return "" if _is_good(gateway, key) is is_good else "it is as before"

            wait_until(missing, "a gateway that notices what became of a key", _PATIENCE_SECONDS)

    def _run(self, *arguments: str) -> str:
        command = [*TESTED, "key", *arguments, "--keys", str(self.path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _is_good(gateway: Ports, key: str) -> bool:
    """Whether a gateway knows somebody by a key, whatever they may do."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.ws_port, timeout=_PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request("POST", "/ticket", headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status != _UNAUTHENTICATED
