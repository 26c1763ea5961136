"""The client of Redis, on real servers."""
