"""Tests of `gateway.auth`."""
