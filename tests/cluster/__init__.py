"""Several gateways in processes of their own, on one Redis that is broken in every way."""
