"""What one would write in Python from the usual parts."""
