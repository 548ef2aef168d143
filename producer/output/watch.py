"""Follows a batch until its jobs have ended: a line written over and over in a terminal, a line each 10 s elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from models.job.progress import Progress
from models.outcome import State
from producer.output.format import bar, duration, money
from producer.output.terminal import REDRAW, columns_of, drawable

NO_WORKER = "no worker has taken any of it up: is `stepdown worker` running?"
_NO_WORKER_IN_SHORT = "no worker took any up yet"
_LOOK_EVERY_S = 0.25
_TELL_EVERY_S = 10.0
_RECENT_S, _RECENT_ENDS = 30.0, 10  # the speed by now is that of the longer of the two
_STALLED_GAPS = 3  # an end that is so many times as late as those before it came
_WIDEST_BAR, _NARROWEST_BAR = 32, 8
# Parts of the line, the first to be left out of a long line first. The bar shrinks before that.
_RATE, _BAR, _WAITING, _HALF_PRICE, _BUDGET, _HELD, _COST, _LEFT, _FAILED, _UNTOUCHED, _COUNT = range(11)


class Speed:
    """How fast the jobs of a batch end by now, not since its start; times are in seconds."""

    def __init__(self, now: float, finished: int) -> None:
        self._ends = deque([(now, finished)])

    def saw(self, now: float, finished: int) -> None:
        """Take in how many have ended by now; fewer than before where somebody had some answered again."""
        if finished < self._ends[-1][1]:
            self._ends = deque([(now, finished)])
        elif finished > self._ends[-1][1]:
            self._ends.append((now, finished))
        while len(self._ends) > 2 and self._is_old(*self._ends[1], now):  # noqa: PLR2004 - a rate needs two
            self._ends.popleft()

    def jobs_a_second(self, now: float) -> float:
        """Return the recent rate; 0.0 before the first end."""
        (since, before), (_, after) = self._ends[0], self._ends[-1]
        return (after - before) / (now - since) if now > since else 0.0

    def idle_s(self, now: float) -> float:
        """Return how long no job has ended, or nobody has looked."""
        return now - self._ends[-1][0]

    def is_stalled(self, now: float) -> bool:
        """Tell whether jobs did end, and none has for much longer than it took before."""
        (since, before), (last, after) = self._ends[0], self._ends[-1]
        if after == before:
            return False
        return self.idle_s(now) >= max(_RECENT_S, _STALLED_GAPS * (last - since) / (after - before))

    def _is_old(self, at: float, finished: int, now: float) -> bool:
        return now - at >= _RECENT_S and self._ends[-1][1] - finished >= _RECENT_ENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a batch goes: jobs a second by now, and seconds since one ended, or since somebody began to look."""

    rate: float = 0.0
    idle_s: float = 0.0
    is_stalled: bool = False


def watch(
    look: Callable[[], Progress],
    *,
    timeout_s: float | None = None,
    out: TextIO = sys.stderr,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Progress:
    """Show progress until every job has ended or is held for a person.

    Raises TimeoutError after `timeout_s`, and the batch goes on.
    """
    is_terminal = out.isatty()
    started = told_at = clock()
    first = progress = look()
    speed = Speed(clock(), progress.finished)

    def draw(pace: Pace) -> None:
        width = columns_of(out)  # each time: a window may be made narrower
        text = drawable(line(progress, pace, width=width and width - 1), out)
        out.write(f"{REDRAW}{text}" if is_terminal else f"{text}\n")
        out.flush()

    try:
        while not progress.is_settled:
            if timeout_s is not None and clock() - started > timeout_s:
                ended = f"{progress.finished} of {progress.job_count} jobs ended in {timeout_s:g} s"
                raise TimeoutError(f"{ended}; the batch goes on")
            if is_terminal or clock() - told_at >= _TELL_EVERY_S:
                told_at = clock()
                draw(_pace(speed, clock()))
            sleep(_LOOK_EVERY_S)
            progress = look()
            speed.saw(clock(), progress.finished)
        count, passed_s = progress.finished - first.finished, clock() - started
        draw(Pace(rate=count / passed_s if passed_s > 0 else 0.0))
    finally:
        if is_terminal:
            out.write("\n")  # also after a timeout or Ctrl-C: what is said next begins a line of its own
    return progress


def _pace(speed: Speed, now: float) -> Pace:
    return Pace(rate=speed.jobs_a_second(now), idle_s=speed.idle_s(now), is_stalled=speed.is_stalled(now))


def line(progress: Progress, pace: Pace, *, width: int | None = None) -> str:
    """Word where a batch is, in at most `width` characters; the least telling parts are left out first."""
    parts = {_BAR: "", _COUNT: f"{progress.finished}/{progress.job_count}"}
    parts[_FAILED] = f"{progress.states.get(State.FAILED, 0)} failed"
    if progress.half_price:
        parts[_HALF_PRICE] = f"{progress.half_price} at half price"
    if waiting := progress.states.get(State.WAITING, 0) - progress.held - progress.half_price:
        parts[_WAITING] = f"{waiting} waiting"
    if progress.held:
        parts[_HELD] = f"{progress.held} held"
    if progress.over_budget:
        parts[_BUDGET] = f"{progress.over_budget} over budget"
    parts |= _speed_parts(progress, pace)
    parts[_COST] = money(progress.cost_usd, unknown=progress.unknown_costs)
    if progress.is_untouched and pace.idle_s >= _TELL_EVERY_S:
        parts[_UNTOUCHED] = NO_WORKER if width is None else _NO_WORKER_IN_SHORT
    return _fitted(parts, progress.finished / progress.job_count, width)


def _speed_parts(progress: Progress, pace: Pace) -> dict[int, str]:
    left = progress.job_count - progress.finished - progress.held - progress.blocked - progress.half_price
    if pace.is_stalled and left:
        return {_LEFT: f"stalled for {duration(pace.idle_s)}"}
    if pace.rate <= 0:
        return {}
    rate = f"{pace.rate:.1f} jobs/s" if pace.rate >= 0.1 else f"{pace.rate * 60:.1f} jobs/min"  # noqa: PLR2004
    eta = left / pace.rate
    return {_RATE: rate} | ({_LEFT: f"ETA {f'{eta:.0f} s' if eta < 60 else duration(eta)}"} if left else {})  # noqa: PLR2004


def _fitted(parts: dict[int, str], share: float, width: int | None) -> str:
    for least in sorted(parts):
        rest = "  ".join(text for text in parts.values() if text)
        room = _WIDEST_BAR if width is None else width - len(rest) - (4 if _BAR in parts else 2)
        if room >= (_NARROWEST_BAR if _BAR in parts else 0):
            drawn = f"{bar(share, width=min(_WIDEST_BAR, room))}  " if _BAR in parts else ""
            return f"  {drawn}{rest}"
        del parts[least]
    return f"{rest}"[:width]
