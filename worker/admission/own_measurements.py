"""The measurements of one worker: models that answer slowly, and jobs that fail again."""

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from time import monotonic

from worker.admission.admission import ResultKind

_SLOW_TIMES, _LEAST_DELAY_S, _LEAST_REPLIES = 3.0, 5.0, 20
_PROBE_TIMES = 2.0
_AROUND, _READ_SHARE = 50.0, 0.01  # the work of a call beside its output, and of an input token, in output tokens
_QUANTILE = 0.95
_SHORT_STEP, _MOST_MEMORY = 0.2, 50  # the short figure follows in a few replies, the long figure in fifty


_KNOWN_S, _MOST_JOBS = 3_600.0, 10_000
_MOST_AGAIN = 10  # jobs that may fail again since the last good end, each by its own fault
_HALF_LIFE_S = 10.0
_LEAST_GOODS = 0.5  # good ends, faded: with fewer, the model is not known to be well
_TELLS_NOTHING: frozenset[ResultKind] = frozenset({"not_sent", "key_refused"})
_NO_GOOD_END: frozenset[ResultKind] = frozenset({"overloaded", "timed_out", "unreachable", "missing", "limited"})


@dataclass(slots=True)
class _Pace:
    """The 95th percentile of seconds for each token of work: of the last few replies, and of many."""

    short: float = 0.0
    long: float = 0.0
    replies: int = 0

    def add(self, pace: float) -> None:
        self.replies = min(_MOST_MEMORY, self.replies + 1)
        self.short = _followed(self.short, pace, _SHORT_STEP)
        self.long = _followed(self.long, pace, 1 / self.replies)


class Slowness:
    """Measures the pace of each model's replies. The threads of one worker share the object."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._paces: defaultdict[str, _Pace] = defaultdict(_Pace)

    def is_slow(self, model: str, *, latency_s: float, read: int, written: int, is_probe: bool = False) -> bool:
        """Record a good reply, and return whether the model is far slower than its normal.

        `read` and `written` are tokens. A probe is compared by itself with the normal, and changes no figure. A slow
        model is reported once. After a report, and after a probe of normal pace, the evidence begins anew.
        """
        work = _AROUND + written + _READ_SHARE * read
        seconds = latency_s / work
        with self._lock:
            pace = self._paces[model]
            if is_probe:
                is_slow = 0 < pace.long * _PROBE_TIMES < seconds
                return is_slow or self._begin_anew(pace)
            pace.add(seconds)
            is_far = pace.short > _SLOW_TIMES * pace.long and (pace.short - pace.long) * work > _LEAST_DELAY_S
            if not is_far or pace.replies < _LEAST_REPLIES:
                return False
            self._begin_anew(pace)
            return True

    def forget_recent(self, model: str) -> None:
        """Begin anew with the evidence: the fleet knows already that the model is out."""
        with self._lock:
            self._begin_anew(self._paces[model])

    @staticmethod
    def _begin_anew(pace: _Pace) -> bool:
        pace.short = pace.long
        return False


def _followed(known: float, pace: float, step: float) -> float:
    """Move a quantile: up by 19 parts for a slower reply, down by one for a faster reply."""
    if known == 0:
        return pace
    return known + known * step * (_QUANTILE if pace > known else _QUANTILE - 1)


@dataclass(slots=True)
class _Model:
    """The recent good ends of one model, and the jobs that failed again since the last good end."""

    goods: float = 0.0
    good_at: float = 0.0
    again: int = 0

    def recent_goods(self, now: float) -> float:
        return self.goods * math.exp2((self.good_at - now) / _HALF_LIFE_S)


class RepeatedFailures:
    """Remembers for an hour which job ended in a server error on which model. A worker's threads share the object."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._failed: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._models: defaultdict[str, _Model] = defaultdict(_Model)

    def has_failed(self, model: str, job: str) -> bool:
        """Return whether an earlier call of this job on this model ended in a server error."""
        with self._lock:
            return self._failed_at(model, job) is not None

    def add(self, model: str, job: str, how: ResultKind) -> bool:
        """Record an end, and return whether the failure is the fault of the job's own request.

        A job that fails again between good ends of others is at fault; many such jobs prove the model's fault.
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
