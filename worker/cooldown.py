"""The key out of use for a while: when the provider refuses it, or its money is spent, nobody calls."""

from collections.abc import Callable
from threading import Lock

_PROBE_S = 5.0


class KeyPause:
    """Shared by the threads of one worker. After a pause one call goes ahead; the others wait for how it ends."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: float | None = None
        self._lock = Lock()

    def remaining_s(self) -> float:
        """Tell how long to wait before calling; 0 means call now."""
        with self._lock:
            if self._until is None:
                return 0.0
            left = self._until - self._clock()
            if left > 0:
                return left
            self._until = self._clock() + _PROBE_S  # we go ahead; whoever asks next waits for us
            return 0.0

    def pause(self, for_s: float) -> None:
        """Stop calling for so long."""
        with self._lock:
            self._until = self._clock() + for_s

    def resume(self) -> None:
        """Call freely: the key works."""
        if self._until is not None:
            with self._lock:
                self._until = None
