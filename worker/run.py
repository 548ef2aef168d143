"""One delivery, from message to parked or finished."""

from dataclasses import dataclass
from typing import Protocol

from models.chain import short_name
from models.life import Claim, Ending
from models.outcome import State
from worker.events import Dropped, JobEnded
from worker.receipt import total_usd
from worker.walk import Desk, Walked, walk

DROPPED = "dropped: finished, or somebody else has it"
EXPIRED = "expired"  # the outcome of a job whose deadline passed before any call


class Claims(Protocol):
    """Gives a job to one worker at a time."""

    def claim(self, job_id: str, *, lease_s: float) -> Claim | None:
        """Take the job, or None where it is somebody else's or finished."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A desk, and where its jobs come from."""

    desk: Desk
    claims: Claims
    lease_s: float


def run(job_id: str, office: Office) -> str:
    """Claim the job, walk its chain, and say in one line what came of it: model, depth, cost."""
    claim = office.claims.claim(job_id, lease_s=office.lease_s)
    if claim is None:
        office.desk.tell(Dropped(job_id=job_id))
        return DROPPED
    if claim.deadline_s <= 0:
        return _expire(claim, office.desk)
    return in_one_line(walk(claim, office.desk, time_left_s=claim.deadline_s))


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
