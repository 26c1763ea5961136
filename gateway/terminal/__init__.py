"""A caller and a frontend for people at a terminal; both are clients of a gateway."""
