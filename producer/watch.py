"""Follows a batch until its jobs have ended: a bar in a terminal, a line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from models.outcome import State
from models.progress import Progress
from producer.terminal import REDRAW
from producer.words import bar, money

NO_WORKER = "no worker has taken any of it up: is `stepdown worker` running?"
_LOOK_EVERY_S = 0.25
_TELL_EVERY_S = 10.0


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

    def tell() -> None:
        text = line(progress, done=progress.finished - first.finished, passed_s=clock() - started)
        out.write(f"{REDRAW}{text}" if is_terminal else f"{text}\n")
        out.flush()

    try:
        while not progress.is_settled:
            if timeout_s is not None and clock() - started > timeout_s:
                message = (
                    f"{progress.finished} of {progress.job_count} jobs ended in {timeout_s:g} s; the batch goes on"
                )
                raise TimeoutError(message)
            if is_terminal or clock() - told_at >= _TELL_EVERY_S:
                told_at = clock()
                tell()
            sleep(_LOOK_EVERY_S)
            progress = look()
        tell()
    finally:
        if is_terminal:
            out.write("\n")  # also after a timeout or Ctrl-C: what is said next begins a line of its own
    return progress


def line(progress: Progress, *, done: int, passed_s: float) -> str:
    """Word where a batch is; `done` jobs ended in the last `passed_s` seconds."""
    rate = done / passed_s if passed_s > 0 else 0.0
    left = progress.job_count - progress.finished
    parts = [
        bar(progress.finished / progress.job_count),
        f"{progress.finished}/{progress.job_count}",
        f"{progress.states.get(State.FAILED, 0)} failed",
    ]
    if waiting := progress.states.get(State.WAITING, 0) - progress.held:
        parts.append(f"{waiting} waiting")
    if progress.held:
        parts.append(f"{progress.held} held")
    if progress.over_budget:
        parts.append(f"{progress.over_budget} over budget")
    if rate > 0:
        parts.append(f"{rate:.1f} jobs/s")
    if rate > 0 and left:
        parts.append(f"ETA {left / rate:.0f} s")
    parts.append(money(progress.cost_usd, unknown=progress.unknown_costs))
    if progress.is_untouched and passed_s >= _TELL_EVERY_S:
        parts.append(NO_WORKER)
    return "  " + "  ".join(parts)
