"""The inbox page and its client, in a real browser against a real gateway."""
