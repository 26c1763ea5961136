"""Tests of what the gateway is compared with."""
