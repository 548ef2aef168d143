"""Attempts added up by day, model and task; which days are added up; and from where on a day is called bad."""

from datetime import date

from sqlalchemy import BigInteger, bindparam
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from models.schema.columns import Base, Line, Money, Time, Word, db_now


class DailyRow(Base):
    """The sums of one UTC day's attempts of one model and task, by the day of opening.

    `model` is the one that answered, else the one that was asked; `task` is empty where there is none. Costs count
    corrections; `cost_nano_usd` sums what is known, `unknown_costs` counts the rest, open attempts among it.
    """

    __tablename__ = "attempts_daily"

    day: Mapped[date] = mapped_column(primary_key=True)
    model: Mapped[Line] = mapped_column(primary_key=True)
    task: Mapped[Line] = mapped_column(primary_key=True)
    attempts: Mapped[int] = mapped_column(BigInteger)
    answered: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    open: Mapped[int] = mapped_column(BigInteger)
    unknown_costs: Mapped[int] = mapped_column(BigInteger)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_read_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_write_5m_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_write_1h_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    web_searches: Mapped[int] = mapped_column(BigInteger)
    cost_nano_usd: Mapped[Money]


class RolledDay(Base):
    """A day whose attempts are in `attempts_daily`. `is_stale`: one of them has changed since, so its rows count."""

    __tablename__ = "rolled_days"

    day: Mapped[date] = mapped_column(primary_key=True)
    rolled_at: Mapped[Time]
    is_stale: Mapped[bool]


class Threshold(Base):
    """A figure of the settings that a view needs: workers write theirs when they start."""

    __tablename__ = "thresholds"

    name: Mapped[Word] = mapped_column(primary_key=True)
    value: Mapped[int]


# What changes a finished day's attempts runs this in the same transaction, with the day as `of_day`; several days in
# their order, so that two of them never wait for each other. Always a write, of the row itself where there is none yet:
# a rollup of that day waits for it, or it for the rollup. (Postgres's insert, which SQLite reads as well.)
MARK_STALE = (
    insert(RolledDay)
    .values(day=bindparam("of_day"), rolled_at=db_now(0.0), is_stale=True)
    .on_conflict_do_update(index_elements=["day"], set_={"is_stale": True})
)
