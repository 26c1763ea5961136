"""Other people's programs at both ends of a real gateway."""
