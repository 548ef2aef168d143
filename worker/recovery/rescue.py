"""The state of a job whose worker was lost: queued again, held for a person, bought again once, or failed."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from models.chain.fallback_rules import CLIMBING
from models.job.strays import Past, Rescue, Stray
from models.money.worst_case import WorstCase
from models.outcome import OnUnknown, Outcome, State
from worker.fallback.decide import depth_at, is_lasting
from worker.fallback.decision import ChainPosition

POISON = "poison"  # the outcome of a job with which one worker after another was lost
ABANDONED = "abandoned"  # the outcome of a call without a queue whose caller is gone
UNSEEN = "unseen"  # given up by the lost worker, without a recorded reason
_MOST_CRASHES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RescuePolicy:
    """The operator's choice: a job whose call may cost more than `hold_above_usd` is held, any other bought again."""

    hold_above_usd: Decimal
    worst_case_usd: WorstCase


def rescue_of(stray: Stray, policy: RescuePolicy) -> Rescue:
    """Decide the state of a lost worker's job.

    The last call may have been billed unseen. The job is held, or bought again once, by its own choice or the price.
    Rungs that earlier attempts gave up for good stay given up.
    """
    crashes = stray.crashes + 1
    open_attempt = stray.attempts[-1] if stray.attempts and stray.attempts[-1].outcome is None else None
    if stray.batch_id is None:
        return _left(stray, State.FAILED, ABANDONED, "its caller is gone", crashes)
    if crashes >= _MOST_CRASHES:
        message = f"{crashes} workers in a row were lost with it"
        return _left(stray, State.FAILED, POISON, message, crashes)
    if open_attempt is None:
        return _going_on(stray, crashes)
    message = f"unknown: its worker was lost during a call to {open_attempt.model}, which may have been billed"
    if _choice(stray, open_attempt, policy) is OnUnknown.HOLD:
        fix = "; stepdown release buys it again, stepdown drop gives it up"
        return _left(stray, State.WAITING, Outcome.UNKNOWN, message + fix, crashes)
    return _left(stray, State.QUEUED, Outcome.UNKNOWN, message, crashes, rebuys=stray.rebuys + 1)


def _choice(stray: Stray, attempt: Past, policy: RescuePolicy) -> OnUnknown:
    if stray.rebuys:
        return OnUnknown.HOLD  # once is a bad day, twice is the job
    if stray.on_unknown is not None:
        return stray.on_unknown
    worst = policy.worst_case_usd(attempt.model, stray.params)
    return OnUnknown.HOLD if worst is None or worst > policy.hold_above_usd else OnUnknown.REBUY


def _going_on(stray: Stray, crashes: int) -> Rescue:
    """Queue the job at its walk's next rung: no call is in flight, and given-up rungs stay so."""
    last = stray.attempts[-1] if stray.attempts else None
    if last is None or last.outcome is None or not is_lasting(last.outcome):
        return _left(stray, State.QUEUED, None, None, crashes)
    given_up = _given_up(stray)
    above = stray.span.above(last.rung, given_up) if last.outcome in CLIMBING else ()
    rungs = (*above, *stray.span.available(given_up))
    if not rungs:
        return _left(stray, State.FAILED, last.outcome, f"{last.outcome}: no other model is left", crashes)
    return _left(stray, State.QUEUED, None, None, crashes, rung=rungs[0])


def _given_up(stray: Stray) -> dict[int, str]:
    lasting = {past.rung: str(past.outcome) for past in stray.attempts if past.outcome and is_lasting(past.outcome)}
    return {**stray.given_up, **lasting}


def _left(
    stray: Stray,
    state: State,
    outcome: str | None,
    error: str | None,
    crashes: int,
    *,
    rebuys: int | None = None,
    rung: int | None = None,
) -> Rescue:
    given_up = _given_up(stray)
    if rung is None:
        rung = stray.attempts[-1].rung if stray.attempts else stray.rung
        given_up = {**_unseen(stray, given_up), **given_up}
    return Rescue(
        state=state,
        outcome=outcome,
        error=error,
        rung=rung,
        given_up={left: reason for left, reason in given_up.items() if left != rung},
        crashes=crashes,
        rebuys=stray.rebuys if rebuys is None else rebuys,
    )


def _unseen(stray: Stray, given_up: Mapping[int, str]) -> dict[int, str]:
    """Return the rungs that the last attempt counted as given up without a record: the fallback depth stays."""
    if not stray.attempts:
        return {}
    last = stray.attempts[-1]
    order = stray.span.available(())
    before = [rung for rung in order[: order.index(last.rung)] if rung not in given_up] if last.rung in order else []
    missing = last.fallback_depth - depth_at(ChainPosition(rung=last.rung, given_up=given_up, rounds=0), stray.span)
    ends = {past.rung: str(past.outcome) for past in stray.attempts if past.outcome is not None}
    return {rung: ends.get(rung, UNSEEN) for rung in before[max(0, len(before) - missing) :]} if missing > 0 else {}
