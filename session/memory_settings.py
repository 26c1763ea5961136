"""What can be set of the memory store.

Pure module: declarations only.
"""

from __future__ import annotations

import dataclasses

from pool.settings import setting


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How much is kept, and for how long."""

    pending: int = setting(
        50_000, "Open questions in all; more are refused.", unit="questions", minimum=1
    )
    pending_per_session: int = setting(
        10_000, "Open questions of one MCP session; more are refused.", unit="questions", minimum=1
    )
    bytes: int = setting(
        256 * 1024 * 1024,
        "Memory for questions and answers; new questions past it are refused.",
        unit="bytes",
        minimum=1024 * 1024,
    )
    answer_seconds: float = setting(
        3600.0, "How long the outcome of a question can be collected.", unit="seconds", minimum=1
    )
    answers: int = setting(
        50_000, "Settled questions kept; the oldest go first.", unit="questions", minimum=1
    )
    sessions: int = setting(
        20_000, "MCP sessions in all; more are refused.", unit="sessions", minimum=1
    )
    session_idle_seconds: float = setting(
        3600.0,
        "How long an MCP session lives without a request; one that waits is not idle.",
        unit="seconds",
        minimum=1,
    )
    drafts: int = setting(
        10_000, "Drafts kept in all; the oldest go first.", unit="drafts", minimum=1
    )
