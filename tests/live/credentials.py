"""API keys for gateways under test, made by the command with which an operator makes them."""

from __future__ import annotations

import contextlib
import io

from gateway.cli import main


def new_key(where: str, tenant: str, subject: str, *scopes: str) -> str:
    """Return a key that was just made in ``where``: a file, or the URL of a Redis."""
    place = ("--store", where) if "://" in where else ("--keys", where)
    wanted = [word for scope in scopes for word in ("--scope", scope)]
    command = ["key", "create", *place, "--tenant", tenant, "--subject", subject, *wanted]
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        assert main(command) == 0
    return shown.getvalue().strip()
