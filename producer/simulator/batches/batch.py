"""A message batch: the times at which its items run, its state, and the lines of its results."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from producer.simulator.answer.batch_script import BatchSettings
    from producer.simulator.answer.draw import Draw
    from producer.simulator.batches.requests import Item
    from producer.simulator.request.versions import Head

_P95 = 1.6449  # spreads of a normal distribution
_SHOWN_S = 86_400.0  # `expires_at` is always a day after the creation
_KINDS = ("succeeded", "errored", "canceled", "expired")


@dataclass(slots=True, kw_only=True)
class Batch:
    """A message batch. Seconds are those of the clock; `settings` and the draw decide the course.

    `queue` has the items that still run, with the second at which each is answered. `left` are the items that never
    run, each expired or cancelled. `lines` are results, in the order in which the items ended.
    """

    number: int
    id: str
    items: Sequence[Item]
    head: Head
    settings: BatchSettings
    draw: Draw
    created_s: float
    created_at: datetime
    is_foreign: bool = False
    ends_s: float = field(init=False)
    queue: deque[tuple[float, int]] = field(init=False)
    left: dict[int, str] = field(init=False)
    lines: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    cancelled_at: datetime | None = None
    ended_s: float | None = None
    ended_at: datetime | None = None

    def __post_init__(self) -> None:
        order = sorted(range(len(self.items)), key=lambda at: self.draw.share(f"item {at}"))
        settings, takes_s, expires_s = self.settings, self._takes_s(), self._real(self.settings.expires_s)
        running = [] if settings.never_ends else order[: len(order) - round(settings.expired * len(order))]
        last = self.draw.share(f"item {running[-1]}") if running else 1.0
        due = [(takes_s * self.draw.share(f"item {at}") / last, at) for at in running[:-1]]
        due += [(takes_s, at) for at in running[-1:]]
        self.queue = deque((self.created_s + after_s, at) for after_s, at in due if after_s <= expires_s)
        runs = {at for _, at in self.queue}
        self.left = {at: "expired" for at in order if at not in runs}
        whole_s = expires_s if self.left else takes_s
        self.ends_s = math.inf if settings.never_ends else self.created_s + whole_s

    def cancel(self, now_s: float, now: datetime) -> None:
        """Cancel all items that have not run, but for the share that ends nevertheless."""
        if self.cancelled_at is not None:
            return
        self.cancelled_at = now
        self.ends_s = min(self.ends_s, now_s + self._real(self.settings.cancel_s))
        waiting = [*self.queue, *((self.ends_s, at) for at in self.left)]
        kept = round(self.settings.finishes * len(waiting))
        self.queue = deque((min(at_s, self.ends_s), at) for at_s, at in waiting[:kept])
        self.left = {at: "canceled" for _, at in waiting[kept:]}

    def keep(self, kind: str, line: bytes) -> None:
        """Count the end of an item, and keep its line."""
        self.counts[kind] += 1
        self.lines.append(line)

    def is_due(self, now_s: float) -> bool:
        """Return whether an item waits to run."""
        return bool(self.queue) and self.queue[0][0] <= now_s

    def next_s(self) -> float:
        """Return the second of the next change."""
        return self.queue[0][0] if self.queue else self.ends_s

    def is_seen(self, now_s: float, lag_s: float) -> bool:
        """Return whether so many seconds have passed since the creation."""
        return now_s >= self.created_s + self._real(lag_s)

    def has_results(self, now_s: float) -> bool:
        """Return whether the results can be read."""
        lag_s = self._real(self.settings.results_lag_s)
        return self.ended_s is not None and now_s >= self.ended_s + lag_s

    def is_archived(self, now_s: float) -> bool:
        """Return whether the results are gone."""
        return self.is_seen(now_s, self.settings.kept_s)

    def as_api(self, now_s: float, host: str) -> dict[str, object]:
        """Spell the message batch as the API does: before its end each item counts as processing."""
        is_over, is_archived = self.ended_at is not None, self.is_archived(now_s)
        state = "ended" if is_over else "canceling" if self.cancelled_at is not None else "in_progress"
        counts = {kind: self.counts[kind] if is_over else 0 for kind in _KINDS}
        archived_at = self.created_at + timedelta(seconds=self._real(self.settings.kept_s))
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": state,
            "request_counts": {"processing": 0 if is_over else len(self.items), **counts},
            "ended_at": _spelled(self.ended_at),
            "created_at": _spelled(self.created_at),
            "expires_at": _spelled(self.created_at + timedelta(seconds=self._real(_SHOWN_S))),
            "archived_at": _spelled(archived_at) if is_archived else None,
            "cancel_initiated_at": _spelled(self.cancelled_at),
            "results_url": f"{host}/v1/messages/batches/{self.id}/results" if is_over and not is_archived else None,
        }

    def _takes_s(self) -> float:
        """Draw the seconds that the slowest item takes: log-normal, as its median and its p95 say."""
        settings = self.settings
        if settings.takes_s is not None:
            return self._real(settings.takes_s)
        spread = math.log(settings.p95_s / settings.median_s) / _P95
        return self._real(settings.median_s * math.exp(spread * self.draw.normal("duration")))

    def _real(self, seconds: float) -> float:
        return seconds / self.settings.times_faster


def _spelled(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
