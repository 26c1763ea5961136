"""Programs that put a gateway under load and report what it did."""
