"""The step: a job's place in a plan of parts and of jobs made from them; and its own parts."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.job.map_reduce import NewStep
from models.schema.columns import Base, Id, Json, Line, Word, columns_of


class Step(Base):
    """One row for each job of a batch that is mapped and synthesized. Other batches have no rows."""

    __tablename__ = "steps"

    job_id: Mapped[Id] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    batch_id: Mapped[Id] = mapped_column(ForeignKey("batches.id"))
    document: Mapped[Line | None]  # the caller's own id of the document; NULL if the job is about several
    level: Mapped[int]  # 0: a part of a document; above that, one more than the highest of its parts
    label: Mapped[str] = mapped_column(Text)  # the job's name in the steps above
    begins_at: Mapped[int | None]  # characters of the document, if the job is a part of one
    ends_at: Mapped[int | None]
    pieces: Mapped[Json | None]  # of the prompt, around the answers of its parts; NULL if there are none
    on_failed_part: Mapped[Word | None]  # name or stop; NULL if the job has no parts

    __table_args__ = (Index(None, "batch_id"),)


class PartRow(Base):
    """The parts of a step, in the order of reading."""

    __tablename__ = "parts"

    job_id: Mapped[Id] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    part_id: Mapped[Id] = mapped_column(ForeignKey("jobs.id"))

    __table_args__ = (Index(None, "part_id"),)


def step_row(batch_id: str, step: NewStep) -> dict[str, Any]:
    """Return the row of a job's place."""
    begins_at, ends_at = step.span or (None, None)
    return columns_of(step, Step) | {
        "batch_id": batch_id,
        "begins_at": begins_at,
        "ends_at": ends_at,
        "pieces": list(step.pieces) if step.parts else None,
        "on_failed_part": step.on_failed_part if step.parts else None,
    }


def part_rows(steps: Sequence[NewStep]) -> list[dict[str, Any]]:
    """Return the rows of each step's parts."""
    return [
        {"job_id": step.job_id, "position": position, "part_id": part_id}
        for step in steps
        for position, part_id in enumerate(step.parts, start=1)
    ]
