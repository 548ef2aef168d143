"""A batch of one job, as an operation of the ledger writer's group: its caller waits for the answer."""

from functools import cache

from sqlalchemy import Insert, Text, bindparam, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from models.errors import KeyConflictError
from models.job.values import NewBatch, batch_scope
from models.ledger.compiled_sql import Cursor
from models.schema.batch import Batch, batch_row
from models.schema.budget import BudgetRow, budget_row
from models.schema.columns import EscapedJSON, db_now
from models.schema.job import OWN_COLUMNS, Job, JobRow

_NOW = db_now(0.0)
_EARLIER = select(Batch.id, Batch.content_sha256).where(Batch.idempotency_key == bindparam("key"))
_CAP = insert(BudgetRow)


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
    columns = {name: Job.__table__.c[name].type for name in names if name != "deadline_s"}
    given = {
        name: bindparam(name, type_=Text() if isinstance(kind, EscapedJSON) else kind) for name, kind in columns.items()
    }
    return insert(Job).values(created_at=_NOW, deadline_at=db_now(bindparam("deadline_s")), **given)
