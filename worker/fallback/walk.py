"""One job down (or up) its chain: one loop over rungs. What it needs comes in as Protocols; nothing here does I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from models.job.values import Claim, Closing, DecisionRecord, Ending
from models.outcome import Outcome, Reason
from worker.events import JobEnded, JobLost
from worker.fallback.collaborators import Collaborators
from worker.fallback.decide import is_better_than_none
from worker.fallback.decision import (
    DENIED,
    PASSING,
    WAITED,
    Answered,
    ChainPosition,
    Continue,
    Fallback,
    Park,
    Policy,
    Retry,
    RetryLonger,
    Stop,
)
from worker.fallback.result import RungResult, decision_record, ending_of, odd_turn_of, over_limit_words
from worker.fallback.try_rung import try_rung

_INTO_THE_DAY_S = 1.0  # a job that waited for tomorrow comes back when it has surely begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What a walk came to: its ending, None where the job was no longer ours; and the attempts it made."""

    ending: Ending | None
    attempts: tuple[Closing, ...]


def walk(claim: Claim, worker: Collaborators, *, time_left_s: float) -> Walked:
    """Take a claimed job to its end or to a parking place."""
    attempts: list[Closing] = []
    decisions: list[DecisionRecord] = []
    policy = _policy(claim, worker, time_left_s)
    place, reason, number = _first_place(claim, policy), _first_reason(claim), claim.attempt_count
    last: RungResult | None = None  # the last attempt
    kept: RungResult | None = None  # the last one with a doubtful answer: paid for, and better than none
    odd: Mapping[str, Any] | None = None  # the last turn that is no answer
    better = _better_places(place, policy)
    while True:
        ahead, hasty = better.pop(0) if better else (place, policy)
        step = try_rung(claim, ahead, reason, number + 1, hasty, worker, last)
        if step is None:
            worker.report(JobLost(job_id=claim.job_id))
            return Walked(ending=None, attempts=tuple(attempts))
        if hasty is not policy and step.closing is None:
            continue  # it is as it was when the job left it
        place, better = ahead, []
        if step.closing is not None:
            number += 1
            attempts.append(step.closing)
            last, kept, odd = step, step if is_better_than_none(step.end) else kept, odd_turn_of(step.end) or odd
        if not isinstance(step.decision, Answered):
            decisions.append(decision_record(step, policy.chain.models, attempt_count=number, at=worker.now()))
        match step.decision:
            case RetryLonger(max_tokens=max_tokens):
                claim, reason = replace(claim, raised_max_tokens=max_tokens), Reason.RAISE
            case Retry() | Continue() | Fallback() as way:
                place, reason = _moved(place, way)
            case Answered() | Park() | Stop():
                return Walked(ending=_finish(claim, step, kept, odd, decisions, worker), attempts=tuple(attempts))
            case _:
                assert_never(step.decision)
        if step.closing is not None:
            worker.ledger.close_attempt(claim, step.closing)


def _moved(place: ChainPosition, way: Retry | Continue | Fallback) -> tuple[ChainPosition, Reason]:
    match way:
        case Retry():
            return replace(place, retries=place.retries + 1), Reason.RETRY
        case Continue(content=content):
            return replace(place, passes=place.passes + 1, content=content), Reason.CONTINUE
        case Fallback(rung=rung, reason=reason, given_up=given_up, waits=waits):
            return ChainPosition(rung=rung, given_up=given_up, rounds=place.rounds, waits=waits), reason


def _policy(claim: Claim, worker: Collaborators, time_left_s: float) -> Policy:
    return Policy(
        chain=worker.chain,
        span=claim.span.clamped(len(worker.chain.models)),
        climbs=worker.climbs if claim.climb_on is None else claim.climb_on,
        patience_s=worker.patience_s if claim.patience_s is None else claim.patience_s,
        queue_s=_queue_s(claim, worker, time_left_s),
        key_pause_s=worker.key_pause_s,
        time_left_s=time_left_s,
        draw=worker.draw,
        window_of=worker.window_of,
        until_tomorrow_s=claim.day_left_s + _INTO_THE_DAY_S if worker.caps.waits else None,
    )


def _queue_s(claim: Claim, worker: Collaborators, time_left_s: float) -> float:
    # Our own limit of calls in flight is waited for, unless the job, or an operator whose patience is 0, will not wait.
    if claim.patience_s is not None:
        return claim.patience_s
    return time_left_s if worker.patience_s > 0 else 0


def _first_place(claim: Claim, policy: Policy) -> ChainPosition:
    # A job that comes back resumes at the rung it had reached.
    rung = min(claim.rung, len(policy.chain.models) - 1)
    given_up = {
        left: reason
        for left, reason in claim.given_up.items()
        if reason not in PASSING or (left == rung and reason == WAITED)
    }
    return ChainPosition(rung=rung, given_up=given_up, rounds=claim.rounds)


def _better_places(place: ChainPosition, policy: Policy) -> list[tuple[ChainPosition, Policy]]:
    """List the rungs before this one that the job was not let into: one that has room now is asked, without a wait."""
    order = policy.span.available(())
    before = order[: order.index(place.rung)] if place.rung in order else ()
    hasty = replace(policy, patience_s=0, queue_s=0)
    denied = [rung for rung in before if place.given_up.get(rung) in DENIED]
    return [(replace(place, rung=rung, given_up=_without(place.given_up, rung)), hasty) for rung in denied]


def _without(given_up: Mapping[int, str], rung: int) -> dict[int, str]:
    return {left: reason for left, reason in given_up.items() if left != rung}


def _first_reason(claim: Claim) -> Reason:
    if claim.is_rebuy:
        return Reason.REBUY
    return Reason.RESUME if claim.attempt_count or claim.rounds else Reason.START


def _finish(
    claim: Claim,
    step: RungResult,
    kept: RungResult | None,
    odd: Mapping[str, Any] | None,
    decisions: Sequence[DecisionRecord],
    worker: Collaborators,
) -> Ending | None:
    if kept is not None and not isinstance(step.decision, Answered):
        if step.closing is not None:
            worker.ledger.close_attempt(claim, step.closing)
        decisions = (*decisions[:-1], replace(decisions[-1], decision="stop"))
        step = replace(kept, decision=Answered())  # its attempt is closed already, and stays as it is
    ending = replace(ending_of(step), decisions=tuple(decisions), raised_max_tokens=claim.raised_max_tokens)
    if ending.message is None:
        ending = replace(ending, message=odd)
    if ending.outcome == Outcome.OVER_LIMIT:
        ending = replace(ending, error=over_limit_words(decisions, claim.span, ending.error or ""))
    if not worker.ledger.finish(claim, ending, step.closing):
        worker.report(JobLost(job_id=claim.job_id))
        return None
    worker.report(JobEnded(claim=claim, ending=ending))
    return ending
