"""Taking a job: the one UPDATE that decides its owner, and the values that the worker receives."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, func, literal, or_, select, update

from models.chain.chain import RungRange
from models.job.values import BATCH, Claim
from models.ledger.batch_counts import NO_WRITER
from models.outcome import Outcome, State
from models.schema.attempt import Attempt
from models.schema.batch import Batch, BatchCount
from models.schema.budget import BudgetRow
from models.schema.columns import db_now, midnight
from models.schema.job import Job

_NOW = db_now(0.0)

# Columns that the claim has as they are, and columns that come in another form.
_SAME = (
    *("batch_id", "prompt_id", "task", "params", "rung", "rounds", "is_urgent", "expects", "prefix"),
    *("raised_max_tokens", "tree", "headers"),
)
_CHANGED = (
    *("lease_token", "start_rung", "floor_rung", "ceiling_rung", "given_up", "outcome", "patience_ms", "climb_on"),
    "deadline_at",
)

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
        sent_at=func.coalesce(Job.sent_at, _NOW),
    )
    .returning(
        *(getattr(Job, name) for name in (*_SAME, *_CHANGED)),
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
        select(BatchCount.batch_id)
        .where(BatchCount.batch_id == Job.batch_id, BatchCount.writer == NO_WRITER)
        .correlate(Job)
        .scalar_subquery()
        .label("counted"),
        db_now(0.0).label("claimed_at"),
    )
)


def claim_of(job_id: str, row: Mapping[str, Any]) -> Claim:
    """Return the claim in a row that CLAIM returned."""
    return Claim(
        job_id=job_id,
        **{name: row[name] for name in (*_SAME, "attempt_count")},
        token=row["lease_token"],
        span=RungRange(start=row["start_rung"], floor=row["floor_rung"], ceiling=row["ceiling_rung"]),
        given_up={int(rung): reason for rung, reason in row["given_up"].items()},
        deadline_s=(row["deadline_at"] - row["claimed_at"]).total_seconds(),
        is_rebuy=row["outcome"] == Outcome.UNKNOWN,
        tags=row["tags"] or {},
        has_cap=row["cap"] is not None,
        day_left_s=(midnight(row["claimed_at"]) + timedelta(days=1) - row["claimed_at"]).total_seconds(),
        patience_s=None if row["patience_ms"] is None else row["patience_ms"] / 1000,
        climb_on=None if row["climb_on"] is None else frozenset(map(Outcome, filter(None, row["climb_on"].split(",")))),
    )
