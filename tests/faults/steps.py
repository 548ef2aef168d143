"""What the state machine moves about: a queue, and a delivery that a worker is at."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from models.job.values import Claim, Closing, Ending, Opening, SpooledReply, Unsent
from models.queue.broker import Broker
from models.queue.queue_window import QueueWindow
from models.queue.redis_keys import Lane
from worker.recovery.spool import SpoolRecord


@dataclass(slots=True)
class Queue(Broker):
    """One queue in memory: messages in order, and whether it was emptied since a clock last looked."""

    messages: list[str] = field(default_factory=list)
    was_emptied: bool = True

    def try_lead(self, holder: str, *, for_s: float) -> bool:  # noqa: ARG002 - there is one clock
        """Give the one clock its turn."""
        return True

    def was_flushed(self) -> bool:
        """Tell it once."""
        was, self.was_emptied = self.was_emptied, False
        return was

    def depth(self, lane: Lane) -> int:
        """Count; all jobs here are of one rung, and none is urgent."""
        return len(self.messages) if lane == 0 else 0

    def queue_window(self, rung: int) -> QueueWindow:  # noqa: ARG002 - each tick is alike
        """Begin anew in each tick."""
        return QueueWindow()

    def keep_window(self, rung: int, window: QueueWindow) -> None:
        """Forget it."""

    def send(self, jobs: Sequence[Unsent]) -> None:
        """Put messages at the end."""
        self.messages.extend(job.id for job in jobs)


@dataclass(slots=True)
class Hand:
    """One delivery that a worker is at, and how far it has come."""

    claim: Claim
    opening: Opening | None = None
    closing: Closing | None = None
    ending: Ending | None = None
    slip: SpoolRecord | None = None

    @property
    def is_paid(self) -> bool:
        """Tell whether there is a reply that must not be lost."""
        return self.closing is not None and self.closing.usage is not None

    def kept(self) -> SpooledReply:
        """Make of it what goes to the disk."""
        assert self.closing is not None
        return SpooledReply(job_id=self.claim.job_id, token=self.claim.token, closing=self.closing, ending=self.ending)
