"""Waits for what another thread or process will bring about. The only place in the tests that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

_LOOK_EVERY_S = 0.02

Value = TypeVar("Value")


def eventually(predicate: Callable[[], Value | None], *, within_s: float, because: str) -> Value:
    """Ask until the answer is true, and return it; fails telling `because` and the last answer.

    >>> eventually(lambda: 7, within_s=1, because="seven is there already")
    7
    """
    until = time.monotonic() + within_s
    while not (value := predicate()):
        if time.monotonic() > until:
            message = f"not within {within_s:g} s: {because}; the last answer was {value!r}"
            raise AssertionError(message)
        time.sleep(_LOOK_EVERY_S)
    return value
