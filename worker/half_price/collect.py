"""A message batch under way: polled, cancelled at the switch time, and read after the end."""

import math

from models.job.message_batch import MessageBatch, MessageBatchState
from worker.events import MessageBatchEnded, ResultsUnreadable
from worker.half_price.end_items import end_results
from worker.half_price.lane import Lane
from worker.half_price.results_file import ResultsError, download, unnamed_file
from worker.provider.message_batches import batch_of
from worker.provider.reply import Broken, Received
from worker.recovery.failpoints import failpoint

_CANCEL_EVERY = 10  # looks of a cancelled message batch within its grace
_FEW = 3  # looks within the grace if the provider limits the calls
_AGAIN_S = 3600.0


async def poll(batch: MessageBatch, lane: Lane) -> str:
    """Look whether a message batch has ended. Cancel at the switch time, or if no job waits any more.

    A reply of any other kind is no news. The provider was seen to answer 404 before a good end.
    """
    if batch.is_proven and (batch.switch_in_s <= 0 or not batch.waiting):  # an unproven one may be another client's
        return await cancel(batch, lane)
    reply = await lane.calls.retrieve(str(batch.provider_id))
    listed = batch_of(reply)
    if listed is not None and listed.has_ended:
        return await _ended(batch, lane)
    left_s = batch.switch_in_s if batch.switch_in_s > 0 else None
    return await _look_again(batch, lane, reply, within_s=left_s)


async def cancel(batch: MessageBatch, lane: Lane) -> str:
    """Cancel a message batch until the provider has taken the cancel, then wait for its end."""
    changes: dict[str, object] = {"state": MessageBatchState.CANCELLING}
    if not batch.is_cancelled:
        reply = await lane.calls.cancel(str(batch.provider_id))
        listed = batch_of(reply)
        if listed is not None and not listed.has_ended:
            changes["cancelled_at"] = "now"
            await lane.put(batch, look_in_s=lane.grace_s / _CANCEL_EVERY, error=None, looks=0, **changes)
            return MessageBatchState.CANCELLING
        if lane.wait_s(reply, in_a_row=0):
            return await _look_again(batch, lane, reply, within_s=lane.grace_s / _FEW, **changes)
    reply = await lane.calls.retrieve(str(batch.provider_id))
    listed = batch_of(reply)
    if listed is not None and listed.has_ended:
        return await _ended(batch, lane)
    is_late = -batch.switch_in_s > lane.grace_s
    every = _FEW if lane.wait_s(reply, in_a_row=0) else _CANCEL_EVERY
    return await _look_again(batch, lane, reply, within_s=None if is_late else lane.grace_s / every, **changes)


async def _look_again(
    batch: MessageBatch, lane: Lane, reply: Received | Broken, *, within_s: float | None, **changes: object
) -> str:
    """Look again at the next turn, but within so many seconds. A limit of the provider makes looks rarer."""
    lane.report_pause(reply)
    wait_s = lane.wait_s(reply, in_a_row=batch.looks)
    look_in_s = min(max(lane.next_look_s(), wait_s), math.inf if within_s is None else within_s)
    changes["looks"] = batch.looks + 1 if wait_s else 0
    error = f"status {reply.status}" if isinstance(reply, Received) and batch_of(reply) is None else None
    error = f"{reply.how}: {reply.detail}" if isinstance(reply, Broken) else error
    await lane.put(batch, look_in_s=look_in_s, error=error, **changes)
    return str(changes.get("state", batch.state))


async def _ended(batch: MessageBatch, lane: Lane) -> str:
    """Record the end before the results are read: reading may take several tries."""
    kept = {"state": MessageBatchState.ENDED, "ended_at": "now", "error": None, "looks": 0}
    await lane.put(batch, look_in_s=0.0, **kept)
    return MessageBatchState.ENDED


async def collect(batch: MessageBatch, lane: Lane) -> str:
    """Download the results, and write them if they are exactly those of our items."""
    ours = await lane.worker.in_thread(lane.batches.item_ids, batch.id)
    try:
        with unnamed_file(lane.folder) as file:
            await download(batch, lane, file, ours)
            failpoint("after_results")
            counts = await end_results(batch, lane, file)
    except ResultsError as error:
        return await _not_yet(batch, lane, error)
    ended = {"state": MessageBatchState.DONE, "is_proven": True, "done_at": "now", "error": None}
    if counts is None or not await lane.put(batch, look_in_s=None, **ended):
        return "lost"
    lane.worker.report(MessageBatchEnded(batch_id=batch.id, model=batch.model, counts=counts))
    return MessageBatchState.DONE


async def _not_yet(batch: MessageBatch, lane: Lane, error: ResultsError) -> str:
    if error.is_foreign and not batch.is_proven:
        # Adopted by mistake: another client's message batch of the same size.
        not_ours = [*batch.not_ours, batch.provider_id]
        undone = {"provider_id": None, "not_ours": not_ours, "cancelled_at": None, "ended_at": None, "looks": 0}
        await lane.put(batch, look_in_s=0.0, state=MessageBatchState.DOUBTFUL, **undone)
        return MessageBatchState.DOUBTFUL
    if not error.is_early:
        lane.worker.report(ResultsUnreadable(batch_id=batch.id, message=str(error)))
    wait_s = max(error.wait_s, min(_AGAIN_S, lane.poll_s * 2.0 ** min(batch.looks, 10)))
    # The jobs go live a grace after the switch time: until then a download may still spare live calls.
    within_s = batch.switch_in_s if batch.switch_in_s > 0 else math.inf
    await lane.put(batch, look_in_s=min(wait_s, within_s), looks=batch.looks + 1, error=str(error))
    return "ended, its results cannot be read yet"
