"""The frontends' port: WebSockets, the frontend protocol and the inbox page."""
