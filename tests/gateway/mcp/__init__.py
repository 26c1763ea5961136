"""Tests of the callers' port."""
