"""The clock: sends jobs that are due, and tops the queues up from SQL. One worker's clock acts in each tick."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

from models.job.map_reduce import ReleasedSteps
from models.job.values import Unsent
from models.queue.fair_share import FairShare
from models.queue.queue_window import Due, QueueWindow
from models.queue.redis_keys import Lane, queue_name
from worker.events import JobsLate, JobsSent, MessagesLost, Report, StepsReleased
from worker.recovery.failpoints import failpoint

_LOST_AFTER_S = 10.0  # a message may wait so long in the hands of a worker whose threads are all busy
_AT_ONCE = 1000
_LATE_S = 30.0  # a due time so long past is a fault of the queue, not of a busy second


class Queues(Protocol):
    """Holds one queue of messages for each rung, and one for urgent jobs."""

    def try_lead(self, holder: str, *, for_s: float) -> bool:
        """Become the one whose clock acts."""
        ...

    def was_flushed(self) -> bool:
        """Tell, once, that every queue was emptied."""
        ...

    def depth(self, lane: Lane) -> int:
        """Count the messages of a queue."""
        ...

    def fetched(self) -> Mapping[str, int]:
        """Count, by queue, those that workers have and no thread has begun."""
        ...

    def pace(self, rung: int) -> QueueWindow:
        """Read what the last clock left."""
        ...

    def keep_pace(self, rung: int, pace: QueueWindow) -> None:
        """Leave it to the next one; whoever sends adds to its level."""
        ...

    def send(self, jobs: Sequence[Unsent]) -> None:
        """Publish a message for each job."""
        ...


class Outbox(Protocol):
    """Knows which jobs should have a message and have none."""

    def unsent(self, rung: int, *, limit: int, shares: FairShare) -> list[Unsent]:
        """List those of a rung; batches take turns."""
        ...

    def urgent(self, *, limit: int) -> list[Unsent]:
        """List those that are urgent."""
        ...

    def mark_sent(self, jobs: Sequence[Unsent]) -> None:
        """Note that they have one now."""
        ...

    def fit_to_chain(self, *, rungs: int) -> int:
        """Bring jobs of a longer chain to this one's last rung."""
        ...

    def forget_lost(self, lane: Lane, *, older_than_s: float) -> int:
        """Note that those sent so long ago have none any more."""
        ...

    def wake(self, rung: int, *, limit: int) -> int:
        """Make jobs due that wait for a model, since the one of this rung has room."""
        ...

    def due(self, rung: int, *, limit: int) -> Due:
        """Count the waiting jobs that are due."""
        ...


class Steps(Protocol):
    """Knows which jobs are made of others' answers."""

    def release_ready_steps(self, *, limit: int) -> ReleasedSteps:
        """Have those go on whose parts have all ended."""
        ...


class Rooms(Protocol):
    """Knows how many requests could leave soon."""

    def free(self) -> Sequence[int]:
        """Count for each rung how many its model takes."""
        ...


@dataclass(slots=True, kw_only=True)
class Dispatcher:
    """Inputs of a tick. A queue holds what the fleet begins in about 3 s, at most `window`; the rest waits in SQL.

    `clock` is monotonic.
    """

    queues: Queues
    outbox: Outbox
    steps: Steps
    rooms: Rooms
    holder: str
    rungs: int
    window: int
    tick_s: float
    clock: Callable[[], float]
    report: Report
    _looked_at: dict[Lane, float] = field(default_factory=dict, init=False)

    def tick(self) -> int:
        """Send what can be sent; returns how many jobs. Nothing where it is another worker's turn."""
        # The turn lapses a little before the next tick, so that it is never missed by a hair.
        if not self.queues.try_lead(self.holder, for_s=self.tick_s * 0.9):
            return 0
        self.outbox.fit_to_chain(rungs=self.rungs)  # a longer chain's worker, or a retry, may have left some beyond
        if self.queues.was_flushed():
            for lane in (None, *range(self.rungs)):
                self._forget(lane, older_than_s=0)
        try:
            self._release_ready_steps()
        finally:  # whatever becomes of the steps, everybody else's jobs are sent
            sent = self._send_all()
        return sent

    def _send_all(self) -> int:
        sent, fetched, frees = self._send_urgent(), self.queues.fetched(), self.rooms.free()
        depths = [self.queues.depth(rung) for rung in range(self.rungs)]
        pending = [depth + fetched.get(queue_name(rung), 0) for rung, depth in enumerate(depths)]
        for rung, free in enumerate(frees):
            if not depths[rung]:
                self._look_for_lost(rung)
            if (spare := free - pending[rung]) > 0:
                self.outbox.wake(rung, limit=min(spare, _AT_ONCE))
        # The jobs of a queue may go to the rungs below, too.
        below = tuple(accumulate(reversed(frees)))[::-1]
        return sent + sum(self._top_up(rung, free, pending[rung]) for rung, free in enumerate(below))

    def _release_ready_steps(self) -> None:
        released = self.steps.release_ready_steps(limit=_AT_ONCE)
        if released.asked or released.stopped:
            self.report(StepsReleased(asked=released.asked, stopped=released.stopped))

    def _send_urgent(self) -> int:
        if not self.queues.depth(None):
            self._look_for_lost(None)
        return self._send(None, self.outbox.urgent(limit=_AT_ONCE))

    def _top_up(self, rung: int, free: int, pending: int) -> int:
        last = self.queues.pace(rung)
        window, shares = last.next_window(pending, tick_s=self.tick_s, most=self.window), FairShare(last.passes)
        due = self.outbox.due(rung, limit=window)
        if due.late_s > _LATE_S:
            self.report(JobsLate(lane=rung, count=due.jobs, late_s=due.late_s))
        room = min(window, max(free, due.jobs)) - pending  # a job that is due goes, and hears of its model itself
        jobs = self.outbox.unsent(rung, limit=room, shares=shares) if room > 0 else []
        if jobs or last.level:
            self.queues.keep_pace(rung, QueueWindow(window=window, level=pending, passes=shares.passes))
        return self._send(rung, jobs)

    def _send(self, lane: Lane, jobs: Sequence[Unsent]) -> int:
        if jobs:
            self.queues.send(jobs)
            failpoint("after_send")
            self.outbox.mark_sent(jobs)
            self.report(JobsSent(lane=lane, count=len(jobs)))
        return len(jobs)

    def _look_for_lost(self, lane: Lane) -> None:
        # Redis may have lost some, by eviction or a failover. What is rung twice is harmless: the claim decides.
        now = self.clock()
        if now - self._looked_at.get(lane, now - _LOST_AFTER_S) >= _LOST_AFTER_S / 2:
            self._looked_at[lane] = now
            self._forget(lane, older_than_s=_LOST_AFTER_S)

    def _forget(self, lane: Lane, *, older_than_s: float) -> None:
        if count := self.outbox.forget_lost(lane, older_than_s=older_than_s):
            self.report(MessagesLost(lane=lane, count=count))
