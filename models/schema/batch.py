"""The batch: a named set of jobs enqueued together."""

from typing import Any

from sqlalchemy import ColumnElement, ForeignKey, Index, String, func
from sqlalchemy.orm import Mapped, mapped_column

from models.job.values import NewBatch
from models.schema.columns import Base, Id, Json, Line, Money, Time, columns_of

ARRIVING, LEAVING = 0, -1  # job counts of a large batch while its jobs are being written, or removed again


class Batch(Base):
    """One row a submission."""

    __tablename__ = "batches"

    id: Mapped[Id] = mapped_column(primary_key=True)
    name: Mapped[Line | None]
    idempotency_key: Mapped[Line | None] = mapped_column(unique=True)
    content_sha256: Mapped[str | None] = mapped_column(String(64))  # with a key: other content under the key is refused
    task: Mapped[Line | None]
    tags: Mapped[Json]
    job_count: Mapped[int]  # above 0, else nobody sees the batch and none of its jobs is sent
    weight: Mapped[int] = mapped_column(default=1, server_default="1")  # its share of the fleet beside other batches
    created_at: Mapped[Time]

    __table_args__ = (Index(None, "created_at"),)


class BatchCount(Base):
    """A writer's share of the counts of a large batch. The shares add up; one of them may be negative.

    `cost_nano_usd` sums the known costs, `unknown_costs` counts the ended attempts of unknown cost.
    """

    __tablename__ = "batch_counts"

    batch_id: Mapped[Id] = mapped_column(ForeignKey("batches.id"), primary_key=True)
    writer: Mapped[Line] = mapped_column(primary_key=True)
    succeeded: Mapped[int]
    failed: Mapped[int]
    cancelled: Mapped[int]
    over_budget: Mapped[int]  # among the failed
    attempts: Mapped[int]
    unknown_costs: Mapped[int]
    cost_nano_usd: Mapped[Money]


def batch_row(batch: NewBatch, *, job_count: int) -> dict[str, Any]:
    """Lay out a new batch."""
    known = {"idempotency_key": batch.key, "tags": dict(batch.tags), "job_count": job_count}
    return columns_of(batch, Batch) | known


def in_scope(scope: str) -> ColumnElement[bool]:
    """Return the condition that a batch's key begins with a scope."""
    # Not LIKE, which takes Bob's for bob's in SQLite.
    begins: ColumnElement[bool] = func.substr(Batch.idempotency_key, 1, len(scope)) == scope
    return begins
