"""One job down (or up) its chain: one loop over rungs. What it needs comes in as Protocols; nothing here does I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol, assert_never

from models.bound import WorstCase
from models.chain import Chain
from models.ids import new_id
from models.life import Claim, Closing, Ending, Opening, OverCap
from models.outcome import OVER_BUDGET, Outcome, Reason
from models.pricing import Prices
from worker.budget import Caps, worded
from worker.classify import classify
from worker.cooldown import KeyPause
from worker.decide import (
    ABOUT_THE_KEY,
    CLIMBING,
    NO_TIME,
    OVER_TODAY,
    PASSING,
    RESERVED,
    UNFIT,
    WAITED,
    Answered,
    Decision,
    Fallback,
    Park,
    Place,
    Policy,
    Raise,
    Retry,
    Stop,
    climb_past,
    decide,
    depth_at,
    is_better_than_none,
    step_past,
)
from worker.events import AttemptClosed, JobEnded, JobLost, KeyPaused, Tell, WorstCasePassed
from worker.fit import misfit
from worker.judge import judged
from worker.raising import raised_for, raising, request_of
from worker.receipt import receipt
from worker.reply import Broken, Received, Reply
from worker.step import Step, ending_of, said_of

_SERVER_ERROR = 500
_INTO_THE_DAY_S = 1.0  # a job that waited for tomorrow comes back when it has surely begun
PAUSED = "key_paused"  # the outcome of a job that was parked without a call
STOPPED = "worker_stopped"  # the outcome of a job that was put back without a call, to be taken up at once


class Provider(Protocol):
    """Sends one request, once, and says what came back by the deadline."""

    def call(self, model: str, params: Mapping[str, Any], *, attempt_id: str, job_id: str) -> Received | Broken:
        """Ask the model; never raises for anything the network or the provider does."""
        ...


class Ledger(Protocol):
    """Writes attempts down before and after their request."""

    def open_attempt(self, claim: Claim, opening: Opening) -> bool | OverCap:
        """Commit the attempt and what it may cost; False: the job is no longer ours; or it does not fit under a cap."""
        ...

    def close_attempt(self, claim: Claim, closing: Closing) -> None:
        """Write how it ended, while the job goes on."""
        ...

    def finish(self, claim: Claim, ending: Ending, closing: Closing | None) -> bool:
        """Write how it ended and where that leaves the job, in one commit; False: the job was no longer ours."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """All a walk works with, built once at the entry point. `now` is UTC; `draw` gives numbers from 0 to 1."""

    chain: Chain
    provider: Provider
    ledger: Ledger
    prices: Prices
    caps: Caps
    worst_case_usd: WorstCase
    key_pause: KeyPause
    tell: Tell
    now: Callable[[], datetime]
    draw: Callable[[], float]
    window_of: Callable[[str], int | None]
    climbs: frozenset[Outcome]
    patience_s: float
    key_pause_s: float
    is_stopping: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What a walk came to: its ending, None where the job was no longer ours; and the attempts it made."""

    ending: Ending | None
    attempts: tuple[Closing, ...]


def walk(claim: Claim, desk: Desk, *, time_left_s: float) -> Walked:
    """Take a claimed job to its end or to a parking place."""
    attempts: list[Closing] = []
    policy = _policy(claim, desk, time_left_s)
    place, reason, number = _first_place(claim, policy), _first_reason(claim), claim.attempt_count
    last: Step | None = None  # the last attempt
    kept: Step | None = None  # the last one with a truncated answer: paid for, and better than none
    while True:
        step = _pass_over(claim, place, policy, desk, last)
        step = step or _bought(claim, place, reason, number + 1, policy, desk, last)
        if step is None:
            desk.tell(JobLost(job_id=claim.job_id))
            return Walked(ending=None, attempts=tuple(attempts))
        if step.closing is not None:
            number += 1
            attempts.append(step.closing)
            last, kept = step, step if is_better_than_none(step.end) else kept
        match step.decision:
            case Retry():
                place, reason = _retried(place), Reason.RETRY
            case Raise(max_tokens=max_tokens):
                claim, reason = replace(claim, raised_max_tokens=max_tokens), Reason.RAISE
            case Fallback(rung=rung, reason=why, given_up=given_up):
                place, reason = Place(rung=rung, given_up=given_up, rounds=place.rounds), why
            case Answered() | Park() | Stop():
                return Walked(ending=_finish(claim, step, kept, desk), attempts=tuple(attempts))
            case _:
                assert_never(step.decision)
        if step.closing is not None:
            desk.ledger.close_attempt(claim, step.closing)


def _policy(claim: Claim, desk: Desk, time_left_s: float) -> Policy:
    return Policy(
        chain=desk.chain,
        span=claim.span.clamped(len(desk.chain.models)),
        climbs=desk.climbs if claim.climb_on is None else claim.climb_on,
        patience_s=desk.patience_s if claim.patience_s is None else claim.patience_s,
        key_pause_s=desk.key_pause_s,
        time_left_s=time_left_s,
        draw=desk.draw,
        window_of=desk.window_of,
        until_tomorrow_s=claim.day_left_s + _INTO_THE_DAY_S if desk.caps.waits else None,
    )


def _first_place(claim: Claim, policy: Policy) -> Place:
    # A job that comes back resumes at the rung it had reached.
    rung = min(claim.rung, len(policy.chain.models) - 1)
    given_up = {
        left: why for left, why in claim.given_up.items() if why not in PASSING or (left == rung and why == WAITED)
    }
    return Place(rung=rung, given_up=given_up, rounds=claim.rounds)


def _first_reason(claim: Claim) -> Reason:
    if claim.is_rebuy:
        return Reason.REBUY
    return Reason.RESUME if claim.attempt_count or claim.rounds else Reason.START


def _retried(place: Place) -> Place:
    return Place(rung=place.rung, given_up=place.given_up, rounds=place.rounds, retries=place.retries + 1)


def _pass_over(claim: Claim, place: Place, policy: Policy, desk: Desk, last: Step | None) -> Step | None:
    """Decide without a request where none can help: the key is paused, or the request does not fit this model."""
    if desk.is_stopping() and policy.time_left_s:
        at_once = Park(after_s=0, rung=place.rung, given_up=place.given_up, rounds=place.rounds)
        return _passed(place, at_once, STOPPED, "unreachable: its worker was stopped")
    wait_s = desk.key_pause.remaining_s()
    if wait_s > 0:
        parked = Park(after_s=wait_s, rung=place.rung, given_up=place.given_up, rounds=place.rounds)
        decision: Decision = parked if wait_s < policy.time_left_s else Stop(because=NO_TIME)
        return _passed(place, decision, PAUSED, "unauthorized: calling is paused for this key")
    model = policy.chain.models[place.rung]
    why = misfit(request_of(claim, model), model, window=desk.window_of(model))
    return None if why is None else _skip(place, UNFIT, f"bad_request: no request was made: {why}", policy, last)


def _skip(place: Place, why: str, said: str, policy: Policy, last: Step | None) -> Step:
    """Leave a rung without a request: on the way up for a better answer, for a still better model or for nothing."""
    is_climb = last is not None and last.end is not None and last.end.outcome in CLIMBING
    decision = climb_past(place, why, policy) if is_climb else step_past(place, why, policy)
    if last is not None and (why == UNFIT or (is_climb and isinstance(decision, Stop))):
        # Should the job end here, what a model said tells more than what we know of this one.
        return Step(place=place, decision=decision, end=last.end, closing=None)
    is_as_said = why == UNFIT or (why == RESERVED and isinstance(decision, Park))
    return _passed(place, decision, why if is_as_said else OVER_BUDGET, said)


def _passed(place: Place, decision: Decision, why: str, said: str) -> Step:
    return Step(place=place, decision=decision, end=None, closing=None, passed_over=why, said=said)


def _bought(
    claim: Claim, place: Place, reason: Reason, number: int, policy: Policy, desk: Desk, last: Step | None
) -> Step | None:
    """Make the attempt, if its worst case fits under every cap; None: the job is no longer ours."""
    opening = _opening(claim, place, reason, number, policy, desk)
    if opening.caps and opening.worst_case_usd is None:
        said = f"over budget: nothing bounds what {opening.model} may cost (it has no price, or a tool no max_uses)"
        return _skip(place, OVER_BUDGET, said, policy, last)
    match desk.ledger.open_attempt(claim, opening):
        case OverCap() as over:
            why = RESERVED if over.may_fit_later else OVER_TODAY if over.may_fit_tomorrow else OVER_BUDGET
            return _skip(place, why, worded(over), policy, last)
        case False:
            return None
        case _:
            return _attempt(claim, opening, place, policy, desk)


def _opening(claim: Claim, place: Place, reason: Reason, number: int, policy: Policy, desk: Desk) -> Opening:
    model = policy.chain.models[place.rung]
    return Opening(
        id=new_id(),
        number=number,
        rung=place.rung,
        fallback_depth=depth_at(place, policy.span),
        reason=reason,
        model=model,
        worst_case_usd=desk.worst_case_usd(model, request_of(claim, model)),
        caps=desk.caps.over(claim),
        max_tokens=raised_for(claim, model),
    )


def _attempt(claim: Claim, opening: Opening, place: Place, policy: Policy, desk: Desk) -> Step:
    began_at = desk.now()  # over midnight, its day is the one it was opened on, as in every sum over days
    request = request_of(claim, opening.model)
    received = desk.provider.call(opening.model, request, attempt_id=opening.id, job_id=claim.job_id)
    end = judged(classify(received), claim.expects)
    closing = receipt(opening.id, end, desk.prices, at=began_at)
    desk.tell(AttemptClosed(claim=claim, opening=opening, closing=closing))
    worst = opening.worst_case_usd
    if closing.cost_usd is not None and worst is not None and closing.cost_usd > worst:
        desk.tell(WorstCasePassed(opening=opening, closing=closing))
    decision = raising(end, claim, opening.model, policy.climbs) or decide(end, place, policy)
    if end.outcome in ABOUT_THE_KEY:
        desk.key_pause.pause(desk.key_pause_s)
        desk.tell(KeyPaused(outcome=end.outcome, said=said_of(end), for_s=desk.key_pause_s))
    elif isinstance(end, Reply) or (end.http_status or _SERVER_ERROR) < _SERVER_ERROR:
        desk.key_pause.resume()  # whatever it said, it knew the key; a gateway's error says nothing of that
    return Step(place=place, decision=decision, end=end, closing=closing, depth=opening.fallback_depth)


def _finish(claim: Claim, step: Step, kept: Step | None, desk: Desk) -> Ending | None:
    if kept is not None and not isinstance(step.decision, Answered):
        if step.closing is not None:
            desk.ledger.close_attempt(claim, step.closing)
        step = replace(kept, decision=Answered())  # its attempt is closed already, and stays as it is
    ending = replace(ending_of(step), raised_max_tokens=claim.raised_max_tokens)
    if not desk.ledger.finish(claim, ending, step.closing):
        desk.tell(JobLost(job_id=claim.job_id))
        return None
    desk.tell(JobEnded(claim=claim, ending=ending))
    return ending
