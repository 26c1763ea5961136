"""Who types a command, as the operating system knows them."""

from __future__ import annotations

import os
import platform
import pwd


def operator(uid: int | None = None) -> str:
    """Return the user and the machine; not what the environment says, which anybody can set."""
    number = os.getuid() if uid is None else uid
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        # As in many containers.
        name = str(number)
    return f"{name}@{platform.node()}"
