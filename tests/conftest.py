"""What all tests share."""

import gc
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.redis_servers", "tests.deployments"]

# What a shell starts in the background ignores SIGINT, and so would all that tests
# start: commands must hear Ctrl-C however the tests were started.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine is slow, and no claim of ours is about time: speed is measured
# in `loadtest`, where it is compared and not asserted.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect what other libraries leave to the garbage collector while that is forgiven.

    Otherwise it is held against whichever test comes later and makes enough garbage of its own.
    """
    yield
    marks = request.node.iter_markers("filterwarnings")
    if any("PytestUnraisableExceptionWarning" in str(mark.args) for mark in marks):
        gc.collect()
