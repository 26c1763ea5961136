"""What is counted instead of timed."""
