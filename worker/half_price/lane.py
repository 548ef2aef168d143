"""The collaborators of the lane, the operator's times, and the time that a message batch may take."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.chain.fallback_rules import ABOUT_THE_KEY
from models.job.message_batch import MessageBatch
from models.ledger.message_batches import MessageBatches
from models.reports.batch_history import BatchHistory
from worker.events import KeyPaused
from worker.failing_batches import FailingBatches
from worker.fallback.collaborators import Collaborators
from worker.fallback.result import message_of
from worker.provider.classify import classify
from worker.provider.message_batches import MessageBatchCalls
from worker.provider.reply import Broken, Failure, Received
from worker.provider.retry_after import retry_after_s

_LIMITED = {429, 529}  # all message batches of a key share one limit of calls a minute
_LONGEST_S, _MOST_DOUBLINGS = 3600.0, 5
_SPREAD = 0.25  # of a wait
_OK = 200
TIER = "batch"  # the service tier of half-price usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The collaborators of message batches. `namespace` names the API key; `folder` has results while they are read.

    A message batch takes `usual_s` until twenty of its model were measured. A cancel may take `grace_s`. A job needs
    `live_s` for a live call before its deadline. Each message batch is looked after every `poll_s`. A doubtful create
    that no list shows for `lost_s` is lost. A message batch in hand has a lease of `lease_s`, renewed during a call.
    """

    worker: Collaborators
    batches: MessageBatches
    history: BatchHistory
    calls: MessageBatchCalls
    failing_batches: FailingBatches
    pause: Callable[..., int]  # of a batch that fails throughout, as JobActions.pause
    namespace: str
    folder: Path
    usual_s: float
    grace_s: float
    live_s: float
    poll_s: float
    lost_s: float
    lease_s: float

    async def put(self, batch: MessageBatch, *, look_in_s: float | None, **changes: object) -> bool:
        """Put a message batch down, as `MessageBatches.put` does. Without our lease, nothing is changed."""
        return bool(await self.worker.in_thread(partial(self.batches.put, batch, look_in_s=look_in_s, **changes)))

    def takes_s(self, model: str) -> float:
        """Return the seconds within which a message batch of a model very likely ends."""
        return self.history.takes_s(model, usual_s=self.usual_s)

    def wait_s(self, reply: Received | Broken, *, in_a_row: int) -> float:
        """Return the seconds that a limit of the provider's calls demands, longer with each in a row; 0 without one.

        A key that is refused, or out of money, demands its pause. Message batches of one advice part.
        """
        if self._refusal_of_key(reply) is not None:
            return self.worker.key_pause_s
        if not isinstance(reply, Received) or reply.status not in _LIMITED:
            return 0.0
        advised = retry_after_s(reply.headers, now=self.worker.now()) or 0.0
        wait_s = max(advised, self.next_look_s() * 2.0 ** min(in_a_row + 1, _MOST_DOUBLINGS))
        return min(_LONGEST_S, wait_s) * (1.0 + _SPREAD * self.worker.draw())

    def report_pause(self, reply: Received | Broken) -> None:
        """Report the pause of a key that is refused, or out of money. Any other reply is no matter of the key."""
        if (end := self._refusal_of_key(reply)) is not None:
            pause_s = self.worker.key_pause_s
            self.worker.report(KeyPaused(outcome=end.outcome, message=message_of(end), for_s=pause_s))

    def _refusal_of_key(self, reply: Received | Broken) -> Failure | None:
        if not isinstance(reply, Received) or reply.status == _OK:
            return None
        end = classify(reply, now=self.worker.now())
        return end if isinstance(end, Failure) and end.outcome in ABOUT_THE_KEY else None

    def next_look_s(self) -> float:
        """Return the seconds until the next look, jittered: message batches of one moment part."""
        return self.poll_s * (0.75 + 0.5 * self.worker.draw())
