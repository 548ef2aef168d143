"""One rung of a walk, as a pipeline: each stage returns a value, and a RungResult ends the rung."""

from dataclasses import dataclass, replace
from decimal import Decimal

from models.chain.deadline import deadline_of
from models.ids import new_id
from models.job.values import Opening, OverCap
from models.money.worst_case import why_unbounded
from models.outcome import OVER_BUDGET, Reason
from worker.admission.admission import Denied, Request
from worker.admission.cache_warmup import CachedPrefix, Warm
from worker.fallback.collaborators import AROUND_A_CALL_S
from worker.fallback.decide import depth_at
from worker.fallback.decision import HAS_WAITED, UNFIT, WAITED
from worker.fallback.longer_answer import request_of, sent_back
from worker.fallback.make_attempt import call_and_check, decide_next, release_admission, result_of
from worker.fallback.rung import Call, RungContext, RungResult
from worker.fallback.wait_or_step import IN_HAND_S, acquire, denied, over_cap, put_back, skip
from worker.provider.fit_request import FittedRequest, Misfit, fit_request


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmedRequest:
    """A fitted request, the cache of its prefix, the state of that cache, and the seconds spent on a wait for it."""

    request: FittedRequest
    spot: CachedPrefix | None = None
    found: Warm = "never"
    held_s: float = 0.0


async def try_rung(rung: RungContext) -> RungResult | None:
    """Pass the rung over, or make one attempt. Returns None if the job is no longer ours."""
    if rung.worker.is_stopping() and rung.policy.can_park:
        return put_back(rung)
    if isinstance(request := fit(rung), RungResult):
        return request
    if isinstance(opening := await price(rung, request), RungResult):
        return opening
    warmed = await warm_cache(rung, request)
    result = None
    try:
        if isinstance(call := await acquire_admission(rung, opening, warmed), RungResult):
            return call
        if not isinstance(opened := await open_attempt(rung, call), Call):
            return opened
        ended = await call_and_check(rung, call)
        ended = await release_admission(rung, call, ended)
        result = await decide_next(rung, call, ended)
        return result
    finally:
        await note_cache(rung, warmed, result)


def fit(rung: RungContext) -> FittedRequest | RungResult:
    """Fit the job's request to the model of the rung."""
    claim, capabilities = rung.claim, rung.worker.capabilities_of(rung.model)
    prefix = claim.prefix if rung.worker.warming else None
    asked = request_of(claim, capabilities.most_output)
    request = fit_request(asked, capabilities, prefix=prefix, headers=claim.headers)
    if isinstance(request, Misfit):
        message = f"bad_request: no request was made: {request.reason}"
        return skip(rung, UNFIT, message, {"because": request.reason})
    return replace(request, params=sent_back(request.params, rung.place.content))  # an unfinished turn goes on


async def price(rung: RungContext, request: FittedRequest) -> Opening | RungResult:
    """Price the worst case of the request, and name the caps over the job."""
    opening = opening_of(rung, request, worst_case_usd=rung.worker.worst_case_usd(rung.model, request.params))
    if opening.caps and opening.worst_case_usd is None:
        cause = why_unbounded(request.params)
        return skip(rung, OVER_BUDGET, f"over budget: nothing bounds what {opening.model} may cost: {cause}")
    # An urgent caller waits for the answer: a cap without room is known before any wait for a cache or a model.
    over = await rung.worker.ledger.over_cap(opening) if opening.caps and rung.claim.is_urgent else None
    return opening if over is None else over_cap(rung, over)


def opening_of(rung: RungContext, request: FittedRequest, *, worst_case_usd: Decimal | None) -> Opening:
    """Lay the attempt of a fitted request out."""
    sent = request.params.get("max_tokens")
    return Opening(
        id=new_id(),
        number=rung.number,
        rung=rung.place.rung,
        fallback_depth=depth_at(rung.place, rung.policy.span),
        reason=rung.reason,
        model=rung.model,
        worst_case_usd=worst_case_usd,
        caps=rung.worker.caps.over(rung.claim),
        max_tokens=sent if sent != rung.claim.params.get("max_tokens") else None,
        note=request.note,
    )


async def warm_cache(rung: RungContext, request: FittedRequest) -> WarmedRequest:
    """Wait while another call warms the cache of the request's prefix."""
    prefix, worker = rung.claim.prefix, rung.worker
    if worker.warming is None or not prefix or not request.is_cached:
        return WarmedRequest(request=request)
    spot = CachedPrefix(model=rung.model, prefix=prefix)
    found, held_s = await worker.warming.hold(spot, is_urgent=rung.claim.is_urgent, is_stopping=worker.is_stopping)
    return WarmedRequest(request=request, spot=spot, found=found, held_s=held_s)


async def note_cache(rung: RungContext, warmed: WarmedRequest, result: RungResult | None) -> None:
    """Note the tokens that the call read from the cache or wrote there. Without a call, another job may warm."""
    closing = result.closing if result is not None else None
    if warmed.spot is not None and rung.worker.warming is not None:
        await rung.worker.warming.note(warmed.spot, warmed.found, usage=closing.usage if closing is not None else None)


async def acquire_admission(rung: RungContext, opening: Opening, warmed: WarmedRequest) -> Call | RungResult:
    """Acquire admission for the request."""
    call = _call(rung, opening, warmed)
    answer, queued_s = await acquire(rung, call.request)
    if isinstance(answer, Denied):
        return await denied(rung, call, answer)
    waited_ms = round((warmed.held_s + queued_s) * 1000) or None
    return replace(call, opening=replace(opening, waited_ms=waited_ms, is_probe=answer.is_probe))


def _call(rung: RungContext, opening: Opening, warmed: WarmedRequest) -> Call:
    claim, policy, model = replace(rung.claim, params=warmed.request.params), rung.policy, opening.model
    expected, left_s = rung.worker.expected, policy.time_left_s
    pace, timeout_s = expected.pace(model), rung.worker.call_timeout_s
    deadline = deadline_of(claim.params, pace=pace, call_timeout_s=timeout_s, time_left_s=left_s)
    tokens = expected.tokens(model, claim.params, is_warm=warmed.found == "warm")
    mark = rung.place.given_up.get(rung.place.rung)
    request = Request(
        ticket=opening.id,
        job=claim.job_id,
        model=model,
        group=policy.chain.group_of(model),
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        hold_s=(deadline.streamed_s if deadline.is_long else deadline.after_s) + AROUND_A_CALL_S,
        patience_s=min(IN_HAND_S if mark == WAITED else policy.patience_s, left_s),
        queue_s=min(policy.queue_s, left_s) if left_s else policy.queue_s,
        is_urgent=claim.is_urgent,
        is_retry=opening.reason is Reason.RETRY,
        has_waited=mark in HAS_WAITED,
        is_again=expected.failures.has_failed(model, claim.job_id),
    )
    headers = warmed.request.headers
    return Call(claim=claim, opening=opening, request=request, deadline=deadline, headers=headers, spot=warmed.spot)


async def open_attempt(rung: RungContext, call: Call) -> Call | RungResult | None:
    """Commit the attempt, if its worst case fits under every cap. Returns None if the job is no longer ours."""
    opened: bool | OverCap = False
    try:
        opened = await rung.worker.ledger.open_attempt(call.claim, call.opening)
    finally:
        if opened is not True:
            await rung.worker.admission.release(result_of(call.request, "not_sent"))
    if isinstance(opened, OverCap):
        return over_cap(rung, opened)
    return call if opened else None
