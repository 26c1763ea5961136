"""Which Redis a command works on, and how it logs in: as a gateway is told, by the same names."""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import Any

from gateway.setting_names import PREFIX
from gateway.settings import MEMORY
from session import parse_store_address
from session.redis import password
from session.redis.address import Address


class StoreError(Exception):
    """What names the Redis cannot be used; the message says what to do."""


def add_store_arguments(parser: argparse.ArgumentParser, what: str, default: Any = None) -> None:
    """Declare how a command is told of the Redis that has ``what``."""
    parser.add_argument("--store", metavar="URL", default=default, help=f"The Redis {what}.")
    parser.add_argument(
        "--redis-password-file",
        metavar="FILE",
        default=default,
        help="Has the password for it.",
    )


def store_address(options: argparse.Namespace) -> Address | None:
    """Return where the Redis is, and its password; ``None`` if none was named.

    What was said on the command line counts, then the environment.

    Raises:
        StoreError: what was said is no address, or the file cannot be read.
    """
    url = options.store or os.environ.get(PREFIX + "STORE", "")
    if not url or url == MEMORY:
        return None
    try:
        address = parse_store_address(url)
    except ValueError as error:
        raise StoreError(f"--store: {error}") from None
    file = options.redis_password_file or os.environ.get(PREFIX + "REDIS_PASSWORD_FILE", "")
    return dataclasses.replace(address, password=password_in(file)) if file else address


def password_in(file: str) -> str:
    """Return the password of a Redis that a file has.

    Raises:
        StoreError: the file cannot be read.
    """
    try:
        return password.password_in(file)
    except password.PasswordFileError as error:
        raise StoreError(str(error)) from None
