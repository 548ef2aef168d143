"""A worker's budget for retries, which may not multiply the load of a model in trouble."""

from collections.abc import Callable
from threading import Lock

_SHARE, _BURST, _HALF_LIFE_S = 0.1, 10.0, 40.0


class RetryBudget:
    """Allows a tenth of the last minute's requests as retries, beside a few. Threads of one worker share the object.

    Each client has its own budget: "Addressing Cascading Failures" of Google's SRE book.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._requests = self._retries = self._at = 0.0

    def has_room(self) -> bool:
        """Return whether another request may be a retry."""
        with self._lock:
            self._fade()
            return self._retries + 1 <= _SHARE * self._requests + _BURST

    def add(self, *, is_retry: bool) -> None:
        """Count a request that leaves."""
        with self._lock:
            self._fade()
            self._requests += 1
            self._retries += is_retry

    def details(self) -> dict[str, float]:
        """Return the recent retries and requests, each faded by its age."""
        with self._lock:
            self._fade()
            return {"retries": round(self._retries, 1), "requests": round(self._requests, 1)}

    def _fade(self) -> None:
        now = self._clock()
        kept = 0.5 ** (max(0.0, now - self._at) / _HALF_LIFE_S)
        self._requests, self._retries, self._at = self._requests * kept, self._retries * kept, now
