"""A request before admission control: a short wait in hand, or the decision that follows a denial."""

from collections.abc import Callable
from dataclasses import replace

from models.job.values import Claim
from models.outcome import Reason
from worker.admission.admission import CIRCUIT_OPEN, FULL, PAUSED, RETRIES_SPENT, Admission, Denied, Granted, Request
from worker.admission.cache_warmup import CachedPrefix
from worker.admission.forecast import is_dearer
from worker.fallback.collaborators import Collaborators
from worker.fallback.decide import park, queue_for, step_past, step_past_limit, wait_for
from worker.fallback.decision import ChainPosition, Decision, Fallback, Park, Policy
from worker.fallback.result import RungResult

IN_HAND_S = 1.0  # so short a wait is not worth two transactions
KEY_PAUSED = "key_paused"  # the outcome of a job that was parked since nobody may call


DEARER = "dearer"  # why it waits
_MOST_S = 60.0


def acquire(need: Request, admission: Admission, sleep: Callable[[float], None]) -> tuple[Granted | Denied, float]:
    """Ask until the request may leave, for a second at most; returns the answer, and how long it was held in hand."""
    held_s, asked = 0.0, need
    most_s = IN_HAND_S if need.queue_s is None else min(IN_HAND_S, need.queue_s)
    while True:
        answer = admission.acquire(asked)
        match answer:
            case Granted(after_s=after_s):
                if after_s:
                    sleep(after_s)
                return answer, held_s + after_s
            case Denied(reason=reason, wait_s=wait_s) if reason == FULL and held_s + wait_s <= most_s:
                sleep(wait_s)
                held_s += wait_s
                left_s = need.patience_s - held_s if need.has_waited else need.patience_s
                asked = replace(need, has_waited=True, patience_s=left_s)
            case _:
                return answer, held_s


def decide_when_denied(later: Denied, place: ChainPosition, policy: Policy, *, failed_as: str) -> Decision:
    """Choose what comes instead of a call that may not be made now: wait, step down or park, by time and patience.

    `failed_as` is how the attempt before it ended, for a retry that the fleet has no room for.
    """
    match later.reason:
        case reason if reason == PAUSED:
            return park(policy, place, after_s=later.wait_s)
        case reason if reason == RETRIES_SPENT:
            return step_past(place, failed_as, policy)
        case reason if reason == CIRCUIT_OPEN:
            return step_past(place, CIRCUIT_OPEN, policy, wait_s=later.wait_s)
        case reason:
            waiting = (queue_for if reason == FULL else wait_for)(place, policy, wait_s=later.wait_s)
            return waiting or step_past_limit(place, reason, policy, wait_s=later.wait_s)


def denied_message(later: Denied, model: str) -> str:
    """Say why a model was not asked."""
    if later.reason == PAUSED:
        return "key_paused: nobody calls with this key or address until a probe is answered; stepdown doctor says why"
    details = ", ".join(f"{name} {value}" for name, value in later.details.items())
    more = f" ({details})" if details else ""
    return f"{later.reason}: no request was made: {model} may be asked in {later.wait_s:.1f} s{more}"


def prefer_warm(
    step: RungResult,
    wait_s: float | None,
    claim: Claim,
    spot: CachedPrefix | None,
    policy: Policy,
    worker: Collaborators,
) -> RungResult:
    """Have the job wait here instead, where the rung it would step down to is dearer."""
    stays = _staying(step.decision, wait_s, claim, spot, step.place, policy, worker)
    if stays is None or not isinstance(step.decision, Fallback):
        return step
    instead_of = policy.chain.models[step.decision.rung]
    reason = step.reason or step.skip_reason or str(step.end and step.end.outcome)
    details = {**step.details, "held_by": reason, "instead_of": instead_of}
    return replace(step, decision=stays, reason=DEARER, details=details)


def _staying(
    decision: Decision,
    wait_s: float | None,
    claim: Claim,
    spot: CachedPrefix | None,
    place: ChainPosition,
    policy: Policy,
    worker: Collaborators,
) -> Park | None:
    """Wait for this rung, once a round and a minute at most, where the next one is dearer; None where it is not.

    A job that is urgent, or says itself how long it waits for a model, is left to that. The claim's parameters are
    those that were sent.
    """
    if spot is None or worker.warming is None or wait_s is None or wait_s > _MOST_S:
        return None
    if claim.is_urgent or claim.patience_s is not None:
        return None
    if not isinstance(decision, Fallback) or decision.reason is not Reason.FALLBACK:
        return None
    cold = worker.capabilities_of(policy.chain.models[decision.rung])
    warmth = worker.warming.warmth
    if not warmth.is_warm(spot, in_s=wait_s) or warmth.is_warm(replace(spot, model=cold.model)):
        return None
    stays = worker.expected.tokens(spot.model, claim.params, is_warm=True)
    moves = worker.expected.tokens(cold.model, claim.params, is_warm=True)
    if not is_dearer(stays, moves, warm=spot.model, cold=cold, prices=worker.prices, at=worker.now()):
        return None
    return wait_for(place, replace(policy, patience_s=_MOST_S), wait_s=wait_s)
