"""What revisions of MCP differ in, one module a family."""
