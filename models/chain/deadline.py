"""The time one call may take: CALL_TIMEOUT_S, and proportionally more for an answer that may be long."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNMEASURED_PACE = 16.0  # output tokens a second: a third of 54, the pace of a healthy long answer that was cut
_USUAL_TIMEOUT_S = 120.0  # CALL_TIMEOUT_S by default: the time of 1,920 tokens at the unmeasured pace
_MOST_S = 3600.0
_SILENCE_S = 60.0  # while nothing is written, the API sends pings
_MOST_STREAMED_S = 86_400.0
_A_DAY = "a day, the most a stream is given"
_STANDS_BY_S = 600.0  # the SDKs wait as long
_ANY_TOKENS = 10**9  # nobody limits the max_tokens of an unknown model


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """The wall-clock time of one call, in seconds, and the reason for so much time, with the setting to change.

    A stream may take `streamed_s` in all, for the reason beside. Before its first event, and then between two events
    other than pings, a stream may take `after_s`. A stream with pings is silent for `silence_s` at most. A model whose
    streams begin early sends the first event within `call_timeout_s`.
    `is_long`: the answer may take longer than CALL_TIMEOUT_S, and is streamed.
    """

    after_s: float
    reason: str
    call_timeout_s: float = _USUAL_TIMEOUT_S
    streamed_s: float = _MOST_STREAMED_S
    streamed_reason: str = _A_DAY
    is_long: bool = False

    def __str__(self) -> str:
        """Return the time with its reason, in words."""
        return f"{self.after_s:,.4g} s ({self.reason})"

    @property
    def silence_s(self) -> float:
        """Return the longest time between two events of a stream with pings, pings included."""
        return min(_SILENCE_S, self.call_timeout_s)


def deadline_of(params: Mapping[str, Any], *, pace: float, call_timeout_s: float, time_left_s: float) -> Deadline:
    """Return the deadline of a call with these Messages API parameters; thinking is part of max_tokens.

    `pace` is in output tokens a second. CALL_TIMEOUT_S scales every deadline, and no call gets less. A deadline beyond
    CALL_TIMEOUT_S ends with the job's own. `time_left_s` is 0 for a caller who stands by and sets no deadline.

    >>> str(deadline_of({"max_tokens": 32000}, pace=16, call_timeout_s=120, time_left_s=0))
    '2,000 s (max_tokens 32000 at 16 tokens/s; CALL_TIMEOUT_S is 120)'
    >>> str(deadline_of({"max_tokens": 1024}, pace=16, call_timeout_s=120, time_left_s=0))
    '120 s (CALL_TIMEOUT_S)'
    """
    tokens, scale = params.get("max_tokens"), call_timeout_s / _USUAL_TIMEOUT_S
    long_s = min(tokens, _ANY_TOKENS) / pace * scale if isinstance(tokens, int) else 0.0
    after_s = max(call_timeout_s, min(long_s, _MOST_S, time_left_s or _MOST_S))
    if after_s == call_timeout_s:
        reason = "CALL_TIMEOUT_S"
    elif after_s == long_s:
        reason = f"max_tokens {tokens} at {round(pace / scale, 1):,g} tokens/s; CALL_TIMEOUT_S is {call_timeout_s:g}"
    else:
        limit = "the job's own deadline" if after_s == time_left_s else "the most a call is given"
        reason = f"{limit}; CALL_TIMEOUT_S is {call_timeout_s:g}"
    streamed_s = max(call_timeout_s, time_left_s or _MOST_STREAMED_S)
    own = "the job's own deadline" if time_left_s else _A_DAY
    return Deadline(
        after_s=after_s,
        reason=reason,
        call_timeout_s=call_timeout_s,
        streamed_s=streamed_s,
        streamed_reason="CALL_TIMEOUT_S" if streamed_s == call_timeout_s else own,
        is_long=long_s > call_timeout_s,
    )


def stands_by_s(params: Mapping[str, Any], *, call_timeout_s: float) -> float:
    """Return the seconds that a caller without a time stands by: ten minutes, or a call's deadline if longer.

    >>> stands_by_s({"max_tokens": 1024}, call_timeout_s=120), stands_by_s({"max_tokens": 32000}, call_timeout_s=120)
    (600.0, 2000.0)
    """
    deadline = deadline_of(params, pace=UNMEASURED_PACE, call_timeout_s=call_timeout_s, time_left_s=0)
    return max(_STANDS_BY_S, deadline.after_s)
