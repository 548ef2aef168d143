"""The dispatcher: sends messages for due jobs, and tops the queues up from SQL. In each tick a single worker leads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from models.job.values import Unsent
from models.ledger.outbox import Outbox
from models.ledger.steps import Steps
from models.queue.broker import Broker
from models.queue.fair_share import FairShare
from models.queue.queue_window import QueueWindow
from models.queue.redis_keys import Lane
from worker.events import JobsLate, JobsSent, MessagesLost, Report, StepsReleased
from worker.recovery.failpoints import failpoint

_LOST_AFTER_S = 10.0  # a worker claims a job within a moment of fetching its message
_AT_ONCE = 1000
_LATE_S = 30.0  # a due time so long past is a fault of the queue, not of a busy second


@dataclass(slots=True, kw_only=True)
class Dispatcher:
    """Inputs of a tick. A queue holds the jobs that the fleet begins in about 3 s, at most `window`; SQL holds others.

    `clock` is monotonic. `free` counts for each rung the requests that could leave soon. A live call needs `live_s`
    before its job's deadline.
    """

    queues: Broker
    outbox: Outbox
    steps: Steps
    free: Callable[[], Sequence[int]]
    holder: str
    rungs: int
    window: int
    tick_s: float
    live_s: float
    clock: Callable[[], float]
    report: Report
    _looked_at: dict[Lane, float] = field(default_factory=dict, init=False)

    def tick(self) -> int:
        """Send all messages that can be sent. Returns the number of jobs: 0 if another worker leads."""
        # The lead lapses a little before the next tick, so that no tick is missed by a hair.
        if not self.queues.try_lead(self.holder, for_s=self.tick_s * 0.9):
            return 0
        self.outbox.fit_to_chain(rungs=self.rungs)  # a longer chain's worker, or a retry, may have left some beyond
        if self.queues.was_flushed():
            for lane in (None, *range(self.rungs)):
                self._forget(lane, older_than_s=0)
        try:
            self._release_ready_steps()
        finally:  # after a failure of the steps, all other jobs are sent
            sent = self._send_all()
        return sent

    def _send_all(self) -> int:
        sent, frees = self._send_urgent(), self.free()
        depths = [self.queues.depth(rung) for rung in range(self.rungs)]
        for rung, free in enumerate(frees):
            if not depths[rung]:
                self._look_for_lost(rung)
            if (spare := free - depths[rung]) > 0:
                self.outbox.wake(rung, limit=min(spare, _AT_ONCE))
        # The jobs of a queue may go to the rungs below, too.
        below = tuple(accumulate(reversed(frees)))[::-1]
        return sent + sum(self._top_up(rung, free, depths[rung]) for rung, free in enumerate(below))

    def _release_ready_steps(self) -> None:
        released = self.steps.release_ready_steps(limit=_AT_ONCE, live_s=self.live_s)
        if released.asked or released.stopped:
            self.report(StepsReleased(asked=released.asked, stopped=released.stopped))

    def _send_urgent(self) -> int:
        if not self.queues.depth(None):
            self._look_for_lost(None)
        return self._send(None, self.outbox.urgent(limit=_AT_ONCE))

    def _top_up(self, rung: int, free: int, pending: int) -> int:
        last = self.queues.queue_window(rung)
        window, shares = last.next_window(pending, tick_s=self.tick_s, most=self.window), FairShare(last.passes)
        due = self.outbox.due(rung, limit=window)
        if due.late_s > _LATE_S:
            self.report(JobsLate(lane=rung, count=due.jobs, late_s=due.late_s))
        room = min(window, max(free, due.jobs)) - pending  # a due job goes, and meets its model's state in its walk
        jobs = self.outbox.unsent(rung, limit=room, shares=shares) if room > 0 else []
        if jobs or last.level:
            self.queues.keep_window(rung, QueueWindow(window=window, level=pending, passes=shares.passes))
        return self._send(rung, jobs)

    def _send(self, lane: Lane, jobs: Sequence[Unsent]) -> int:
        if jobs:
            self.queues.send(jobs)
            failpoint("after_send")
            self.outbox.mark_sent(jobs)
            self.report(JobsSent(lane=lane, count=len(jobs)))
        return len(jobs)

    def _look_for_lost(self, lane: Lane) -> None:
        # Redis may have lost messages, by eviction or a failover. A second message is harmless: the claim decides.
        now = self.clock()
        if now - self._looked_at.get(lane, now - _LOST_AFTER_S) >= _LOST_AFTER_S / 2:
            self._looked_at[lane] = now
            self._forget(lane, older_than_s=_LOST_AFTER_S)

    def _forget(self, lane: Lane, *, older_than_s: float) -> None:
        if count := self.outbox.forget_lost(lane, older_than_s=older_than_s):
            self.report(MessagesLost(lane=lane, count=count))
