"""Waiting for a model that has the beginning of a prompt in its cache, where asking the next one would cost more."""

from dataclasses import replace

from models.life import Claim
from models.outcome import Reason
from worker.decide import wait_for
from worker.decision import Decision, Fallback, Park, Place, Policy
from worker.desk import Desk
from worker.needs import is_dearer
from worker.step import Step
from worker.warmth import Spot

DEARER = "dearer"  # why it waits
_MOST_S = 60.0


def or_staying(step: Step, wait_s: float | None, claim: Claim, spot: Spot | None, policy: Policy, desk: Desk) -> Step:
    """Have the job wait here instead, where the rung it would step down to is dearer."""
    stays = _staying(step.decision, wait_s, claim, spot, step.place, policy, desk)
    if stays is None or not isinstance(step.decision, Fallback):
        return step
    instead_of = policy.chain.models[step.decision.rung]
    why = step.why or step.passed_over or str(step.end and step.end.outcome)
    figures = {**step.figures, "held_by": why, "instead_of": instead_of}
    return replace(step, decision=stays, why=DEARER, figures=figures)


def _staying(
    decision: Decision, wait_s: float | None, claim: Claim, spot: Spot | None, place: Place, policy: Policy, desk: Desk
) -> Park | None:
    """Wait for this rung, once a round and a minute at most, where the next one is dearer; None where it is not.

    A job that is urgent, or says itself how long it waits for a model, is left to that. The claim's parameters are
    those that were sent.
    """
    if spot is None or desk.warming is None or wait_s is None or wait_s > _MOST_S:
        return None
    if claim.is_urgent or claim.patience_s is not None:
        return None
    if not isinstance(decision, Fallback) or decision.reason is not Reason.FALLBACK:
        return None
    cold = desk.facts_of(policy.chain.models[decision.rung])
    warmth = desk.warming.warmth
    if not warmth.is_warm(spot, in_s=wait_s) or warmth.is_warm(replace(spot, model=cold.model)):
        return None
    stays = desk.expected.tokens(spot.model, claim.params, is_warm=True)
    moves = desk.expected.tokens(cold.model, claim.params, is_warm=True)
    if not is_dearer(stays, moves, warm=spot.model, cold=cold, prices=desk.prices, at=desk.now()):
        return None
    return wait_for(place, replace(policy, patience_s=_MOST_S), wait_s=wait_s)
