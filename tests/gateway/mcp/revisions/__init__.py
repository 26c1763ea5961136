"""Tests of what revisions differ in."""
