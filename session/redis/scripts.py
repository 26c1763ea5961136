"""The scripts that change several keys of one slot at once, as files in `lua/`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from session.redis.commands import Script

_FOLDER: Final = Path(__file__).parent / "lua"


def _script(name: str) -> Script:
    return Script(name, (_FOLDER / f"{name}.lua").read_text())


ADMIT: Final = _script("admit")
SETTLE: Final = _script("settle")
CONFIRM: Final = _script("confirm")
HOLD: Final = _script("hold")
RELEASE: Final = _script("release")
SWEEP: Final = _script("sweep")
BODIES: Final = _script("bodies")
EXPIRE: Final = _script("expire")
FORGET: Final = _script("forget")
SAVE_SESSION: Final = _script("save_session")
SAVE_STREAM: Final = _script("save_stream")
SAVE_SUBSCRIPTION: Final = _script("save_subscription")
LISTEN: Final = _script("listen")
END_LISTENING: Final = _script("end_listening")
SAVE_DRAFT: Final = _script("save_draft")
CLAIM: Final = _script("claim")
TAKE_TOKENS: Final = _script("take_tokens")
LEASE_SLOTS: Final = _script("lease_slots")
OPEN_SESSION: Final = _script("open_session")
OFFER_TOOLS: Final = _script("offer_tools")
WITHDRAW_TOOLS: Final = _script("withdraw_tools")
RECORD: Final = _script("record")
USE: Final = _script("use")
KEEP: Final = _script("keep")
VOTE: Final = _script("vote")
NOTE: Final = _script("note")
