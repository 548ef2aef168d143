"""The call that a message batch needs now, by its state. Each call is a task of its own, under a lease."""

from functools import partial

from models.chain.chain import short_name
from models.errors import LedgerError
from models.job.message_batch import BatchState, MessageBatch
from worker.half_price.adopt import adopt
from worker.half_price.collect import cancel, collect, poll
from worker.half_price.lane import LEASE_S, Lane
from worker.half_price.send import send

DROPPED = "dropped: another worker has the message batch, or no call is due"
_STEPS = {
    BatchState.SENDING: send,
    BatchState.DOUBTFUL: adopt,
    BatchState.UNDER_WAY: poll,
    BatchState.CANCELLING: cancel,
    BatchState.ENDED: collect,
    BatchState.LOST: adopt,
}


async def work(batch_id: str, lane: Lane) -> str:
    """Take a message batch in hand, and make the call that is due. Returns one line: model, size, state, age.

    A ledger that is away costs only time: after the lease the next call goes on.
    """
    take = partial(lane.batches.take, batch_id, lease_s=LEASE_S)
    try:
        batch = await lane.worker.in_thread(take)
        if batch is None:
            return DROPPED
        return in_one_line(batch, await _STEPS[batch.state](batch, lane))
    except LedgerError as error:
        return f"the ledger is away: {error}"


def in_one_line(batch: MessageBatch, state: str) -> str:
    """Return the line of a task in Flower, such as `opus-4-7 x 2,000: under way, 12 min`."""
    age = "" if batch.sent_ago_s is None else f", {batch.sent_ago_s / 60:.0f} min"
    return f"{short_name(batch.model)} x {batch.size:,}: {state.replace('_', ' ')}{age}"
