"""The collaborators of the lane, the operator's times, and the time that a message batch may take."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.ledger.message_batches import MessageBatches
from worker.failing_batches import FailingBatches
from worker.fallback.collaborators import Collaborators
from worker.provider.message_batches import MessageBatchCalls

_LEAST_MEASURED = 20  # message batches of a model; fewer say nothing about the slow ones
LEASE_S = 120.0  # of a message batch in hand; renewed while a call lasts
TIER = "batch"  # the service tier of half-price usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The collaborators of message batches. `namespace` names the API key; `folder` has results while they are read.

    A message batch takes `usual_s` until twenty of its model were measured. A cancel may take `grace_s`. A job needs
    `live_s` for a live call before its deadline. Each message batch is looked after every `poll_s`.
    """

    worker: Collaborators
    batches: MessageBatches
    calls: MessageBatchCalls
    failing_batches: FailingBatches
    pause: Callable[..., int]  # of a batch that fails throughout, as JobActions.pause
    namespace: str
    folder: Path
    usual_s: float
    grace_s: float
    live_s: float
    poll_s: float

    def takes_s(self, model: str) -> float:
        """Return the seconds within which a message batch of a model very likely ends."""
        measured = self.batches.p95_s(model, least=_LEAST_MEASURED)
        return self.usual_s if measured is None else measured

    def next_look_s(self) -> float:
        """Return the seconds until the next look, jittered: message batches of one moment part."""
        return self.poll_s * (0.75 + 0.5 * self.worker.draw())
