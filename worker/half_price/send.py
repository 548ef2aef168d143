"""The create, sent once, after the commit. Only a clear refusal means that nothing was bought."""

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from models.chain.fallback_rules import ABOUT_THE_KEY
from models.job.message_batch import MessageBatch, MessageBatchState, OpenItem
from models.ledger.message_batches import LEFT_OUT
from models.money.prompt_cache import marked
from models.outcome import Outcome
from worker.fallback.result import message_of
from worker.fallback.try_rung import fit
from worker.half_price.cache_lifetime import cheapest_ttl, shared_prefixes
from worker.half_price.end_items import end_unanswered, end_without_answer, rung_of
from worker.half_price.lane import Lane
from worker.provider.classify import classify
from worker.provider.fit_request import FittedRequest
from worker.provider.message_batches import batch_of
from worker.provider.reply import Broken, Failure, Received, Reply
from worker.recovery.failpoints import failpoint

_BUSY = {Outcome.RATE_LIMITED, Outcome.RAMP_LIMITED, Outcome.OVER_LIMIT, Outcome.UNREACHABLE}
_MAY_BE_BOUGHT = {Outcome.SERVER_ERROR, Outcome.OVERLOADED, Outcome.CUT, Outcome.TIMED_OUT, Outcome.MALFORMED}
_BUSY_S = 60.0


async def send(batch: MessageBatch, lane: Lane) -> str:
    """Send the create. A create that may have left before is doubtful, and is never sent again."""
    if batch.sent_ago_s is not None:
        return await doubt(batch, lane, "its worker was lost during the create")
    if batch.switch_in_s <= 0 or not batch.waiting:
        return await refuse(batch, lane, "late", "it could not be created in time")
    requests, ttl = await _requests(batch, lane)
    failpoint("before_sent")
    if not await lane.worker.in_thread(partial(lane.batches.mark_sent, batch, size=len(requests), cache_ttl=ttl)):
        return "lost"
    failpoint("after_sent")
    reply = await lane.calls.create(requests, batch.headers)
    failpoint("after_create")
    listed = batch_of(reply)
    if listed is not None:
        known = {"state": MessageBatchState.UNDER_WAY, "provider_id": listed.id, "is_proven": True, "error": None}
        await lane.put(batch, look_in_s=lane.next_look_s(), **known)
        return MessageBatchState.UNDER_WAY
    return await _failed(batch, lane, reply)


async def _failed(batch: MessageBatch, lane: Lane, reply: Received | Broken) -> str:
    end: Reply | Failure = classify(reply, now=lane.worker.now())
    message, wait_s = message_of(end), end.retry_after_s if isinstance(end, Failure) else None
    if isinstance(end, Reply) or end.outcome in _MAY_BE_BOUGHT:
        return await doubt(batch, lane, message)
    if end.outcome in ABOUT_THE_KEY:
        lane.report_pause(reply)
        return await _wait(batch, lane, message, lane.worker.key_pause_s)
    if end.outcome in _BUSY:
        return await _wait(batch, lane, message, wait_s or min(_BUSY_S, lane.poll_s))
    if end.outcome is Outcome.TOO_LARGE and batch.size > 1:
        await lane.worker.in_thread(lane.batches.halve, batch)
        return "halved"
    return await refuse(batch, lane, str(end.outcome), message)


async def _wait(batch: MessageBatch, lane: Lane, message: str, wait_s: float) -> str:
    """Send the same create later: nothing was bought. The packer waits for its answer."""
    look_in_s = max(0.0, min(wait_s, batch.switch_in_s))
    await lane.put(batch, look_in_s=look_in_s, sent_at=None, error=message)
    return f"waits {look_in_s:.0f} s to be created"


async def doubt(batch: MessageBatch, lane: Lane, message: str) -> str:
    """Record that the create may have been carried out: the provider's list decides."""
    await lane.put(batch, look_in_s=0.0, state=MessageBatchState.DOUBTFUL, error=message)
    return MessageBatchState.DOUBTFUL


async def refuse(batch: MessageBatch, lane: Lane, reason: str, message: str) -> str:
    """End all items without cost, and let their jobs go live: the provider has taken nothing."""
    await end_without_answer(batch, lane, reason=reason, message=message)
    await lane.put(batch, look_in_s=None, state=MessageBatchState.REFUSED, done_at="now", error=message)
    return MessageBatchState.REFUSED


async def _requests(batch: MessageBatch, lane: Lane) -> tuple[Sequence[bytes], str | None]:
    """Write the requests of the items whose jobs still wait, and end the other items.

    Returns also the lifetime of the prefixes that are marked for the cache.
    """
    requests: list[bytes] = []
    after, ttl = "", cache(partial(cheapest_ttl, lane, batch.model))
    while items := await lane.worker.in_thread(partial(lane.batches.open_items, batch.id, after=after)):
        left_out = [item for item in items if not item.is_waiting]
        await end_unanswered(left_out, lane, reason=LEFT_OUT, message="its job went on before the create")
        waiting = [item for item in items if item.is_waiting]
        requests += await lane.worker.in_thread(_lines, waiting, ttl, lane)
        after = items[-1].opening.id
    return requests, ttl() if ttl.cache_info().currsize else None


def _lines(items: Sequence[OpenItem], ttl: Callable[[], str | None], lane: Lane) -> list[bytes]:
    shared = shared_prefixes(items, lane)
    return [_request(item, lane, ttl() if item.claim.prefix in shared else None) for item in items]


def _request(item: OpenItem, lane: Lane, ttl: str | None) -> bytes:
    own = params_of(item, lane)
    params = {"model": item.opening.model, **(own if ttl is None else marked(own, ttl))}
    text = json.dumps({"custom_id": item.opening.id, "params": params}, separators=(",", ":"), allow_nan=False)
    return text.encode()


def params_of(item: OpenItem, lane: Lane) -> Any:
    """Return the parameters of an item, fitted to its model. Most requests fit unchanged, as their attempts say."""
    if item.opening.note is None and item.opening.max_tokens is None:
        return item.claim.params
    request = fit(rung_of(item, lane))
    return request.params if isinstance(request, FittedRequest) else item.claim.params
