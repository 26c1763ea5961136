"""What a local deployment of several gateways consists of, and the programs that start it.

Only the standard library: operators run these programs, tests use their parts.
"""
