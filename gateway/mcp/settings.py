"""What can be set of the callers' port. `gateway.mcp.endpoint` is its front door.

Pure module: declarations only.
"""

from __future__ import annotations

import dataclasses

from pool.settings import setting


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How callers are answered, and how much each may have under way."""

    json_seconds: float = setting(
        0.1,
        "How long a result may take to be sent as plain JSON; then an event stream begins.",
        unit="seconds",
        minimum=0.0,
        maximum=10.0,
    )
    keep_alive_seconds: float = setting(
        15.0,
        "The longest silence on an event stream; then it carries progress or a comment.",
        unit="seconds",
        minimum=0.1,
        maximum=60.0,
    )
    retry_milliseconds: int = setting(
        1000,
        "How long a caller waits before it resumes a broken stream.",
        unit="milliseconds",
        minimum=0,
    )
    session_calls: int = setting(
        1000, "Calls of one session under way at once; more are refused.", unit="calls", minimum=1
    )
    batch_messages: int = setting(
        100, "Messages in one batch (revision 2025-03-26).", unit="messages", minimum=1
    )
    session_listeners: int = setting(
        4, "Streams that one session may open by GET.", unit="streams", minimum=1
    )
    listeners: int = setting(10_000, "Streams opened by GET in all.", unit="streams", minimum=1)
    resumable_streams: int = setting(
        64,
        "Event streams of one session that can be resumed; the oldest go first.",
        unit="streams",
        minimum=1,
    )
    inquiries: int = setting(
        1000,
        "Calls in which a tool waits for its caller's own model, person or folders, in all.",
        unit="calls",
        minimum=1,
    )
    inquiry_seconds: float = setting(
        300.0, "How long a caller may take to answer what a tool asks it.", unit="seconds",
        minimum=0.1,
    )  # fmt: skip
    key_file: str = setting(
        "",
        "A file with the secret that receipts and sealed states are signed with, the same for all "
        "instances; several lines are several, the newest first. Without it the store has one.",
    )
    list_cache_seconds: float = setting(
        60.0,
        "How long callers may keep lists of tools, prompts and resources.",
        unit="seconds",
        minimum=0.0,
    )
