"""What all tests share."""

import signal

from hypothesis import HealthCheck, settings

# What a shell starts in the background ignores SIGINT, and so would all that tests
# start: commands must hear Ctrl-C however the tests were started.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine is slow, and no claim of ours is about time: speed is measured
# in `loadtest`, where it is compared and not asserted.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
