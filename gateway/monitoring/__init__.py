"""The monitoring port: health, readiness, liveness and metrics."""
