"""The load-test program: callers, frontends and what they measure."""
