"""Tests of the reference in Python, and by the same scenes of those in Go."""
