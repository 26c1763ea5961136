"""HTTP/1.1 as a protocol object: bytes in, requests out."""
