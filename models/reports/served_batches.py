"""The batches made through `stepdown serve`: their idempotency keys begin with the caller's name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    case,
    exists,
    func,
    or_,
    select,
    type_coerce,
    update,
)

from models.callers import DELETED
from models.database.engine import LedgerPart, reading, transaction
from models.outcome import FINAL_STATES, OPEN_STATES, State
from models.schema.batch import Batch, in_scope
from models.schema.budget import BudgetRow
from models.schema.columns import NanoUSD, db_now, midnight, now
from models.schema.job import IS_HELD, AnswerRow, Job, TurnRow

_DAY_S = 86_400.0
_EXPIRED = "expired"  # the outcome of a job whose deadline passed
_HAS_TURN = and_(Job.state == State.FAILED, exists().where(TurnRow.job_id == Job.id).correlate(Job))
_HAS_ANSWER = or_(exists().where(AnswerRow.job_id == Job.id).correlate(Job), _HAS_TURN)
_IS_ANSWERED = or_(Job.state == State.SUCCEEDED, and_(Job.state.in_([State.FAILED, State.CANCELLED]), _HAS_ANSWER))
_COUNTED = ("expires_at", "succeeded", "errored", "canceled", "expired", "cancelled_at", "purged_at")
_IS_EXPIRED = func.coalesce(Job.outcome, "") == _EXPIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedBatch:
    """The progress of a batch in the provider's words. The counts are of jobs that have ended.

    `ended_at` is None while a job is open, `cancelled_at` if no job was cancelled. `purged_at` is None if prompts
    and answers are still there.
    """

    batch_id: str
    created_at: datetime
    expires_at: datetime
    job_count: int
    succeeded: int
    errored: int
    canceled: int
    expired: int
    ended_at: datetime | None
    cancelled_at: datetime | None
    purged_at: datetime | None


class ServedBatches(LedgerPart):
    """Reads and orders served batches; `scope` is the beginning of their keys. Raises LedgerError."""

    def one(self, batch_id: str, scope: str) -> ServedBatch | None:
        """Read a batch by its whole id. Returns None if no batch of the scope has that id."""
        with reading(self._engine) as connection:
            rows = connection.execute(_ours(scope).where(Batch.id == batch_id)).mappings().all()
            return next(iter(_served(connection, rows)), None)

    def page(
        self, scope: str, *, limit: int, before_id: str | None = None, after_id: str | None = None
    ) -> tuple[list[ServedBatch], bool]:
        """List batches, the newest first: the first page, or the page just before or after a given batch.

        Returns whether there are more on that side, too.
        """
        batches = _ours(scope).limit(limit + 1)
        if before_id is not None:
            batches = batches.where(Batch.id > before_id).order_by(Batch.id)
        else:
            batches = batches.order_by(Batch.id.desc())
        if after_id is not None:
            batches = batches.where(Batch.id < after_id)
        with reading(self._engine) as connection:
            rows = connection.execute(batches).mappings().all()
            shown = sorted(rows[:limit], key=lambda row: str(row["id"]), reverse=True)
            return _served(connection, shown), len(rows) > limit

    def today(self) -> date:
        """Return the UTC day by the database's clock."""
        with reading(self._engine) as connection:
            return now(connection).date()

    def same(self, keys: Sequence[str]) -> str | None:
        """Return the id of the newest batch of the last 24 hours that has one of these keys."""
        new = Batch.created_at > db_now(-_DAY_S)
        ours = select(Batch.id).where(Batch.idempotency_key.in_(keys), new).order_by(Batch.id.desc()).limit(1)
        with reading(self._engine) as connection:
            return connection.scalar(ours)

    def has(self, batch_id: str, scope: str) -> bool:
        """Return whether a batch is in a scope."""
        return bool(self._rows(_ours(scope).where(Batch.id == batch_id)))

    def has_job(self, job_id: str, scope: str) -> bool:
        """Return whether a job belongs to a batch in a scope."""
        batch_id = select(Job.batch_id).where(Job.id == job_id).scalar_subquery()
        return bool(self._rows(_ours(scope).where(Batch.id == batch_id)))

    def jobs(self, scope: str) -> tuple[dict[str, int], dict[str, int]]:
        """Count the open jobs of a scope by state, jobs for a person as `held`. Count this UTC day's ends, too."""
        ours = Job.batch_id.in_(select(Batch.id).where(in_scope(scope)))
        state = case((IS_HELD, "held"), else_=Job.state)
        with reading(self._engine) as connection:
            since = midnight(now(connection))
            still = select(state, func.count()).where(ours, Job.state.in_(OPEN_STATES)).group_by(state)
            ended = select(Job.state, func.count()).where(ours, Job.finished_at >= since).group_by(Job.state)
            counts, ends = connection.execute(still), connection.execute(ended)
            return {str(name): n for name, n in counts}, {str(name): n for name, n in ends}

    def gone_today(self, scope: str) -> Decimal:
        """Return the USD that a budget's UTC day has spent, may have spent and holds for calls in flight."""
        gone = BudgetRow.spent_nano_usd + BudgetRow.unknown_nano_usd + BudgetRow.reserved_nano_usd
        with reading(self._engine) as connection:
            day = now(connection).date().isoformat()
            ours = select(type_coerce(gone, NanoUSD())).where(BudgetRow.scope == scope, BudgetRow.day == day)
            return connection.scalar(ours) or Decimal(0)

    def take_out(self, batch_id: str) -> None:
        """Take a batch out of its caller's scope: the same content makes another batch then. The rows stay."""
        with transaction(self._engine) as connection:
            connection.execute(update(Batch).where(Batch.id == batch_id).values(idempotency_key=f"{DELETED}{batch_id}"))


def _ours(scope: str) -> Any:
    return select(Batch.id, Batch.created_at, Batch.job_count).where(in_scope(scope))


def _served(connection: Connection, batches: Sequence[RowMapping]) -> list[ServedBatch]:
    ids = [batch["id"] for batch in batches]
    jobs = (
        select(
            Job.batch_id,
            _count(Job.state.in_(FINAL_STATES)).label("ended"),
            _count(_IS_ANSWERED).label("succeeded"),
            _count(Job.state == State.FAILED, ~_HAS_ANSWER, ~_IS_EXPIRED).label("errored"),
            _count(Job.state == State.FAILED, ~_HAS_ANSWER, _IS_EXPIRED).label("expired"),
            _count(Job.state == State.CANCELLED, ~_HAS_ANSWER).label("canceled"),
            func.max(Job.finished_at).label("ended_at"),
            func.min(Job.finished_at).filter(Job.state == State.CANCELLED).label("cancelled_at"),
            func.max(Job.deadline_at).label("expires_at"),
            func.max(Job.purged_at).label("purged_at"),
        )
        .where(Job.batch_id.in_(ids))
        .group_by(Job.batch_id)
    )
    counts = {row["batch_id"]: row for row in connection.execute(jobs).mappings()}
    return [_batch(batch, counts[batch["id"]]) for batch in batches]


def _count(*conditions: ColumnElement[bool]) -> Any:
    return func.count().filter(*conditions)


def _batch(batch: RowMapping, counts: RowMapping) -> ServedBatch:
    is_ended = counts["ended"] == batch["job_count"]
    return ServedBatch(
        batch_id=batch["id"],
        created_at=batch["created_at"],
        job_count=batch["job_count"],
        **{name: counts[name] for name in _COUNTED},
        ended_at=counts["ended_at"] if is_ended else None,
    )
