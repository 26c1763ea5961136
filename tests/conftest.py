"""What all tests share."""

from hypothesis import HealthCheck, settings

# A loaded machine is slow, and no claim of ours is about time: speed is measured
# in `loadtest`, where it is compared and not asserted.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
