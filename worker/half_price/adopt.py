"""A doubtful create: the provider's list shows no custom_ids, so a message batch is adopted first and proven later."""

from models.job.message_batch import MessageBatch, MessageBatchState
from models.ledger.message_batches import LOST
from worker.events import MessageBatchStray
from worker.half_price.end_items import end_without_answer
from worker.half_price.lane import Lane
from worker.half_price.results_file import first_id
from worker.provider.message_batches import ListedBatch
from worker.provider.reply import Broken, Received

LOOKS = 3  # whole lists without a match
_AROUND_S = 300.0  # the provider may carry a create out so long after its start
_STRAYS_S = 86_400.0  # a lost create is looked for so long
_STRAY_EVERY_S = 3600.0


async def adopt(batch: MessageBatch, lane: Lane) -> str:
    """Look for a message batch of ours in the list. A list that cannot be read is no look."""
    sent_ago_s = batch.sent_ago_s or 0.0
    listed = await lane.calls.listed(since_s=sent_ago_s + _AROUND_S)
    if isinstance(listed, Received | Broken):
        lane.report_pause(listed)
        await lane.put(batch, look_in_s=max(lane.next_look_s(), lane.wait_s(listed, in_a_row=0)))
        return batch.state
    known = await lane.worker.in_thread(lane.batches.provider_ids)
    others = known.union(batch.not_ours)
    found = [one for one in listed if one.id not in others and one.size == batch.size and _is_near(one, sent_ago_s)]
    if len(found) == 1:
        return await _adopted(batch, lane, found[0])
    if found:
        return await _choose(batch, lane, found)
    return await _absent(batch, lane)


def _is_near(listed: ListedBatch, sent_ago_s: float) -> bool:
    return sent_ago_s - _AROUND_S <= listed.created_ago_s <= sent_ago_s + _AROUND_S


async def _adopted(batch: MessageBatch, lane: Lane, found: ListedBatch) -> str:
    """Look after a message batch that may be ours; results are the proof. A stray of a lost create is cancelled."""
    is_stray = batch.state is MessageBatchState.LOST
    if is_stray:
        lane.worker.report(MessageBatchStray(batch_id=batch.id, provider_id=found.id))
    state = MessageBatchState.CANCELLING if is_stray else MessageBatchState.UNDER_WAY
    await lane.put(batch, look_in_s=0.0, state=state, provider_id=found.id, is_proven=False, looks=0)
    return state


async def _choose(batch: MessageBatch, lane: Lane, found: list[ListedBatch]) -> str:
    """Read an id from the results of each that has ended: one of ours proves which message batch is ours."""
    ours = set(await lane.worker.in_thread(lane.batches.item_ids, batch.id))
    not_ours = list(batch.not_ours)
    for one in found:
        read = await first_id(lane, one.id) if one.has_ended else None
        if read in ours:
            return await _adopted(batch, lane, one)
        if read is not None:
            not_ours.append(one.id)
    await lane.put(batch, look_in_s=lane.next_look_s(), not_ours=not_ours)
    return batch.state


async def _absent(batch: MessageBatch, lane: Lane) -> str:
    looks = batch.looks + 1
    if batch.state is MessageBatchState.LOST:
        is_over = (batch.sent_ago_s or 0.0) > _STRAYS_S
        await lane.put(batch, look_in_s=None if is_over else min(_STRAY_EVERY_S, 4 * lane.lost_s), looks=looks)
        return batch.state
    if looks < LOOKS or (batch.sent_ago_s or 0.0) < lane.lost_s:
        await lane.put(batch, look_in_s=lane.lost_s / LOOKS, looks=looks)
        return batch.state
    await end_without_answer(batch, lane, reason=LOST, message="no list of the provider shows its message batch")
    await lane.put(batch, look_in_s=min(_STRAY_EVERY_S, 4 * lane.lost_s), state=MessageBatchState.LOST, looks=looks)
    return MessageBatchState.LOST
