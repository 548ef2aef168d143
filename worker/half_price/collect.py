"""A message batch under way: polled, cancelled at the switch time, and read after the end."""

from functools import partial

from models.job.message_batch import BatchState, MessageBatch
from worker.events import MessageBatchEnded, ResultsUnreadable
from worker.half_price.end_items import end_results
from worker.half_price.lane import Lane
from worker.half_price.results_file import ResultsError, download, unnamed_file
from worker.provider.message_batches import batch_of
from worker.provider.reply import Broken, Received

_CANCEL_EVERY = 10  # looks of a cancelled message batch within its grace
_GONE_S = 29 * 86_400.0  # the provider keeps results so long
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
    left_s = batch.switch_in_s if batch.switch_in_s > 0 else lane.poll_s
    look_in_s = min(lane.next_look_s(), left_s)
    return await _look_again(batch, lane, reply, look_in_s=look_in_s)


async def cancel(batch: MessageBatch, lane: Lane) -> str:
    """Cancel a message batch until the provider has taken the cancel, then wait for its end."""
    changes: dict[str, object] = {"state": BatchState.CANCELLING}
    if not batch.is_cancelled:
        reply = await lane.calls.cancel(str(batch.provider_id))
        listed = batch_of(reply)
        if listed is not None and not listed.has_ended:
            changes["cancelled_at"] = "now"
            await _put(batch, lane, look_in_s=lane.grace_s / _CANCEL_EVERY, error=None, **changes)
            return BatchState.CANCELLING
    reply = await lane.calls.retrieve(str(batch.provider_id))
    listed = batch_of(reply)
    if listed is not None and listed.has_ended:
        return await _ended(batch, lane)
    is_late = -batch.switch_in_s > lane.grace_s
    look_in_s = lane.next_look_s() if is_late else min(lane.next_look_s(), lane.grace_s / _CANCEL_EVERY)
    return await _look_again(batch, lane, reply, look_in_s=look_in_s, **changes)


async def _look_again(
    batch: MessageBatch, lane: Lane, reply: Received | Broken, *, look_in_s: float, **changes: object
) -> str:
    is_gone = (batch.sent_ago_s or 0.0) > _GONE_S
    error = f"status {reply.status}" if isinstance(reply, Received) and batch_of(reply) is None else None
    error = f"{reply.how}: {reply.detail}" if isinstance(reply, Broken) else error
    await _put(batch, lane, look_in_s=None if is_gone else look_in_s, error=error, **changes)
    return str(changes.get("state", batch.state))


async def _ended(batch: MessageBatch, lane: Lane) -> str:
    """Record the end before the results are read: reading may take several tries."""
    kept = {"state": BatchState.ENDED, "ended_at": "now", "error": None}
    await _put(batch, lane, look_in_s=0.0, **kept)
    return BatchState.ENDED


async def collect(batch: MessageBatch, lane: Lane) -> str:
    """Download the results, and write them if they are exactly those of our items."""
    ours = await lane.worker.in_thread(lane.batches.item_ids, batch.id)
    try:
        with unnamed_file(lane.folder) as file:
            await download(batch, lane, file, ours)
            counts = await end_results(batch, lane, file)
    except ResultsError as error:
        return await _not_yet(batch, lane, error)
    if counts is None:
        return "lost"
    await _put(batch, lane, look_in_s=None, state=BatchState.DONE, is_proven=True, done_at="now", error=None)
    lane.worker.report(MessageBatchEnded(batch_id=batch.id, model=batch.model, counts=counts))
    return BatchState.DONE


async def _not_yet(batch: MessageBatch, lane: Lane, error: ResultsError) -> str:
    if error.is_foreign and not batch.is_proven:
        # Adopted by mistake: another client's message batch of the same size.
        not_ours = [*batch.not_ours, batch.provider_id]
        undone = {"provider_id": None, "not_ours": not_ours, "cancelled_at": None, "ended_at": None}
        await _put(batch, lane, look_in_s=0.0, state=BatchState.DOUBTFUL, **undone)
        return BatchState.DOUBTFUL
    if not error.is_early:
        lane.worker.report(ResultsUnreadable(batch_id=batch.id, message=str(error)))
    is_gone = (batch.sent_ago_s or 0.0) > _GONE_S
    wait_s = min(_AGAIN_S, lane.poll_s * 2.0 ** min(batch.looks, 10))
    await _put(batch, lane, look_in_s=None if is_gone else wait_s, looks=batch.looks + 1, error=str(error))
    return "ended, its results cannot be read yet"


async def _put(batch: MessageBatch, lane: Lane, **changes: object) -> None:
    await lane.worker.in_thread(partial(lane.batches.put, batch, **changes))  # type: ignore[arg-type]
