"""One job's way in: a batch of its own, and the claim, the one UPDATE that decides its owner."""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Insert, Text, bindparam, func, insert, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from models.chain.chain import RungRange
from models.database.compiled_sql import Cursor
from models.errors import KeyConflictError
from models.job.values import BATCH, Claim, NewBatch, batch_scope
from models.ledger.batch_counts import NO_WRITER
from models.outcome import IN_BATCH, MOVED, Outcome, State
from models.schema.attempt import Attempt
from models.schema.batch import Batch, BatchCount, batch_row
from models.schema.budget import BudgetRow, budget_row
from models.schema.columns import EscapedJSON, db_now, midnight
from models.schema.job import OWN_COLUMNS, Job, JobRow

_NOW = db_now(0.0)
_EARLIER = select(Batch.id, Batch.content_sha256).where(Batch.idempotency_key == bindparam("key"))
_CAP = insert(BudgetRow)

# Columns that the claim has as they are, and columns that come in another form.
_SAME = (
    *("batch_id", "prompt_id", "task", "params", "rung", "rounds", "is_urgent", "expects", "prefix"),
    *("raised_max_tokens", "tree", "headers"),
)
_CHANGED = (
    *("lease_token", "start_rung", "floor_rung", "ceiling_rung", "given_up", "outcome", "patience_ms", "climb_on"),
    "deadline_at",
)


def claimed_columns(job_id: ColumnElement[str]) -> list[ColumnElement[Any]]:
    """Return the columns of `claim_of`, for the job of a row.

    RETURNING of SQLite has no table names: a subquery there needs the id as a parameter.
    """
    return [
        *(getattr(Job, name) for name in (*_SAME, *_CHANGED)),
        # Counted, not kept: after a worker died between two attempts, a kept number could be taken already.
        select(func.count()).where(Attempt.job_id == job_id).correlate(Job).scalar_subquery().label("attempt_count"),
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
    ]


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
    .returning(*claimed_columns(bindparam("job_id")))
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
        is_moved=row["outcome"] in {IN_BATCH, MOVED},
        tags=row["tags"] or {},
        has_cap=row["cap"] is not None,
        day_left_s=(midnight(row["claimed_at"]) + timedelta(days=1) - row["claimed_at"]).total_seconds(),
        patience_s=None if row["patience_ms"] is None else row["patience_ms"] / 1000,
        climb_on=None if row["climb_on"] is None else frozenset(map(Outcome, filter(None, row["climb_on"].split(",")))),
    )


def enqueue_one(cursor: Cursor, batch: NewBatch, row: JobRow, *, dialect: str) -> str:
    """Write a batch and its only job, a row of `job_row`. Returns the id of the batch that holds the job.

    That is an earlier batch if its idempotency key and content are the same. Raises KeyConflictError if the key belongs
    to other content.
    """
    if cursor.first(_insert_batch(dialect), batch_row(batch, job_count=1)) is None:
        earlier = cursor.first(_EARLIER, {"key": batch.key}) or {}
        if earlier["content_sha256"] != batch.content_sha256:
            raise KeyConflictError(str(batch.key), earlier["id"])
        return str(earlier["id"])
    if batch.max_cost_usd is not None:
        cursor.count(_CAP, budget_row(batch_scope(batch.id), batch.max_cost_usd))
    own = {name: value for name, value in zip(OWN_COLUMNS, row[:-1], strict=True) if value is not None}
    given = {"deadline_s": batch.deadline_s, "is_urgent": False, **own, **row.shared}
    cursor.count(_insert_job(tuple(given)), given)
    return batch.id


@cache
def _insert_batch(dialect: str) -> Insert:
    known = (postgresql if dialect == "postgresql" else sqlite).insert(Batch).values(created_at=_NOW)
    new: Insert = known.on_conflict_do_nothing(index_elements=["idempotency_key"]).returning(Batch.id)
    return new


@cache
def _insert_job(names: tuple[str, ...]) -> Insert:
    """Return the statement that inserts a row of these columns. JSON is text already."""
    columns = {name: Job.__table__.c[name].type for name in names if name not in {"deadline_s", "due_s"}}
    given = {
        name: bindparam(name, type_=Text() if isinstance(kind, EscapedJSON) else kind) for name, kind in columns.items()
    }
    times = {"deadline_at": "deadline_s", **({"due_at": "due_s"} if "due_s" in names else {})}
    dated = {name: db_now(bindparam(in_s)) for name, in_s in times.items()}
    return insert(Job).values(created_at=_NOW, **dated, **given)
