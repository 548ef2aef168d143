"""One delivery, from message to parked or finished."""

from dataclasses import dataclass
from typing import Protocol

from models.chain.chain import short_name
from models.errors import LedgerError
from models.job.values import Claim, Ending
from models.outcome import State
from worker.events import BatchPaused, Dropped, JobEnded
from worker.failing_batches import Streaks
from worker.fallback.collaborators import Desk
from worker.fallback.walk import Walked, walk
from worker.intake import Gate
from worker.provider.attempt_cost import total_usd
from worker.recovery.failpoints import failpoint
from worker.recovery.lease import Claims, InHand

DROPPED = "dropped: finished, or somebody else has it"
EXPIRED = "expired"  # the outcome of a job whose deadline passed before any call


class Unsends(Protocol):
    """Knows which jobs need a message."""

    def unsend(self, job_id: str) -> None:
        """Note that a job's message was not heeded."""
        ...


class Pauses(Protocol):
    """Holds back what a batch has not begun."""

    def pause(self, batch_id: str, *, because: str) -> int:
        """Hold those jobs; returns how many."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A desk, and what is around it: where jobs come from, and what keeps them ours."""

    desk: Desk
    claims: Claims
    outbox: Unsends
    orders: Pauses
    in_hand: InHand
    gate: Gate
    streaks: Streaks


def run(job_id: str, office: Office) -> str:
    """Claim the job, walk its chain, and say in one line what came of it: model, depth, cost.

    A ledger that is away costs nothing but time: an unclaimed job is sent again by a clock, a reply is on disk,
    and a job in the middle is rescued once its lease is over.
    """
    try:
        if closed := office.gate.why_closed():
            office.outbox.unsend(job_id)
            return f"left for another time: {closed}"
        claim = office.claims.claim(job_id, lease_s=office.in_hand.lease_s)
        if claim is None:
            office.desk.tell(Dropped(job_id=job_id))
            return DROPPED
        failpoint("after_claim")
        with office.in_hand.holding(claim):
            return _claimed(claim, office)
    except LedgerError as error:
        office.gate.shut(f"the ledger is away: {error}")  # until the pulse reaches it again
        return f"the ledger is away: {error}"


def _claimed(claim: Claim, office: Office) -> str:
    if claim.deadline_s <= 0:
        return _expire(claim, office.desk)
    walked = walk(claim, office.desk, time_left_s=claim.deadline_s)
    if walked.ending is not None and (because := office.streaks.note(claim.batch_id, walked.ending)):
        batch_id = str(claim.batch_id)
        count = office.orders.pause(batch_id, because=because)
        office.desk.tell(BatchPaused(batch_id=batch_id, because=because, count=count))
    return in_one_line(walked)


def in_one_line(walked: Walked) -> str:
    """Say what Flower shows of a task, such as `sonnet-4-6 d1 $0.0031`."""
    ending, cost = walked.ending, total_usd(walked.attempts)
    if ending is None:
        return "lost: finished or cancelled meanwhile"
    spent = "unknown cost" if cost is None else f"${cost:.4f}"
    if ending.state is State.SUCCEEDED:
        return f"{short_name(ending.model_used or '')} d{ending.fallback_depth} {spent}"
    if ending.due_in_s is not None:
        return f"waiting {ending.due_in_s:.0f} s: {ending.outcome}"
    return f"failed: {ending.outcome} {spent}"


def _expire(claim: Claim, desk: Desk) -> str:
    ending = Ending(
        state=State.FAILED,
        outcome=EXPIRED,
        error="its deadline passed before it could be called",
        rung=claim.rung,
        given_up=claim.given_up,
        rounds=claim.rounds,
    )
    desk.ledger.finish(claim, ending, None)
    desk.tell(JobEnded(claim=claim, ending=ending))
    return f"failed: {EXPIRED}"
