"""The walk of one job down (or up) its chain: one loop over rungs. All I/O comes in through `collaborators`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from models.job.values import Claim, Closing, DecisionRecord, Ending
from models.outcome import Reason, State
from worker.events import JobEnded, JobLost
from worker.fallback.collaborators import Collaborators
from worker.fallback.decide import is_better_than_none
from worker.fallback.decision import DENIED, HAS_WAITED, PASSING, ChainPosition, Policy
from worker.fallback.result import answered, follow, odd_turn_of, whole_ending
from worker.fallback.rung import RungContext, RungResult
from worker.fallback.try_rung import try_rung

_STANDS_BY_S = 60.0  # a caller without a queue waits so long for a place
_INTO_THE_DAY_S = 1.0  # the next day has surely begun when the job comes back


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """The ending of a walk and its attempts. `ending` is None if the job is no longer ours."""

    ending: Ending | None
    attempts: tuple[Closing, ...]


async def walk(claim: Claim, worker: Collaborators, *, time_left_s: float) -> Walked:
    """Take a claimed job to its end or to a parking place."""
    rung = first_rung(claim, worker, time_left_s)
    better, results, decisions = _better_rungs(rung), list[RungResult](), list[DecisionRecord]()
    while True:
        ahead = better.pop(0) if better else rung
        result = await try_rung(ahead)
        if result is None:
            worker.report(JobLost(job_id=claim.job_id))
            return Walked(ending=None, attempts=_closings(results))
        if ahead is not rung and result.closing is None:
            continue  # the better rung is as it was when the job left it
        better = []
        results.append(result)
        record, after = follow(rung if ahead is rung else replace(ahead, policy=rung.policy), result)
        decisions += [] if record is None else [record]
        if isinstance(after, Ending):
            return Walked(ending=await _finish(rung, results, decisions, after), attempts=_closings(results))
        rung = after
        if result.closing is not None:
            await worker.ledger.close_attempt(rung.claim, result.closing)


def _closings(results: Iterable[RungResult]) -> tuple[Closing, ...]:
    return tuple(result.closing for result in results if result.closing is not None)


def first_rung(claim: Claim, worker: Collaborators, time_left_s: float) -> RungContext:
    """Return the rung at which a claimed job begins or goes on."""
    policy = _policy(claim, worker, time_left_s)
    return RungContext(
        claim=claim,
        place=_first_place(claim, policy),
        policy=policy,
        worker=worker,
        reason=_first_reason(claim),
        number=claim.attempt_count + 1,
    )


def _policy(claim: Claim, worker: Collaborators, time_left_s: float) -> Policy:
    return Policy(
        chain=worker.chain,
        span=claim.span.clamped(len(worker.chain.models)),
        climbs=worker.climbs if claim.climb_on is None else claim.climb_on,
        patience_s=worker.patience_s if claim.patience_s is None else claim.patience_s,
        queue_s=_queue_s(claim, worker, time_left_s),
        key_pause_s=worker.key_pause_s,
        on_key_trouble=worker.on_key_trouble,
        time_left_s=time_left_s,
        draw=worker.draw,
        window_of=worker.window_of,
        until_tomorrow_s=claim.day_left_s + _INTO_THE_DAY_S if worker.caps.waits else None,
    )


def _queue_s(claim: Claim, worker: Collaborators, time_left_s: float) -> float:
    # A job waits for our own limit of calls in flight, unless the job or the operator (patience 0) forbids a wait.
    if claim.patience_s is not None:
        return claim.patience_s
    return (time_left_s or _STANDS_BY_S) if worker.patience_s > 0 else 0


def _first_place(claim: Claim, policy: Policy) -> ChainPosition:
    # A job that comes back resumes at the rung of its last decision.
    rung = min(claim.rung, len(policy.chain.models) - 1)
    given_up = {
        left: reason
        for left, reason in claim.given_up.items()
        if reason not in PASSING or (left == rung and reason in HAS_WAITED)
    }
    return ChainPosition(rung=rung, given_up=given_up, rounds=claim.rounds)


def _better_rungs(rung: RungContext) -> list[RungContext]:
    """List the better rungs that denied the job before. A rung that has room now is called, without a wait."""
    place, order = rung.place, rung.policy.span.available(())
    before = order[: order.index(place.rung)] if place.rung in order else ()
    hasty = replace(rung.policy, patience_s=0, queue_s=0)
    denied = [better for better in before if place.given_up.get(better) in DENIED]
    places = (replace(place, rung=better).unmarked() for better in denied)
    return [replace(rung, place=there, policy=hasty) for there in places]


def _first_reason(claim: Claim) -> Reason:
    if claim.is_rebuy:
        return Reason.REBUY
    if claim.is_moved:
        return Reason.LATE
    return Reason.RESUME if claim.attempt_count or claim.rounds else Reason.START


async def _finish(
    rung: RungContext, results: Sequence[RungResult], decisions: Sequence[DecisionRecord], ending: Ending
) -> Ending | None:
    """Write the ending. A doubtful answer is paid for, and stands if no better answer came after.

    Returns None if the job is no longer ours.
    """
    claim, worker, closing = rung.claim, rung.worker, results[-1].closing
    attempts = [result for result in reversed(results) if result.closing is not None]
    kept = next((attempt for attempt in attempts if is_better_than_none(attempt.end)), None)
    if kept is not None and ending.state is not State.SUCCEEDED:
        if closing is not None:
            await worker.ledger.close_attempt(claim, closing)
        decisions = (*decisions[:-1], replace(decisions[-1], decision="stop"))
        ending, closing = answered(kept), kept.closing  # the ledger has this closing already, and changes nothing
    odd = next((turn for attempt in attempts if (turn := odd_turn_of(attempt.end))), None)
    ending = whole_ending(replace(ending, message=ending.message or odd), rung, decisions)
    written = await worker.ledger.finish(claim, ending, closing)
    worker.report(JobLost(job_id=claim.job_id) if written is None else JobEnded(claim=claim, ending=written))
    return written
