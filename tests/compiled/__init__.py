"""What `make compiled` adds to the sources, tried with small modules."""
