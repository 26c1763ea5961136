"""The callers' port: MCP over HTTP."""
