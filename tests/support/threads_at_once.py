"""Runs the same thing in many threads at the same moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

Value = TypeVar("Value")


def at_once(count: int, work: Callable[[int], Value]) -> list[Value]:
    """Call `work(0)` to `work(count - 1)` from as many threads that start together; an error is raised here."""
    start = Barrier(count)

    def one(number: int) -> Value:
        start.wait(timeout=30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
