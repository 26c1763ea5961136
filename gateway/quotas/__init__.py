"""How much each tenant, and each subject of it, may use: kept by all instances together.

`settings` has the limits, `tenants` those that a file gives to single tenants, `roster` who
is known, `allowances` what is used here, `keeper` the task that keeps those in step with the
store.
"""
