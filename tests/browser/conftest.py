"""A gateway, an agent and a real Chromium for the tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.browser.keyring import Keyring
from tests.browser.pages import LINE, PATIENCE, Page, console
from tests.browser.peers import Agent
from tests.live.process import GatewayProcess, running_gateway

# Nobody balances load here, so there is nobody to tell of the end in advance.
LEAVE_AT_ONCE = ("--drain-settle-seconds", "0", "--drain-wait-seconds", "0")

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-backgrounding-occluded-windows",
    "--window-size=1280,860",
    # What fades in cannot be read yet, and what moves is not yet where it is clicked.
    "--force-prefers-reduced-motion",
    # A name that somebody else's DNS lets point here.
    "--host-resolver-rules=MAP rebound.example 127.0.0.1",
)


@pytest.fixture(scope="session")
def gateway() -> Iterator[GatewayProcess]:
    """A gateway as a user starts it, for all tests; each test leaves no question behind."""
    with running_gateway(*LEAVE_AT_ONCE) as process:
        yield process


@pytest.fixture
def agent(gateway: GatewayProcess) -> Iterator[Agent]:
    """A caller of the gateway."""
    caller = Agent(gateway)
    yield caller
    caller.leave()


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """The API keys of `guarded`."""
    return Keyring(tmp_path_factory.mktemp("keys") / "keys.json")


@pytest.fixture(scope="session")
def guarded(keyring: Keyring) -> Iterator[GatewayProcess]:
    """A gateway where everybody has to say who they are; what ended is noticed soon."""
    keyring.create("nobody")
    flags = ("--auth-refresh-seconds", "0.1", "--auth-failures", "500", "--log-level", "debug")
    with (
        running_gateway(*LEAVE_AT_ONCE, "--auth-keys", str(keyring.path), *flags) as process,
        keyring.read_by(process),
    ):
        yield process


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser without a past."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("these tests need chromium and chromium-driver")
    profile: Path = tmp_path_factory.mktemp("profile")
    options = ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Chrome(options=options, service=ChromeService(driver))
    browser.set_script_timeout(PATIENCE)
    yield browser
    browser.quit()


@pytest.fixture
def page(chromium: Chrome) -> Iterator[Page]:
    """A fresh tab; afterwards the browser must have nothing to complain of."""
    first = chromium.current_window_handle
    console(chromium)
    # A tab: each window would have a frame of its own to paint.
    yield new_page(chromium, "tab")
    complaints = console(chromium)
    for handle in chromium.window_handles:
        chromium.switch_to.window(handle)
        chromium.execute_script("try { localStorage.clear() } catch { /* a page without */ }")
        if handle != first:
            chromium.close()
    chromium.switch_to.window(first)
    assert not complaints


@pytest.fixture
def other_page(page: Page) -> Page:
    """A second tab beside the first; the first one stays in front."""
    other = new_page(page.driver, "window")
    page.come_to_front()
    return other


def new_page(chromium: Chrome, where: str) -> Page:
    """Open a page with a line that can be cut; two that shall both be in sight need windows."""
    chromium.switch_to.new_window(where)
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LINE})
    return Page(chromium)
