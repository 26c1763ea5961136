"""Work that is done in steps, and in how many: a step that is given more makes them fewer."""

from __future__ import annotations

from session.steps import Steps, T


def in_portions(steps: Steps[T]) -> tuple[int, T]:
    """Do all steps at once; return how many there were, and what came of them."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return count, result
        count += 1
