"""Whether a model answers far slower than is normal for it, as one worker measures its replies."""

from collections import defaultdict
from dataclasses import dataclass
from threading import Lock

_SLOW_TIMES, _LEAST_DELAY_S, _LEAST_REPLIES = 3.0, 5.0, 20
_PROBE_TIMES = 2.0
_AROUND, _READ_SHARE = 50.0, 0.01  # the work of a call beside its output, and of an input token, in output tokens
_QUANTILE = 0.95
_SHORT_STEP, _MOST_MEMORY = 0.2, 50  # the short figure follows in a few replies, the long one in fifty


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
    """Measures the pace of each model's replies. The threads of one worker share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._paces: defaultdict[str, _Pace] = defaultdict(_Pace)

    def is_slow(self, model: str, *, latency_s: float, read: int, written: int, is_probe: bool = False) -> bool:
        """Take one good reply into account, and return whether the model is far slower than its normal.

        `read` and `written` are tokens. A probe is compared with the normal by itself, and changes no figure. A slow
        model is reported once: after a report, and after a probe of normal pace, the evidence begins anew.
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
