"""The user that `session/redis/README.md` has operators make: it may do that and no more."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import session.redis
from haproxy.redis_cluster import RedisNode

FOLDER: Final = Path(session.redis.__file__).parent
_NAME: Final = "gateway"


def rules() -> list[str]:
    """Return what the documentation grants, as words of ACL SETUSER."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^redis-cli (ACL SETUSER (?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert found is not None
    words = shlex.split(found[1].replace("\\\n", " "))
    assert words[:5] == ["ACL", "SETUSER", _NAME, "on", ">secret"]
    return words[5:]


def permitted(url: str, nodes: Sequence[RedisNode]) -> str:
    """Make the user on all nodes; return the URL for it."""
    for node in nodes:
        node.command("ACL", "SETUSER", _NAME, "reset", "on", ">secret", *rules())
    scheme, _, places = url.partition("://")
    return f"{scheme}://{_NAME}:secret@{places}"
