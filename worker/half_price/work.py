"""The call that a message batch needs now, by its state. Each call is a task of its own, under a lease."""

import asyncio
from functools import partial

from models.chain.chain import short_name
from models.errors import LedgerError
from models.job.message_batch import MessageBatch, MessageBatchState
from models.schema.message_batch import MOST_KEPT_S
from worker.half_price.adopt import adopt
from worker.half_price.collect import cancel, collect, poll
from worker.half_price.end_items import GONE, end_without_answer
from worker.half_price.lane import Lane
from worker.half_price.send import send

DROPPED = "dropped: another worker has the message batch, or no call is due"
STOPPING = "left for another worker: this one stops"
_STEPS = {
    MessageBatchState.SENDING: send,
    MessageBatchState.DOUBTFUL: adopt,
    MessageBatchState.UNDER_WAY: poll,
    MessageBatchState.CANCELLING: cancel,
    MessageBatchState.ENDED: collect,
    MessageBatchState.LOST: adopt,
}


async def work(batch_id: str, lane: Lane) -> str:
    """Take a message batch in hand, and make the call that is due. Returns one line: model, size, state, age.

    A ledger that is away costs only time: after the lease the next call goes on.
    """
    if lane.worker.is_stopping():
        return STOPPING
    take = partial(lane.batches.take, batch_id, lease_s=lane.lease_s)
    try:
        batch = await lane.worker.in_thread(take)
        if batch is None:
            return DROPPED
        holding = asyncio.create_task(_hold(batch, lane))
        try:
            is_gone = (batch.sent_ago_s or 0.0) > MOST_KEPT_S
            return in_one_line(batch, await (_give_up if is_gone else _STEPS[batch.state])(batch, lane))
        finally:
            holding.cancel()
    except LedgerError as error:
        return f"the ledger is away: {error}"


async def _give_up(batch: MessageBatch, lane: Lane) -> str:
    """End the items of a message batch whose results the provider has removed: their cost stays unknown."""
    await end_without_answer(batch, lane, reason=GONE, message="the provider keeps results for 29 days")
    await lane.put(batch, look_in_s=None, state=MessageBatchState.LOST)
    return MessageBatchState.LOST


async def _hold(batch: MessageBatch, lane: Lane) -> None:
    """Renew the lease as long as the call lasts: a list and a download have many parts."""
    is_ours = True
    while is_ours:
        await lane.worker.sleep(lane.lease_s / 3)
        try:
            is_ours = await lane.worker.in_thread(partial(lane.batches.renew, batch, lease_s=lane.lease_s))
        except LedgerError:
            continue


def in_one_line(batch: MessageBatch, state: str) -> str:
    """Return the line of a task in Flower, such as `opus-4-7 x 2,000: under way, 12 min`."""
    age = "" if batch.sent_ago_s is None else f", {batch.sent_ago_s / 60:.0f} min"
    return f"{short_name(batch.model)} x {batch.size:,}: {state.replace('_', ' ')}{age}"
