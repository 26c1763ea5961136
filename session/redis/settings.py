"""What is kept in Redis for how long, and how its client treats the servers.

Pure module.
"""

from __future__ import annotations

import dataclasses

from pool.settings import setting


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What is kept; then times and bounds of the client."""

    password_file: str = setting(
        "",
        "A file with the password for Redis; read at each connection, so that it can be changed.",
    )
    durability: str = setting(
        "fast",
        "When a question or an answer counts as accepted: when its primary has it (fast), or "
        "when replicas have it as well (replicated).",
        choices=("fast", "replicated"),
    )
    replicas: int = setting(
        1, "Replicas that must have it, with durability replicated.", unit="replicas", minimum=1
    )
    answer_seconds: float = setting(
        3600.0, "How long the outcome of a question can be collected.", unit="seconds", minimum=1
    )
    compress_bytes: int = setting(
        1024,
        "From which size a question, or its outcome, is stored as a zstd frame; 0 is never.",
        unit="bytes",
        minimum=0,
    )
    compress_sessions: str = setting(
        "off",
        "Whether sessions are, too (on): only where all that read them can read zstd.",
        choices=("off", "on"),
    )
    session_idle_seconds: float = setting(
        3600.0,
        "How long an MCP session lives without a request; one that waits is not idle.",
        unit="seconds",
        minimum=8,
    )
    stream_seconds: int = setting(
        86_400, "How long an event stream can be resumed.", unit="seconds", minimum=60
    )
    draft_seconds: int = setting(
        86_400, "How long what a person has typed is kept.", unit="seconds", minimum=60
    )
    pending: int = setting(
        500_000,
        "Open questions of all instances, a sixteenth of them in each place; more are refused.",
        unit="questions",
        minimum=16,
    )
    pending_per_session: int = setting(
        10_000,
        "Open questions of one MCP session, a sixteenth of them in each place; more are refused.",
        unit="questions",
        minimum=16,
    )
    lease_seconds: float = setting(
        10.0, "An instance silent for so long is taken for dead.", unit="seconds", minimum=2
    )
    command_seconds: float = setting(
        15.0,
        "How long a command is tried again while its server is away or moves.",
        unit="seconds",
        minimum=0.1,
    )
    reply_seconds: float = setting(
        2.0,
        "How long a server may leave a command unanswered before its connection is cut.",
        unit="seconds",
        minimum=0.05,
    )
    patience_seconds: float = setting(
        2.0,
        "How long a server is away before commands that cannot wait are refused at once.",
        unit="seconds",
        minimum=0.0,
    )
    connect_seconds: float = setting(
        2.0,
        "How long connecting to a server may take, with its greeting.",
        unit="seconds",
        minimum=0.05,
    )
    start_seconds: float = setting(
        10.0,
        "How long the start waits for all servers to be there.",
        unit="seconds",
        minimum=0.1,
    )
    refresh_seconds: float = setting(
        30.0,
        "How often the cluster is asked who serves what, when nothing gives reason to.",
        unit="seconds",
        minimum=0.5,
    )
    probe_seconds: float = setting(
        30.0,
        "How long a channel may be silent before a probe is sent through it.",
        unit="seconds",
        minimum=0.05,
    )
    wait_seconds: float = setting(
        0.1,
        "How long a server may hold a connection while replicas acknowledge, at a time.",
        unit="seconds",
        minimum=0.001,
    )
    longest_rest_seconds: float = setting(
        1.0,
        "The longest pause between two attempts to connect to a server, before jitter.",
        unit="seconds",
        minimum=0.05,
    )
    in_flight: int = setting(
        10_000,
        "Commands sent to one server and not answered; more wait.",
        unit="commands",
        minimum=1,
    )
    in_flight_bytes: int = setting(
        16 * 1024 * 1024,
        "Bytes of commands sent to one server and not answered; more wait.",
        unit="bytes",
        minimum=64 * 1024,
    )
    waiting: int = setting(
        50_000,
        "Commands that wait to be sent, to all servers; more are refused.",
        unit="commands",
        minimum=1,
    )
    waiting_bytes: int = setting(
        64 * 1024 * 1024,
        "Bytes of commands that wait to be sent, to all servers; more are refused.",
        unit="bytes",
        minimum=64 * 1024,
    )

    @property
    def awaited_replicas(self) -> int:
        """How many replicas a write that must not be lost waits for; 0 for none."""
        return self.replicas if self.durability == "replicated" else 0

    @property
    def kept_seconds(self) -> int:
        """How long an outcome is kept, in whole seconds, as Redis counts."""
        return max(1, round(self.answer_seconds))
