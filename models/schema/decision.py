"""The decision: the reason why a walk passed a rung over, waited, stepped down, climbed or gave up."""

from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.job.values import DecisionRecord
from models.schema.columns import Base, Id, Json, Line, Time, Word, columns_of


class DecisionRow(Base):
    """One row for each decision but "the answer is kept"; written with the end of its walk, never changed."""

    __tablename__ = "decisions"

    job_id: Mapped[Id] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    lease_token: Mapped[int] = mapped_column(primary_key=True)  # the walk of that claim
    number: Mapped[int] = mapped_column(primary_key=True)  # from 1 within the walk
    attempt_count: Mapped[int]  # the number of the job's attempts by then
    at: Mapped[Time]  # by its worker's clock
    rung: Mapped[int]
    model: Mapped[Line]
    decision: Mapped[Word]
    reason: Mapped[Line]
    details: Mapped[Json]


def decision_row(job_id: str, token: int, number: int, decided: DecisionRecord) -> dict[str, Any]:
    """Lay out a decision."""
    row = columns_of(decided, DecisionRow)
    return row | {"job_id": job_id, "lease_token": token, "number": number, "details": dict(decided.details)}
