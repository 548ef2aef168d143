"""A rung without a request: a short wait in hand for admission, else a wait for the rung or a step past it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models.job.values import Claim, Ending, OverCap
from models.outcome import OVER_BUDGET, Outcome, Reason
from models.rung_name import endpoint_of
from worker.admission.admission import (
    CIRCUIT_OPEN,
    FULL,
    LIMITED,
    OUTAGE,
    PAUSED,
    RETRIES_SPENT,
    Denied,
    Granted,
    Request,
)
from worker.admission.forecast import is_dearer
from worker.fallback.caps import over_cap_details, over_cap_message
from worker.fallback.decide import (
    backoff_s,
    climb_past,
    pause_key,
    queue_for,
    step_past,
    step_past_endpoint,
    step_past_limit,
    wait_for,
)
from worker.fallback.decision import (
    ABOUT_MONEY,
    ENDPOINT_OUT,
    OVER_TODAY,
    RESERVED,
    UNFIT,
    Decision,
    Fallback,
    Park,
    Stop,
)
from worker.fallback.result import follow, whole_ending
from worker.fallback.rung import Call, RungContext, RungResult

IN_HAND_S = 1.0  # two transactions cost more than so short a wait
KEY_PAUSED = "key_paused"  # the outcome of a job that is parked since nobody may call
_STOPPED = "worker_stopped"  # the outcome of a job that a stopping worker puts back without a call
_DEARER = "dearer"  # the reason of a wait for a warm cache
_MOST_S = 60.0
_PASSING_SOON = frozenset({CIRCUIT_OPEN, FULL, LIMITED})
_SURELY_OVER = 2.0  # a forecast of tokens is never twice too high


async def acquire(rung: RungContext, request: Request) -> tuple[Granted | Denied, float]:
    """Ask until the request may leave. Returns the answer, and the wait in hand in seconds.

    A job that could be parked waits in hand for a second at most.
    """
    held_s, asked, sleep = 0.0, request, rung.worker.sleep
    most_s = request.patience_s if request.queue_s is None else request.queue_s
    most_s = min(IN_HAND_S, most_s) if rung.policy.can_park else most_s
    while True:
        answer = await rung.worker.admission.acquire(asked)
        match answer:
            case Granted(after_s=after_s):
                if after_s:
                    await sleep(after_s)
                return answer, held_s + after_s
            case Denied(reason=reason, wait_s=wait_s) if reason == FULL and held_s + wait_s <= most_s:
                await sleep(wait_s)
                held_s += wait_s
                left_s = request.patience_s - held_s if request.has_waited else request.patience_s
                asked = replace(request, has_waited=True, patience_s=left_s)
            case _:
                return answer, held_s


def put_back(rung: RungContext) -> RungResult:
    """Put the job back, for another worker to take up at once."""
    at_once, message = rung.place.parked(after_s=0), "unreachable: its worker was stopped"
    return RungResult(place=rung.place, decision=at_once, skip_reason=_STOPPED, message=message)


def skip(rung: RungContext, reason: str, message: str, details: Mapping[str, Any] | None = None) -> RungResult:
    """Leave the rung without a request. A job that climbs goes to a still better model, or nowhere."""
    place, last, details = rung.place, rung.last, details or {}
    decision = (climb_past if rung.is_climb else step_past)(place, reason, rung.policy)
    if last is not None and (reason == UNFIT or (rung.is_climb and isinstance(decision, Stop))):
        # Should the job end here, the words of a model tell more than our knowledge of this model.
        return RungResult(place=place, decision=decision, end=last.end, reason=reason, details=details)
    is_as_said = reason in {UNFIT, Outcome.OVER_LIMIT} or (reason == RESERVED and isinstance(decision, Park))
    skip_reason = reason if is_as_said else OVER_BUDGET
    return RungResult(
        place=place, decision=decision, skip_reason=skip_reason, message=message, reason=reason, details=details
    )


def over_cap(rung: RungContext, over: OverCap) -> RungResult:
    """Leave a rung whose worst case does not fit under a cap."""
    reason = RESERVED if over.may_fit_later else OVER_TODAY if over.may_fit_tomorrow else OVER_BUDGET
    return skip(rung, reason, over_cap_message(over), over_cap_details(over))


def wait_for_room(rung: RungContext, over: OverCap, *, within_s: float) -> Ending | None:
    """Have a job at half price wait for room under a cap. Returns None if no wait within so many seconds helps.

    The reason stays with the rung: `takes_lane_again` reads the reason.
    """
    place, rounds = rung.place, rung.place.rounds + over.may_fit_later
    until_tomorrow_s = rung.policy.until_tomorrow_s if over.may_fit_tomorrow else None
    after_s = backoff_s(rounds, draw=rung.policy.draw) if over.may_fit_later else until_tomorrow_s
    if after_s is None or after_s >= within_s:
        return None
    reason = RESERVED if over.may_fit_later else OVER_TODAY
    result = RungResult(
        place=place,
        decision=replace(place.marked(reason), rounds=rounds).parked(after_s=after_s),
        skip_reason=RESERVED if over.may_fit_later else OVER_BUDGET,
        message=over_cap_message(over),
        reason=reason,
        details=over_cap_details(over),
    )
    record, after = follow(rung, result)
    decisions = () if record is None else (record,)
    return whole_ending(after, rung, decisions) if isinstance(after, Ending) else None


def takes_lane_again(claim: Claim) -> bool:
    """Return whether a job has waited for room under a cap, at half price. A live wait leaves no such reason."""
    return claim.given_up.get(claim.rung) in ABOUT_MONEY


async def denied(rung: RungContext, call: Call, answer: Denied) -> RungResult:
    """Choose what the job does instead of a call that admission control denies."""
    model, place, last, details = call.request.model, rung.place, rung.last, answer.details
    if answer.reason == CIRCUIT_OPEN:
        rung.worker.expected.slowness.forget_recent(model)
    needs, per_minute = (float(details.get(name, 0)) for name in ("needs", "per_minute"))
    if details.get("limit") == "input" and needs > _SURELY_OVER * per_minute:
        message = f"{model} takes {per_minute:,.0f} input tokens a minute, and about {needs:,.0f} are needed"
        return skip(rung, Outcome.OVER_LIMIT, f"over_limit: no request was made: {message}", details)
    decision, details = _instead(rung, answer), {"wait_s": round(answer.wait_s, 3), **details}
    if isinstance(decision, Stop) and last is not None:
        return RungResult(place=place, decision=decision, end=last.end, reason=answer.reason, details=details)
    result = RungResult(
        place=place,
        decision=decision,
        skip_reason=KEY_PAUSED if answer.reason == PAUSED else answer.reason,
        message=_denied_message(answer, model),
        details=details,
        wait_s=answer.wait_s,
    )
    return await prefer_warm(rung, call, result) if answer.reason in _PASSING_SOON else result


async def prefer_warm(rung: RungContext, call: Call, result: RungResult) -> RungResult:
    """Have the job wait for a warm cache here, if the next rung is dearer: once a round, and a minute at most.

    An urgent job, and a job with its own patience for a model, waits for no cache.
    """
    decision, wait_s, claim = result.decision, result.wait_s, call.claim
    if not isinstance(decision, Fallback) or decision.reason is not Reason.FALLBACK:
        return result
    if wait_s is None or wait_s > _MOST_S or claim.is_urgent or claim.patience_s is not None:
        return result
    next_model = rung.policy.chain.models[decision.rung]
    if not await _is_worth_a_wait(rung, call, next_model, wait_s):
        return result
    waiting = wait_for(rung.place, replace(rung.policy, patience_s=_MOST_S), wait_s=wait_s)
    details = {**result.details, "held_by": result.reason or result.cause, "instead_of": next_model}
    return result if waiting is None else replace(result, decision=waiting, reason=_DEARER, details=details)


async def _is_worth_a_wait(rung: RungContext, call: Call, next_model: str, wait_s: float) -> bool:
    worker, spot, params = rung.worker, call.spot, call.claim.params
    if spot is None or worker.warming is None:
        return False
    cold, warming = worker.capabilities_of(next_model), worker.warming
    if not await warming.is_warm(spot, in_s=wait_s) or await warming.is_warm(replace(spot, model=cold.model)):
        return False
    stays, moves = (worker.expected.tokens(model, params, is_warm=True) for model in (spot.model, cold.model))
    return is_dearer(stays, moves, warm=spot.model, cold=cold, prices=worker.prices, at=worker.now())


def _instead(rung: RungContext, answer: Denied) -> Decision:
    """Choose to wait, step past or park, by time and patience. A retry without room counts as the failure before."""
    place, policy, last, wait_s = rung.place, rung.policy, rung.last, answer.wait_s
    match answer.reason:
        case reason if reason == PAUSED:
            return pause_key(place, reason, policy, wait_s=wait_s)
        case reason if rung.is_climb:
            return climb_past(place, reason, policy, wait_s=wait_s)
        case reason if reason == RETRIES_SPENT:
            return step_past(place, reason if last is None or last.end is None else str(last.end.outcome), policy)
        case reason if reason == CIRCUIT_OPEN and answer.details.get("kind") == OUTAGE:
            return step_past_endpoint(place, ENDPOINT_OUT, policy, wait_s=wait_s)
        case reason if reason == CIRCUIT_OPEN:
            return step_past(place, reason, policy, wait_s=wait_s)
        case reason:
            waiting = (queue_for if reason == FULL else wait_for)(place, policy, wait_s=wait_s)
            return waiting or step_past_limit(place, reason, policy, wait_s=wait_s)


def _denied_message(answer: Denied, model: str) -> str:
    if answer.reason == PAUSED:
        return "key_paused: nobody calls with this key or address until a probe is answered; stepdown doctor says why"
    if answer.details.get("kind") == OUTAGE:
        model = f"{endpoint_of(model)}, the endpoint of {model},"
    details = ", ".join(f"{name} {value}" for name, value in answer.details.items())
    more = f" ({details})" if details else ""
    return f"{answer.reason}: no request was made: {model} may be asked in {answer.wait_s:.1f} s{more}"
