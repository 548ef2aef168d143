"""One job down (or up) its chain: one loop over rungs. What it needs comes in as Protocols; nothing here does I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol, assert_never

from models.chain import Chain
from models.ids import new_id
from models.life import Claim, Closing, Ending, Opening
from models.outcome import Outcome, Reason, State
from models.pricing import Prices
from worker.classify import classify
from worker.cooldown import KeyPause
from worker.decide import (
    ABOUT_THE_KEY,
    NO_TIME,
    UNFIT,
    WAITED,
    Answered,
    Decision,
    Fallback,
    Park,
    Place,
    Policy,
    Retry,
    Stop,
    decide,
    depth_at,
    step_past,
)
from worker.events import AttemptClosed, JobEnded, JobLost, KeyPaused, Tell
from worker.fit import misfit
from worker.receipt import receipt
from worker.reply import Broken, Failure, Received, Reply

_SERVER_ERROR = 500
PAUSED = "key_paused"  # the outcome of a job that was parked without a call
STOPPED = "worker_stopped"  # the outcome of a job that was put back without a call, to be taken up at once


class Provider(Protocol):
    """Sends one request, once, and says what came back by the deadline."""

    def call(self, model: str, params: Mapping[str, Any], *, attempt_id: str, job_id: str) -> Received | Broken:
        """Ask the model; never raises for anything the network or the provider does."""
        ...


class Ledger(Protocol):
    """Writes attempts down before and after their request."""

    def open_attempt(self, claim: Claim, opening: Opening) -> bool:
        """Commit the attempt; False: the job is no longer ours."""
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
class Step:
    """One turn of the loop: where we are, how the last attempt ended, and what was decided.

    Without an attempt there is no closing, and `passed_over` tells why.
    """

    place: Place
    decision: Decision
    end: Reply | Failure
    closing: Closing | None
    depth: int = 0
    passed_over: str = ""


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
        if step is None:
            number += 1
            opening = _opening(place, reason, number, policy)
            if not desk.ledger.open_attempt(claim, opening):
                desk.tell(JobLost(job_id=claim.job_id))
                return Walked(ending=None, attempts=tuple(attempts))
            step = _attempt(claim, opening, place, policy, desk)
        if step.closing is not None:
            attempts.append(step.closing)
            last, kept = step, step if step.end.outcome is Outcome.TRUNCATED else kept
        match step.decision:
            case Retry():
                place, reason = _retried(place), Reason.RETRY
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
        climbs=desk.climbs,
        patience_s=desk.patience_s,
        key_pause_s=desk.key_pause_s,
        time_left_s=time_left_s,
        draw=desk.draw,
        window_of=desk.window_of,
    )


def _first_place(claim: Claim, policy: Policy) -> Place:
    # A job that comes back resumes at the rung it had reached.
    rung = min(claim.rung, len(policy.chain.models) - 1)
    given_up = {left: why for left, why in claim.given_up.items() if left == rung or why != WAITED}
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
        end = Failure(outcome=Outcome.UNREACHABLE, said="its worker was stopped", latency_ms=0)
        at_once = Park(after_s=0, rung=place.rung, given_up=place.given_up, rounds=place.rounds)
        return Step(place=place, decision=at_once, end=end, closing=None, passed_over=STOPPED)
    wait_s = desk.key_pause.remaining_s()
    if wait_s > 0:
        end = Failure(outcome=Outcome.UNAUTHORIZED, said="calling is paused for this key", latency_ms=0)
        parked = Park(after_s=wait_s, rung=place.rung, given_up=place.given_up, rounds=place.rounds)
        decision: Decision = parked if wait_s < policy.time_left_s else Stop(because=NO_TIME)
        return Step(place=place, decision=decision, end=end, closing=None, passed_over=PAUSED)
    model = desk.chain.models[place.rung]
    why = misfit(claim.params, model, window=desk.window_of(model))
    if why is None:
        return None
    decision = step_past(place, UNFIT, policy)
    if last is not None:  # should the job end here, what a model said tells more than what we know of this one
        return Step(place=place, decision=decision, end=last.end, closing=None)
    end = Failure(outcome=Outcome.BAD_REQUEST, said=f"no request was made: {why}", latency_ms=0)
    return Step(place=place, decision=decision, end=end, closing=None, passed_over=UNFIT)


def _opening(place: Place, reason: Reason, number: int, policy: Policy) -> Opening:
    return Opening(
        id=new_id(),
        number=number,
        rung=place.rung,
        fallback_depth=depth_at(place, policy.span),
        reason=reason,
        model=policy.chain.models[place.rung],
    )


def _attempt(claim: Claim, opening: Opening, place: Place, policy: Policy, desk: Desk) -> Step:
    began_at = desk.now()  # over midnight, its day is the one it was opened on, as in every sum over days
    received = desk.provider.call(opening.model, claim.params, attempt_id=opening.id, job_id=claim.job_id)
    end = classify(received)
    closing = receipt(opening.id, end, desk.prices, at=began_at)
    desk.tell(AttemptClosed(claim=claim, opening=opening, closing=closing))
    decision = decide(end, place, policy)
    if end.outcome in ABOUT_THE_KEY:
        desk.key_pause.pause(desk.key_pause_s)
        desk.tell(KeyPaused(outcome=end.outcome, said=_said(end), for_s=desk.key_pause_s))
    elif isinstance(end, Reply) or (end.http_status or _SERVER_ERROR) < _SERVER_ERROR:
        desk.key_pause.resume()  # whatever it said, it knew the key; a gateway's error says nothing of that
    return Step(place=place, decision=decision, end=end, closing=closing, depth=opening.fallback_depth)


def _finish(claim: Claim, step: Step, kept: Step | None, desk: Desk) -> Ending | None:
    if kept is not None and not isinstance(step.decision, Answered):
        if step.closing is not None:
            desk.ledger.close_attempt(claim, step.closing)
        step = replace(kept, decision=Answered())  # its attempt is closed already, and stays as it is
    ending = _ending(step)
    if not desk.ledger.finish(claim, ending, step.closing):
        desk.tell(JobLost(job_id=claim.job_id))
        return None
    desk.tell(JobEnded(claim=claim, ending=ending))
    return ending


def _ending(step: Step) -> Ending:
    place, end = step.place, step.end
    match step.decision:
        case Answered():
            return _answered(step)
        case Park(after_s=after_s, rung=rung, given_up=given_up, rounds=rounds):
            return Ending(
                state=State.WAITING,
                outcome=step.passed_over or end.outcome,
                error=_said(end),
                rung=rung,
                given_up=given_up,
                rounds=rounds,
                due_in_s=after_s,
            )
        case decision:
            return Ending(
                state=State.FAILED,
                outcome=step.passed_over or end.outcome,
                error=f"{_said(end)}{decision.because if isinstance(decision, Stop) else ''}",
                rung=place.rung,
                given_up=_left_behind(place),
                rounds=place.rounds,
            )


def _answered(step: Step) -> Ending:
    reply = step.end
    if not isinstance(reply, Reply):
        message = f"only a reply can be kept, not {reply.outcome}"
        raise TypeError(message)
    return Ending(
        state=State.SUCCEEDED,
        outcome=reply.outcome,
        error=None,
        rung=step.place.rung,
        given_up=_left_behind(step.place),
        rounds=step.place.rounds,
        message=reply.message,
        is_truncated=reply.outcome is Outcome.TRUNCATED,
        model_used=reply.served_model,
        fallback_depth=step.depth,
    )


def _left_behind(place: Place) -> dict[int, str]:
    return {rung: why for rung, why in place.given_up.items() if rung != place.rung}


def _said(end: Reply | Failure) -> str:
    return f"{end.outcome}: {end.said}" if isinstance(end, Failure) else f"{end.outcome}: {end.stop_reason}"
