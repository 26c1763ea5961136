"""Tests of the commands for people at a terminal."""
