"""Tests of a local deployment's programs."""
