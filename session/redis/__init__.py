"""Sessions, questions and presence in Redis, for many instances that share them.

Nothing is imported here: who keeps everything in memory need not load any of it.
"""
