"""Every scenario that the suite requires of a server, in both eras, and its tasks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conformance.suite import ROOT, required, results
from tests.live.process import GatewayProcess, started

pytestmark = pytest.mark.slow

Checks = dict[str, list[dict[str, Any]]]

#: Required by both revisions.
BOTH: Final = (
    "completion-complete",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-image",
    "tools-call-audio",
    "tools-call-embedded-resource",
    "tools-call-mixed-content",
    "tools-call-error",
    "tools-call-with-progress",
    "server-sse-multiple-streams",
    "resources-list",
    "resources-read-text",
    "resources-read-binary",
    "resources-templates-read",
    "prompts-list",
    "prompts-get-simple",
    "prompts-get-with-args",
    "prompts-get-embedded-resource",
    "prompts-get-with-image",
    "dns-rebinding-protection",
)
#: By 2025-11-25 alone.
HANDSHAKE: Final = (
    "server-initialize",
    "logging-set-level",
    "ping",
    "tools-call-with-logging",
    "tools-call-sampling",
    "tools-call-elicitation",
    "elicitation-sep1034-defaults",
    "elicitation-sep1330-enums",
    "resources-subscribe",
    "resources-unsubscribe",
)
#: By 2026-07-28 alone.
MODERN: Final = (
    "server-stateless",
    "sep-2164-resource-not-found",
    "caching",
    "input-required-result-basic-elicitation",
    "input-required-result-basic-sampling",
    "input-required-result-basic-list-roots",
    "input-required-result-request-state",
    "input-required-result-multiple-input-requests",
    "input-required-result-multi-round",
    "input-required-result-missing-input-response",
    "input-required-result-non-tool-request",
    "input-required-result-result-type",
    "input-required-result-unsupported-methods",
    "input-required-result-tampered-state",
    "input-required-result-capability-check",
    "input-required-result-ignore-extra-params",
    "input-required-result-validate-input",
)
#: The tasks extension; the suite itself leaves one more of them out for now.
TASKS: Final = (
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-required-task-error",
    "tasks-mrtr-composition",
)
#: Required by nobody, and good to have.
MORE: Final = (
    ("2025-11-25", "server-session-lifecycle"),
    ("2025-11-25", "json-schema-2020-12"),
    ("2025-11-25", "server-sse-polling"),
    ("2026-07-28", "json-schema-2020-12"),
    ("2026-07-28", "http-header-validation"),
    ("2026-07-28", "http-custom-header-server-validation"),
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with what the suite calls."""
    python, where = sys.executable, ROOT
    if "TESTED_GATEWAY" in os.environ:
        # The Python that has the compiled gateway, where the sources do not come before it.
        python = str(Path(os.environ["TESTED_GATEWAY"]).absolute().parent / "python")
        where = tmp_path_factory.mktemp("compiled")
        (where / "tests").symlink_to(ROOT / "tests")
    with started([python, "-m", "tests.conformance"], where) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def handshake(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> Checks:
    return results(gateway.mcp_port, "2025-11-25", tmp_path_factory.mktemp("handshake"))


@pytest.fixture(scope="module")
def modern(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> Checks:
    return results(gateway.mcp_port, "2026-07-28", tmp_path_factory.mktemp("modern"))


def _must_be_good(checks: Checks, scenario: str) -> None:
    """Fail with what the suite says, also when it has nothing to say."""
    found = checks[scenario]
    bad = [
        f"{each['id']}: {each.get('errorMessage')} {each.get('details')}"
        for each in found
        if each["status"] not in ("SUCCESS", "INFO")
    ]
    assert bad == []
    assert any(each["status"] == "SUCCESS" for each in found)


def test_the_scenarios_here_are_those_that_the_suite_requires() -> None:
    assert set(required("2025-11-25")) == {*BOTH, *HANDSHAKE}
    assert set(required("2026-07-28")) == {*BOTH, *MODERN}


@pytest.mark.parametrize("scenario", [*BOTH, *HANDSHAKE])
def test_the_handshake_era_conforms(handshake: Checks, scenario: str) -> None:
    _must_be_good(handshake, scenario)


@pytest.mark.parametrize("scenario", [*BOTH, *MODERN])
def test_the_modern_era_conforms(modern: Checks, scenario: str) -> None:
    _must_be_good(modern, scenario)


@pytest.mark.parametrize("scenario", TASKS)
def test_tasks_conform(modern: Checks, scenario: str) -> None:
    _must_be_good(modern, scenario)


@pytest.mark.parametrize(("revision", "scenario"), MORE)
def test_what_nobody_requires_conforms(
    handshake: Checks, modern: Checks, revision: str, scenario: str
) -> None:
    _must_be_good(handshake if revision == "2025-11-25" else modern, scenario)
