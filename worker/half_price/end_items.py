"""The ends of items: read, priced, checked and decided as live answers are, and written with their jobs."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import IO, Any

from models.database.group_thread import LoopReply
from models.job.message_batch import MessageBatch, OpenItem
from models.job.values import Closing, DecisionRecord, Ending
from models.money.prompt_cache import lifetimes
from models.outcome import HALF_PRICE, MOVED, CostStatus, Outcome, State
from worker.events import AttemptClosed, BatchPaused, JobEnded
from worker.fallback.check_answer import asks_nothing, check_answer
from worker.fallback.decide import decide, is_better_than_none
from worker.fallback.decision import Continue
from worker.fallback.longer_answer import longer_answer, request_of
from worker.fallback.result import follow, whole_ending
from worker.fallback.rung import RungContext, RungResult
from worker.fallback.walk import first_rung
from worker.half_price.lane import TIER, Lane
from worker.half_price.results_file import results_in
from worker.provider.attempt_cost import closing_of
from worker.provider.classify import classify, reply_of
from worker.provider.error_outcome import STATUS_OF
from worker.provider.reply import Failure, Received, Reply
from worker.provider.unquoted import without_prompt
from worker.recovery.failpoints import failpoint

_AT_ONCE = 200  # items of one group of commits
_MOST_MS = 2**31 - 1  # of the column: 24 days, and the clocks of ledger and worker may differ
_ZERO_MS, _ZERO_USD, _OK = 0, Decimal(0), 200
# Errors of items, by the words of the API. No errored item is billed, so that none counts as a gateway's timeout.
_STATUSES = {**STATUS_OF, "overloaded_error": 529, "api_error": 500, "timeout_error": 500}
_UNKNOWN_ERROR = 500
GONE = "gone"  # the error type of items whose end nobody can ask for any more
_NOT_RUN = {"canceled": "the message batch was cancelled", "expired": "the message batch expired"}


async def end_results(batch: MessageBatch, lane: Lane, file: IO[bytes]) -> Counter[str] | None:
    """Write each result with its job, some hundred at a time. Returns the counts by kind; None if our lease was over.

    A second run changes nothing: an attempt is closed once.
    """
    counts = Counter[str]()
    found = results_in(file)
    while lines := await lane.worker.in_thread(lambda: [*islice(found, _AT_ONCE)]):
        if not await lane.worker.in_thread(partial(lane.batches.renew, batch, lease_s=lane.lease_s)):
            return None
        results = dict(lines)
        counts.update(str(result["type"]) for result in results.values())
        read = partial(lane.batches.open_items, batch.id, ids=results)
        items = await lane.worker.in_thread(read)
        found_here = [(item, results[item.opening.id]) for item in items]
        ends = await lane.worker.in_thread(_ends, found_here, batch, lane)
        await _write(ends, lane)
        failpoint("between_items")
        if len(items) < len(results):
            await _record_strays(batch, results, lane)
    return counts


async def _record_strays(batch: MessageBatch, results: Mapping[str, Mapping[str, Any]], lane: Lane) -> None:
    """Record the cost of items whose attempts were closed as lost."""
    items = await lane.worker.in_thread(lane.batches.lost_items, batch.id, results)
    lost = [(item, results[item.opening.id]) for item in items]
    for item, _, closing in await lane.worker.in_thread(_ends, lost, batch, lane):
        if closing.outcome is not Outcome.NOT_RUN:
            reply = LoopReply[bool]()
            lane.batches.record_stray(item, closing, reply)
            await reply


async def end_without_answer(batch: MessageBatch, lane: Lane, *, reason: str, message: str) -> None:
    """End all open items of a message batch without an answer, and let their jobs go live. `GONE` may be billed."""
    while items := await lane.worker.in_thread(partial(lane.batches.open_items, batch.id)):
        await end_unanswered(items, lane, reason=reason, message=message)


async def end_unanswered(items: Sequence[OpenItem], lane: Lane, *, reason: str, message: str) -> None:
    """End items without an answer."""
    await _write([(item, *_not_run(item, lane, reason, message)) for item in items], lane)


def rung_of(item: OpenItem, lane: Lane) -> RungContext:
    """Return the rung of an item, with the position of its attempt. A shorter chain ends at its last rung."""
    claim, last = item.claim, len(lane.worker.chain.models) - 1
    rung = first_rung(claim, lane.worker, max(0.0, claim.deadline_s))
    return replace(rung, place=replace(rung.place, rung=min(item.opening.rung, last)), number=item.opening.number)


async def _write(ends: list[tuple[OpenItem, Ending, Closing]], lane: Lane) -> None:
    replies = []
    for item, ending, closing in ends:
        reply = LoopReply[Ending | None]()
        lane.batches.end_item(item, ending, closing, reply)
        replies.append(reply)
    for (item, _, closing), reply in zip(ends, replies, strict=True):
        written = await reply
        lane.worker.report(AttemptClosed(claim=item.claim, opening=item.opening, closing=closing))
        if written is not None:
            lane.worker.report(JobEnded(claim=item.claim, ending=written))
            await _pause_if_failing(item, written, lane)


async def _pause_if_failing(item: OpenItem, ending: Ending, lane: Lane) -> None:
    batch_id = item.claim.batch_id
    if because := lane.failing_batches.note(batch_id, ending):
        count = await lane.worker.in_thread(partial(lane.pause, str(batch_id), because=because))
        lane.worker.report(BatchPaused(batch_id=str(batch_id), because=because, count=count))


def _ends(
    results: list[tuple[OpenItem, Mapping[str, Any]]], batch: MessageBatch, lane: Lane
) -> list[tuple[OpenItem, Ending, Closing]]:
    ours = frozenset(() if batch.cache_ttl is None else (batch.cache_ttl,))  # the caller's own marks are in his request
    return [(item, *_end_of(item, result, ours, lane)) for item, result in results]


def _end_of(item: OpenItem, result: Mapping[str, Any], ours: frozenset[str], lane: Lane) -> tuple[Ending, Closing]:
    match result:
        case {"type": "succeeded", "message": dict(message)}:
            return _decided(item, _OK, message, ours, lane)
        case {"type": "errored", "error": dict(error)}:
            return _decided(item, _status_of(error), error, ours, lane)
        case {"type": str(kind)} if kind in _NOT_RUN:
            return _not_run(item, lane, kind, _NOT_RUN[kind])
        case _:
            return _not_run(item, lane, "errored", f"a result of type {str(result.get('type'))[:40]!r}")


def _read(status: int, body: Mapping[str, Any], lifetimes: Collection[str], now: datetime) -> Reply | Failure:
    """Classify a body that is parsed already. Only a failure needs the bytes."""
    received = Received(status=status, headers={}, body=b"", latency_ms=_ZERO_MS)
    reply = reply_of(received, body, lifetimes) if status == _OK else None
    return reply or classify(replace(received, body=json.dumps(body).encode()), now=now, lifetimes=lifetimes)


def _status_of(error: Mapping[str, Any]) -> int:
    held = error.get("error")
    kind = held.get("type") if isinstance(held, dict) else error.get("type")
    return _STATUSES.get(str(kind), _UNKNOWN_ERROR)


def _decided(
    item: OpenItem, status: int, body: Mapping[str, Any], ours: frozenset[str], lane: Lane
) -> tuple[Ending, Closing]:
    """Judge an item by the rules of a live answer: classify, check, price, decide."""
    worker, rung = lane.worker, rung_of(item, lane)
    params = request_of(item.claim, worker.capabilities_of(rung.model).most_output)
    now = worker.now()
    took_ms = round((now - item.opened_at).total_seconds() * 1000)
    found = without_prompt(_read(status, body, lifetimes(params) or ours, now), params)
    end = check_answer(_at_half_price(found), item.claim.expects, asks_nothing=asks_nothing(params))
    end = replace(end, latency_ms=min(max(0, took_ms), _MOST_MS))
    closing = closing_of(item.opening.id, end, worker.prices, at=item.opened_at)
    sent = item.opening.max_tokens
    claim = replace(item.claim, params=params if sent is None else {**params, "max_tokens": sent})
    longer = longer_answer(end, claim, worker.capabilities_of(rung.model).most_output, rung.policy.climbs)
    decision = longer or decide(end, rung.place, rung.policy)
    result = RungResult(
        place=rung.place, decision=decision, end=end, closing=closing, depth=item.opening.fallback_depth
    )
    record, after = follow(rung, result)
    decisions = () if record is None else (record,)
    if isinstance(after, Ending):
        return whole_ending(after, rung, decisions), closing
    return _goes_on(after, end, lane, decisions, starts_anew=isinstance(decision, Continue)), closing


def _at_half_price(end: Reply | Failure) -> Reply | Failure:
    """Name the tier of a usage that names none: whatever a message batch answers is billed at half the price."""
    if isinstance(end, Reply) and end.usage.service_tier is None:
        return replace(end, usage=replace(end.usage, service_tier=TIER))
    return end


def _goes_on(
    rung: RungContext,
    end: Reply | Failure,
    lane: Lane,
    decisions: tuple[DecisionRecord, ...],
    *,
    starts_anew: bool,
) -> Ending:
    """Let a job wait for the next message batch after an answer that is not the last. After an error the job goes live.

    A cut answer stays with its job, and stands if no better one comes.
    """
    waits, stands = isinstance(end, Reply) and not starts_anew, is_better_than_none(end)
    left_s = max(0.0, rung.claim.deadline_s - lane.live_s) if waits else 0.0
    ending = Ending(
        state=State.WAITING,
        outcome=HALF_PRICE if waits and left_s else str(end.outcome),
        error=None,
        rung=rung.place.rung,
        given_up=rung.place.given_up,
        rounds=rung.place.rounds,
        due_in_s=left_s,
        message=end.message if stands and isinstance(end, Reply) else None,
        is_truncated=stands,
    )
    return whole_ending(ending, rung, decisions)


def _not_run(item: OpenItem, lane: Lane, reason: str, message: str) -> tuple[Ending, Closing]:
    """Close an item that did not run, without cost. Its job goes live at once, at the same rung."""
    rung, is_free = rung_of(item, lane), reason != GONE
    closing = Closing(
        attempt_id=item.opening.id,
        outcome=Outcome.NOT_RUN if is_free else Outcome.UNKNOWN,
        cost_usd=_ZERO_USD if is_free else None,
        cost_status=CostStatus.FREE if is_free else CostStatus.UNKNOWN,
        latency_ms=_ZERO_MS,
        error_type=reason,
        error=message,
    )
    ending = Ending(
        state=State.WAITING,
        outcome=MOVED,
        error=None,
        rung=rung.place.rung,
        given_up=rung.place.given_up,
        rounds=rung.place.rounds,
        due_in_s=0.0,
    )
    return whole_ending(ending, rung, ()), closing
