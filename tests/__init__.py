"""Tests, laid out as the packages are; `live`, `interop` and `browser` use real processes."""
