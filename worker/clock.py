"""The clock: sends jobs that are due, and tops the queues up from SQL. One worker's clock acts in each tick."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from models.life import Unsent
from worker.events import JobsSent, MessagesLost, Tell
from worker.failpoints import failpoint

_LOST_AFTER_S = 10.0  # a message may wait so long in the hands of a worker whose threads are all busy


class Queues(Protocol):
    """Holds one queue of messages for each rung."""

    def take_turn(self, holder: str, *, for_s: float) -> bool:
        """Become the one whose clock acts."""
        ...

    def has_lost_all(self) -> bool:
        """Tell, once, that every queue was emptied."""
        ...

    def depth(self, rung: int) -> int:
        """Count the messages of a rung."""
        ...

    def send(self, jobs: Sequence[Unsent]) -> None:
        """Publish a message for each job."""
        ...


class Outbox(Protocol):
    """Knows which jobs should have a message and have none."""

    def unsent(self, rung: int, *, limit: int) -> list[Unsent]:
        """List them, due ones first."""
        ...

    def mark_sent(self, jobs: Sequence[Unsent]) -> None:
        """Note that they have one now."""
        ...

    def fit_to_chain(self, *, rungs: int) -> int:
        """Bring jobs of a longer chain to this one's last rung."""
        ...

    def forget_lost(self, rung: int, *, older_than_s: float) -> int:
        """Note that those sent so long ago have none any more."""
        ...


@dataclass(slots=True, kw_only=True)
class Clock:
    """What one tick needs. A queue holds at most `window` messages: the rest of a large batch waits in SQL.

    `clock` is monotonic.
    """

    queues: Queues
    outbox: Outbox
    holder: str
    rungs: int
    window: int
    tick_s: float
    clock: Callable[[], float]
    tell: Tell
    _looked_at: dict[int, float] = field(default_factory=dict, init=False)

    def tick(self) -> int:
        """Send what can be sent; returns how many jobs. Nothing where it is another worker's turn."""
        # The turn lapses a little before the next tick, so that it is never missed by a hair.
        if not self.queues.take_turn(self.holder, for_s=self.tick_s * 0.9):
            return 0
        self.outbox.fit_to_chain(rungs=self.rungs)  # a longer chain's worker, or a retry, may have left some beyond
        if self.queues.has_lost_all():
            for rung in range(self.rungs):
                self._forget(rung, older_than_s=0)
        return sum(self._top_up(rung) for rung in range(self.rungs))

    def _top_up(self, rung: int) -> int:
        depth = self.queues.depth(rung)
        if not depth:
            self._look_for_lost(rung)
        room = self.window - depth
        jobs = self.outbox.unsent(rung, limit=room) if room > 0 else []
        if jobs:
            self.queues.send(jobs)
            failpoint("after_send")
            self.outbox.mark_sent(jobs)
            self.tell(JobsSent(rung=rung, count=len(jobs)))
        return len(jobs)

    def _look_for_lost(self, rung: int) -> None:
        # Redis may have lost some, by eviction or a failover. What is rung twice is harmless: the claim decides.
        now = self.clock()
        if now - self._looked_at.get(rung, now - _LOST_AFTER_S) >= _LOST_AFTER_S / 2:
            self._looked_at[rung] = now
            self._forget(rung, older_than_s=_LOST_AFTER_S)

    def _forget(self, rung: int, *, older_than_s: float) -> None:
        if count := self.outbox.forget_lost(rung, older_than_s=older_than_s):
            self.tell(MessagesLost(rung=rung, count=count))
