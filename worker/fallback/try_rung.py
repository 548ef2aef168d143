"""One turn of a walk: the stages before a request, and the request. Each returns its result as a Step."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models.chain.deadline import deadline_of
from models.chain.fallback_rules import CLIMBING
from models.ids import new_id
from models.job.values import Claim, Opening, OverCap
from models.money.worst_case import why_unbounded
from models.outcome import OVER_BUDGET, Outcome, Reason
from worker.admission.admission import CIRCUIT_OPEN, FULL, LIMITED, PAUSED, Denied, Granted, Request
from worker.admission.cache_warmup import CachedPrefix
from worker.fallback.caps import over_cap_details, over_cap_message
from worker.fallback.collaborators import AROUND_A_CALL_S, Collaborators
from worker.fallback.decide import climb_past, depth_at, step_past
from worker.fallback.decision import OVER_TODAY, RESERVED, UNFIT, WAITED, ChainPosition, Decision, Park, Policy, Stop
from worker.fallback.longer_answer import request_of, sent_back
from worker.fallback.make_attempt import Call, make_attempt, result_of
from worker.fallback.result import RungResult
from worker.fallback.wait_or_step import IN_HAND_S, KEY_PAUSED, acquire, decide_when_denied, denied_message, prefer_warm
from worker.provider.fit_request import FittedRequest, Misfit, fit_request

_PASSING_SOON = frozenset({CIRCUIT_OPEN, FULL, LIMITED})
SURELY_OVER = 2.0  # a forecast of tokens is never twice too high
STOPPED = "worker_stopped"  # the outcome of a job that was put back without a call, to be taken up at once


def try_rung(
    claim: Claim,
    place: ChainPosition,
    reason: Reason,
    number: int,
    policy: Policy,
    worker: Collaborators,
    last: RungResult | None,
) -> RungResult | None:
    """Pass the rung over, or make the attempt `number`; None: the job is no longer ours.

    `last` is the last attempt of this walk.
    """
    if worker.is_stopping() and policy.time_left_s:
        at_once = Park(after_s=0, rung=place.rung, given_up=place.given_up, rounds=place.rounds)
        return _passed(place, at_once, STOPPED, "unreachable: its worker was stopped")
    facts = worker.capabilities_of(policy.chain.models[place.rung])
    request = request_of(claim, facts.most_output)
    fit = fit_request(request, facts, prefix=claim.prefix if worker.warming else None, headers=claim.headers)
    if isinstance(fit, Misfit):
        message = f"bad_request: no request was made: {fit.reason}"
        return _skip(place, UNFIT, message, policy, last, {"because": fit.reason})
    fit = replace(fit, params=sent_back(fit.params, place.content))  # no prefill: the API asks for it
    opening = _opening(claim, fit, place, reason, number, policy, worker)
    if opening.caps and opening.worst_case_usd is None:
        cause = why_unbounded(fit.params)
        message = f"over budget: nothing bounds what {opening.model} may cost: {cause}"
        return _skip(place, OVER_BUDGET, message, policy, last)
    # Who stands by hears of a cap before any wait for a model.
    over = worker.ledger.over_cap(opening) if opening.caps and claim.is_urgent else None
    if over is not None:
        return _without_room(over, place, policy, last)
    return _warmed(replace(claim, params=fit.params), fit, opening, place, policy, worker, last)


def _opening(
    claim: Claim,
    fit: FittedRequest,
    place: ChainPosition,
    reason: Reason,
    number: int,
    policy: Policy,
    worker: Collaborators,
) -> Opening:
    model, sent = policy.chain.models[place.rung], fit.params.get("max_tokens")
    return Opening(
        id=new_id(),
        number=number,
        rung=place.rung,
        fallback_depth=depth_at(place, policy.span),
        reason=reason,
        model=model,
        worst_case_usd=worker.worst_case_usd(model, fit.params),
        caps=worker.caps.over(claim),
        max_tokens=sent if sent != claim.params.get("max_tokens") else None,
        note=fit.note,
    )


def _warmed(
    claim: Claim,
    fit: FittedRequest,
    opening: Opening,
    place: ChainPosition,
    policy: Policy,
    worker: Collaborators,
    last: RungResult | None,
) -> RungResult | None:
    """Go on once nobody else warms the cache this request is for, and say what the request made of it."""
    spot = CachedPrefix(model=opening.model, prefix=claim.prefix) if fit.is_cached and claim.prefix else None
    if spot is None or worker.warming is None:
        call = _call(claim, fit, opening, place, policy, worker)
        return _through(call, place, policy, worker, last, held_s=0.0)
    found, held_s = worker.warming.hold(spot, is_urgent=claim.is_urgent, is_stopping=worker.is_stopping)
    step: RungResult | None = None
    try:
        call = replace(_call(claim, fit, opening, place, policy, worker, is_warm=found == "warm"), spot=spot)
        step = _through(call, place, policy, worker, last, held_s=held_s)
        return step
    finally:
        closing = step.closing if step is not None else None
        worker.warming.note(spot, found, usage=closing.usage if closing is not None else None)


def _through(
    call: Call, place: ChainPosition, policy: Policy, worker: Collaborators, last: RungResult | None, *, held_s: float
) -> RungResult | None:
    """Acquire admission, and make the attempt if the request may leave."""
    answer, queued_s = acquire(call.need, worker.admission, worker.sleep)
    match answer:
        case Denied() as later:
            return _held(later, call, place, policy, worker, last)
        case Granted(is_probe=is_probe):
            waited_ms = round((held_s + queued_s) * 1000) or None
            opening = replace(call.opening, waited_ms=waited_ms, is_probe=is_probe)
            return _bought(replace(call, opening=opening), place, policy, worker, last)


def _call(
    claim: Claim,
    fit: FittedRequest,
    opening: Opening,
    place: ChainPosition,
    policy: Policy,
    worker: Collaborators,
    *,
    is_warm: bool = False,
) -> Call:
    deadline = deadline_of(
        claim.params,
        pace=worker.expected.pace(opening.model),
        call_timeout_s=worker.call_timeout_s,
        time_left_s=policy.time_left_s,
    )
    tokens = worker.expected.tokens(opening.model, claim.params, is_warm=is_warm)
    has_waited = place.given_up.get(place.rung) == WAITED
    need = Request(
        ticket=opening.id,
        job=claim.job_id,
        model=opening.model,
        group=policy.chain.group_of(opening.model),
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        hold_s=deadline.after_s + AROUND_A_CALL_S,
        patience_s=min(IN_HAND_S if has_waited else policy.patience_s, policy.time_left_s),
        queue_s=min(policy.queue_s, policy.time_left_s),
        is_urgent=claim.is_urgent,
        is_retry=opening.reason is Reason.RETRY,
        has_waited=has_waited,
        is_again=worker.expected.failures.has_failed(opening.model, claim.job_id),
    )
    return Call(claim=claim, opening=opening, need=need, deadline=deadline, headers=fit.headers)


def _held(
    later: Denied, call: Call, place: ChainPosition, policy: Policy, worker: Collaborators, last: RungResult | None
) -> RungResult:
    if later.reason == CIRCUIT_OPEN:
        worker.expected.slowness.forget_recent(call.need.model)
    needs, per_minute = (float(later.details.get(name, 0)) for name in ("needs", "per_minute"))
    if later.details.get("limit") == "input" and needs > SURELY_OVER * per_minute:
        message = f"{call.need.model} takes {per_minute:,.0f} input tokens a minute, and about {needs:,.0f} are needed"
        return _skip(
            place, Outcome.OVER_LIMIT, f"over_limit: no request was made: {message}", policy, last, later.details
        )
    reason = KEY_PAUSED if later.reason == PAUSED else later.reason
    failed_as = str(last.end.outcome) if last is not None and last.end is not None else later.reason
    decision = (
        climb_past(place, later.reason, policy, wait_s=later.wait_s)
        if _is_climb(last, place) and later.reason != PAUSED
        else decide_when_denied(later, place, policy, failed_as=failed_as)
    )
    details = {"wait_s": round(later.wait_s, 3), **later.details}
    if isinstance(decision, Stop) and last is not None:
        return RungResult(
            place=place, decision=decision, end=last.end, closing=None, reason=later.reason, details=details
        )
    step = _passed(place, decision, reason, denied_message(later, call.need.model), details)
    return (
        prefer_warm(step, later.wait_s, call.claim, call.spot, policy, worker)
        if later.reason in _PASSING_SOON
        else step
    )


def _is_climb(last: RungResult | None, place: ChainPosition) -> bool:
    # A refusal may also be taken down the chain: that is no climb.
    return last is not None and last.end is not None and last.end.outcome in CLIMBING and place.rung <= last.place.rung


def _skip(
    place: ChainPosition,
    reason: str,
    message: str,
    policy: Policy,
    last: RungResult | None,
    details: Mapping[str, Any] | None = None,
) -> RungResult:
    """Leave a rung without a request: on the way up for a better answer, for a still better model or for nothing."""
    decision = climb_past(place, reason, policy) if _is_climb(last, place) else step_past(place, reason, policy)
    if last is not None and (reason == UNFIT or (_is_climb(last, place) and isinstance(decision, Stop))):
        # Should the job end here, what a model said tells more than what we know of this one.
        return RungResult(
            place=place, decision=decision, end=last.end, closing=None, reason=reason, details=details or {}
        )
    is_as_said = reason in {UNFIT, Outcome.OVER_LIMIT} or (reason == RESERVED and isinstance(decision, Park))
    step = _passed(place, decision, reason if is_as_said else OVER_BUDGET, message, details)
    return replace(step, reason=reason)


def _passed(
    place: ChainPosition, decision: Decision, reason: str, message: str, details: Mapping[str, Any] | None = None
) -> RungResult:
    return RungResult(
        place=place,
        decision=decision,
        end=None,
        closing=None,
        skip_reason=reason,
        message=message,
        details=details or {},
    )


def _bought(
    call: Call, place: ChainPosition, policy: Policy, worker: Collaborators, last: RungResult | None
) -> RungResult | None:
    """Make the attempt, if its worst case fits under every cap; None: the job is no longer ours."""
    opened: bool | OverCap = False
    try:
        opened = worker.ledger.open_attempt(call.claim, call.opening)
    finally:
        if opened is not True:
            worker.admission.release(result_of(call.need, "not_sent"))
    match opened:
        case OverCap() as over:
            return _without_room(over, place, policy, last)
        case False:
            return None
        case _:
            return make_attempt(call, place, policy, worker)


def _without_room(over: OverCap, place: ChainPosition, policy: Policy, last: RungResult | None) -> RungResult:
    reason = RESERVED if over.may_fit_later else OVER_TODAY if over.may_fit_tomorrow else OVER_BUDGET
    return _skip(place, reason, over_cap_message(over), policy, last, over_cap_details(over))
