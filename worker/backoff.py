"""How long to wait before a job is tried again."""

from collections.abc import Callable

_BASE_S = 2.0
_CAP_S = 300.0


def backoff_s(rounds: int, *, draw: Callable[[], float]) -> float:
    """Choose a wait in seconds by full jitter: up to 2 s after the first round in vain, doubling to 300 s.

    `draw` gives a number from 0 to 1. At least a quarter of the bound is waited, so that no job spins.
    Source: Amazon Builders' Library, "Timeouts, retries, and backoff with jitter".

    >>> backoff_s(1, draw=lambda: 1.0), backoff_s(3, draw=lambda: 0.0), backoff_s(40, draw=lambda: 1.0)
    (2.0, 2.0, 300.0)
    """
    bound = min(_CAP_S, _BASE_S * 2.0 ** min(rounds - 1, 30))
    return bound * (0.25 + 0.75 * draw())
