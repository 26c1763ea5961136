"""From credentials to a `session.model.Principal`, and what happens to those without.

`keys` and `tokens` judge one kind of credential each, `sources` keeps what they judge by
fresh, `authenticator` is asked by everybody else, and `guard` stands before a port.
"""
