"""Taking a job: the one UPDATE that decides its owner, and the values that the worker receives."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, func, literal, or_, select, update

from models.chain.chain import RungRange
from models.job.values import BATCH, Claim
from models.outcome import Outcome, State
from models.schema.attempt import Attempt
from models.schema.batch import Batch
from models.schema.budget import BudgetRow
from models.schema.columns import db_now, midnight_after
from models.schema.job import Job

_NOW = db_now(0.0)

CLAIM = (
    update(Job)
    .where(
        Job.id == bindparam("job_id"),
        or_(Job.state == State.QUEUED, (Job.state == State.WAITING) & (Job.due_at <= _NOW)),
    )
    .values(
        state=State.RUNNING,
        lease_token=Job.lease_token + 1,
        lease_until=db_now(bindparam("lease_s")),
        lease_holder=bindparam("holder"),
        deliveries=Job.deliveries + 1,
        due_at=None,
    )
    .returning(
        Job.batch_id,
        Job.prompt_id,
        Job.task,
        Job.lease_token,
        Job.params,
        Job.start_rung,
        Job.floor_rung,
        Job.ceiling_rung,
        Job.rung,
        Job.given_up,
        Job.rounds,
        Job.outcome,
        Job.is_urgent,
        Job.patience_ms,
        Job.climb_on,
        Job.expects,
        Job.prefix,
        Job.raised_max_tokens,
        Job.tree,
        Job.headers,
        # Counted, not kept: after a worker died between two attempts, a kept number could be taken already.
        select(func.count())
        .where(Attempt.job_id == bindparam("job_id"))  # in here SQLite would take jobs.id for attempts.id
        .scalar_subquery()
        .label("attempt_count"),
        select(Batch.tags).where(Batch.id == Job.batch_id).correlate(Job).scalar_subquery().label("tags"),
        select(BudgetRow.scope)
        .where(BudgetRow.scope == literal(BATCH).concat(Job.batch_id), BudgetRow.day == literal(""))
        .correlate(Job)
        .scalar_subquery()
        .label("cap"),
        Job.deadline_at,
        db_now(0.0).label("claimed_at"),
    )
)


def claim_of(job_id: str, row: Mapping[str, Any]) -> Claim:
    """Return the claim in a row that CLAIM returned."""
    return Claim(
        job_id=job_id,
        batch_id=row["batch_id"],
        prompt_id=row["prompt_id"],
        task=row["task"],
        token=row["lease_token"],
        params=row["params"],
        span=RungRange(start=row["start_rung"], floor=row["floor_rung"], ceiling=row["ceiling_rung"]),
        rung=row["rung"],
        given_up={int(rung): reason for rung, reason in row["given_up"].items()},
        rounds=row["rounds"],
        attempt_count=row["attempt_count"],
        deadline_s=(row["deadline_at"] - row["claimed_at"]).total_seconds(),
        is_rebuy=row["outcome"] == Outcome.UNKNOWN,
        tags=row["tags"] or {},
        has_cap=row["cap"] is not None,
        day_left_s=(midnight_after(row["claimed_at"]) - row["claimed_at"]).total_seconds(),
        is_urgent=row["is_urgent"],
        patience_s=None if row["patience_ms"] is None else row["patience_ms"] / 1000,
        climb_on=None if row["climb_on"] is None else frozenset(map(Outcome, filter(None, row["climb_on"].split(",")))),
        expects=row["expects"],
        prefix=row["prefix"],
        raised_max_tokens=row["raised_max_tokens"],
        tree=row["tree"],
        headers=row["headers"],
    )
