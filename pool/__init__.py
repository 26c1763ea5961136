"""Bounded everything: connections, workers, queues, rates and deadlines."""
