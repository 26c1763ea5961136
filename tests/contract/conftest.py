"""The stores that the contract suite is run against."""

import dataclasses
from collections.abc import Callable

import pytest

from session import MemorySettings, MemoryStore, Store


@dataclasses.dataclass
class Time:
    """A clock that the test sets, in seconds since the epoch."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


OpenStore = Callable[..., Store]


@pytest.fixture(params=["memory"])
def open_store(time: Time) -> OpenStore:
    """Return a function that makes an empty store with the given limits."""

    def make(**limits: float) -> Store:
        return MemoryStore(MemorySettings(**limits), time)  # type: ignore[arg-type]

    return make
