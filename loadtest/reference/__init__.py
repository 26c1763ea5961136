"""What the gateway is compared with: what one would write instead, in Go and in Python."""
