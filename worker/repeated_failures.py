"""Which jobs made a model fail before: a job that fails again may tell of its own request, not of the model."""

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from time import monotonic

from worker.turnstile import How

_KNOWN_S, _MOST_JOBS = 3_600.0, 10_000
_MOST_AGAIN = 10  # jobs that may fail again since the last good end, each by its own fault
_HALF_LIFE_S = 10.0
_LEAST_GOODS = 0.5  # good ends, faded: with fewer, nobody tells that the model is well
_TELLS_NOTHING: frozenset[How] = frozenset({"not_sent", "key_refused"})
_NO_GOOD_END: frozenset[How] = frozenset({"overloaded", "timed_out", "unreachable", "missing", "limited"})


@dataclass(slots=True)
class _Model:
    """The recent good ends of one model, and the jobs that failed again since the last good end."""

    goods: float = 0.0
    good_at: float = 0.0
    again: int = 0

    def recent_goods(self, now: float) -> float:
        return self.goods * math.exp2((self.good_at - now) / _HALF_LIFE_S)


class RepeatedFailures:
    """Remembers for an hour which job ended in a server error on which model. The threads of one worker share it."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._failed: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._models: defaultdict[str, _Model] = defaultdict(_Model)

    def has_failed(self, model: str, job: str) -> bool:
        """Return whether an earlier call of this job on this model ended in a server error."""
        with self._lock:
            return self._failed_at(model, job) is not None

    def add(self, model: str, job: str, how: How) -> bool:
        """Take one end into account, and return whether the failure is the fault of the job's own request.

        A job that fails again between good ends of others tells of itself; many such jobs tell of the model.
        """
        with self._lock:
            if how in _TELLS_NOTHING:
                return False
            if how == "server_error":
                return self._add_failure(model, job)
            self._failed.pop((model, job), None)
            if how not in _NO_GOOD_END:
                self._add_good_end(self._models[model])
            return False

    def _add_failure(self, model: str, job: str) -> bool:
        now, known, failed_at = self._clock(), self._models[model], self._failed_at(model, job)
        self._failed[model, job] = now
        self._failed.move_to_end((model, job))
        if len(self._failed) > _MOST_JOBS:
            self._failed.popitem(last=False)
        if failed_at is None or known.recent_goods(now) < _LEAST_GOODS:
            return False
        if failed_at < known.good_at:
            known.again += 1
        return known.again <= _MOST_AGAIN

    def _add_good_end(self, known: _Model) -> None:
        now = self._clock()
        known.goods, known.good_at, known.again = known.recent_goods(now) + 1, now, 0

    def _failed_at(self, model: str, job: str) -> float | None:
        failed_at = self._failed.get((model, job))
        return None if failed_at is None or self._clock() - failed_at > _KNOWN_S else failed_at
