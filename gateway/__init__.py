"""The process: three ports and the router between them; `app` is where it is put together."""
