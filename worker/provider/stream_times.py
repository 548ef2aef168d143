"""The time that a stream is given: for the first event, between two events, and in all."""

from typing import Literal

from models.chain.deadline import Deadline
from worker.provider.stream import Sign

_Limit = Literal["whole", "first", "silence", "pings", "stream"]
_TAIL_S = 1.0  # for the end of the body after the end of the message: a connection that ended well is used again


class StreamTimes:
    """Decides until when a stream is waited for. Times are seconds of the loop's clock.

    A model whose streams begin early, in half of CALL_TIMEOUT_S, sends the first event within CALL_TIMEOUT_S. Before
    that is known, a gateway may hold the whole answer back. Pings alone are no answer, however many come. A gateway may
    also drop all pings.
    """

    def __init__(self, deadline: Deadline, *, now: float) -> None:
        self.has_begun_early = False
        self._deadline = deadline
        self._began_at = now
        self._moved_at: float | None = None
        self._first_at = now
        self._tail_ends_at: float | None = None
        self._limit: _Limit = "whole"

    @property
    def until(self) -> float:
        """Return the end of the wait for the first event."""
        deadline = self._deadline
        return self._began_at + (deadline.call_timeout_s if self._limit == "first" else deadline.after_s)

    @property
    def waited_for(self) -> str:
        """Return the time at whose end the wait ends, in words."""
        deadline = self._deadline
        match self._limit:
            case "first":
                return f"{deadline.call_timeout_s:,.4g} s (CALL_TIMEOUT_S)"
            case "silence":
                return f"{deadline.silence_s:,.4g} s of the event before (the longest silence of a stream)"
            case "pings":
                return f"{deadline} of the event before, pings apart"
            case "stream":
                return f"{deadline.streamed_s:,.0f} s ({deadline.streamed_reason})"
        return str(deadline)

    def expect_early(self) -> None:
        """Expect the first event within CALL_TIMEOUT_S."""
        self._limit = "first"

    def of_plain_reply(self) -> float:
        """Return the end of the wait for a reply that is no stream."""
        self._limit = "whole"
        return self.until

    def after(self, sign: Sign, *, now: float, is_whole: bool, has_pinged: bool) -> float:
        """Return the end of the wait after a sign of life. Only a stream that has pinged is never silent for long."""
        if self._moved_at is None:
            self._first_at = self._moved_at = now
        if is_whole:
            early_s = min(now - self._began_at, self._deadline.call_timeout_s) / 2
            self.has_begun_early = self._first_at - self._began_at < early_s
            self._tail_ends_at = self._tail_ends_at or now + _TAIL_S  # no sign of life makes the tail longer
            return self._tail_ends_at
        self._tail_ends_at = None
        if sign == "progress":
            self._moved_at = now
        limits: dict[_Limit, float] = {
            **({"silence": now + self._deadline.silence_s} if has_pinged else {}),
            "pings": self._moved_at + self._deadline.after_s,
            "stream": self._began_at + self._deadline.streamed_s,
        }
        self._limit = min(limits, key=limits.__getitem__)
        return limits[self._limit]
