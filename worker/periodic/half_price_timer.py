"""The timer of message batches: makes them, and sends a task for each that needs a call. One worker leads."""

from dataclasses import dataclass

from models.queue.broker import Broker
from worker.half_price.lane import Lane
from worker.half_price.pack import Packer

_MOST_AT_ONCE = 20  # calls of a tick: after an outage each message batch is due


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfPriceTimer:
    """Inputs of a tick, every `tick_s` seconds."""

    queues: Broker
    lane: Lane
    packer: Packer
    holder: str
    tick_s: float

    def tick(self) -> int:
        """Make a message batch if jobs wait, and send the tasks that are due longest. Returns their number."""
        if not self.queues.try_lead_lane(self.holder, for_s=self.tick_s * 0.9):
            return 0
        self.packer.tick()
        return self.queues.send_message_batches(self.lane.batches.due(self.lane.namespace, most=_MOST_AT_ONCE))
