"""Tests of the programs that put a gateway under load."""
