"""One delivery, from message to parked or finished."""

from dataclasses import dataclass

from models.chain.chain import short_name
from models.errors import LedgerError
from models.job.values import Claim, Ending
from models.outcome import HALF_PRICE, State
from models.settings import Settings
from models.store import Store
from worker.endpoints.by_endpoint import ByEndpoint
from worker.events import BatchPaused, DeliveryDropped, JobEnded, JobLost
from worker.failing_batches import FailingBatches
from worker.fallback.collaborators import Collaborators
from worker.fallback.wait_or_step import takes_lane_again
from worker.fallback.walk import Walked, walk
from worker.intake import Intake
from worker.loop import LoopThread
from worker.provider.attempt_cost import total_usd
from worker.recovery.failpoints import failpoint
from worker.recovery.heartbeat import Heartbeat

DROPPED = "dropped: finished, or somebody else has it"
EXPIRED = "expired"  # the outcome of a job whose deadline passed before a call


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker(Collaborators):
    """The collaborators of one process: those of a walk, and those around the walk. `composition` builds one."""

    provider: ByEndpoint
    settings: Settings
    store: Store
    loop: LoopThread
    heartbeat: Heartbeat
    intake: Intake
    failing_batches: FailingBatches


async def run(job_id: str, worker: Worker) -> str:
    """Claim the job, walk the chain, and return the result in one line: model, depth, cost.

    A ledger that is away costs only time. The dispatcher sends an unclaimed job again, the spool keeps a reply, and
    the rescuer takes a job in the middle after the lease.
    """
    try:
        if closed := worker.intake.closed_reason():
            await worker.in_thread(worker.store.outbox.unsend, job_id)
            return f"left for another time: {closed}"
        claim = await worker.ledger.claim(job_id, lease_s=worker.heartbeat.lease_s)
        if claim is None:
            worker.report(DeliveryDropped(job_id=job_id))
            return DROPPED
        failpoint("after_claim")
        with worker.heartbeat.holding(claim):
            return await _claimed(claim, worker)
    except LedgerError as error:
        worker.intake.shut(f"the ledger is away: {error}")  # until the liveness check reaches the ledger
        return f"the ledger is away: {error}"


async def _claimed(claim: Claim, worker: Worker) -> str:
    if claim.deadline_s <= 0:
        return await _expire(claim, worker)
    live_from_s = worker.settings.live_from_s(claim.deadline_s)
    if takes_lane_again(claim) and live_from_s > 0:
        return await _to_lane(claim, worker, live_from_s)
    walked = await walk(claim, worker, time_left_s=claim.deadline_s)
    if walked.ending is not None and (because := worker.failing_batches.note(claim.batch_id, walked.ending)):
        batch_id = str(claim.batch_id)
        count = await worker.in_thread(worker.store.job_actions.pause, batch_id, because=because)
        worker.report(BatchPaused(batch_id=batch_id, because=because, count=count))
    return in_one_line(walked)


def in_one_line(walked: Walked) -> str:
    """Return the line of a task in Flower, such as `sonnet-4-6 d1 $0.0031`."""
    ending, cost = walked.ending, total_usd(walked.attempts)
    if ending is None:
        return "lost: finished or cancelled meanwhile"
    spent = "unknown cost" if cost is None else f"${cost:.4f}"
    if ending.state is State.SUCCEEDED:
        return f"{short_name(ending.model_used or '')} d{ending.fallback_depth} {spent}"
    if ending.due_in_s is not None:
        return f"waiting {ending.due_in_s:.0f} s: {ending.outcome}"
    return f"failed: {ending.outcome} {spent}"


async def _to_lane(claim: Claim, worker: Collaborators, live_from_s: float) -> str:
    """Let a job that has waited for room under a cap wait for a message batch again."""
    ending = Ending(
        state=State.WAITING,
        outcome=HALF_PRICE,
        error=None,
        rung=claim.rung,
        given_up={rung: reason for rung, reason in claim.given_up.items() if rung != claim.rung},
        rounds=claim.rounds,
        due_in_s=live_from_s,
    )
    await worker.ledger.finish(claim, ending, None)
    worker.report(JobEnded(claim=claim, ending=ending))
    return f"waiting {live_from_s:.0f} s: {HALF_PRICE}"


async def _expire(claim: Claim, worker: Collaborators) -> str:
    ending = Ending(
        state=State.FAILED,
        outcome=EXPIRED,
        error="its deadline passed before it could be called",
        rung=claim.rung,
        given_up=claim.given_up,
        rounds=claim.rounds,
    )
    written = await worker.ledger.finish(claim, ending, None)
    worker.report(JobLost(job_id=claim.job_id) if written is None else JobEnded(claim=claim, ending=written))
    return in_one_line(Walked(ending=written, attempts=()))
