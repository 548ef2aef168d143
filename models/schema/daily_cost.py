"""Attempts added up by day, endpoint, model, task and lane; the days added up; the figures that judge a day."""

from datetime import date

from sqlalchemy import BigInteger, bindparam
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from models.schema.columns import Base, Line, Money, Time, Word, db_now


class DailyRow(Base):
    """The sums of one UTC day's attempts of one endpoint, model, task and lane, by the day of opening.

    `model` is the model that answered, else the model that was asked. `task` is empty for an attempt without a task.
    Costs count corrections. `cost_nano_usd` sums the known costs, `unknown_costs` counts all others, also open ones.
    """

    __tablename__ = "attempts_daily"

    day: Mapped[date] = mapped_column(primary_key=True)
    endpoint: Mapped[Line] = mapped_column(primary_key=True)
    model: Mapped[Line] = mapped_column(primary_key=True)
    task: Mapped[Line] = mapped_column(primary_key=True)
    lane: Mapped[Word] = mapped_column(primary_key=True)  # live, or half_price for items of message batches
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
    """A day whose attempts are in `attempts_daily`. `is_stale`: an attempt has changed since, so the attempts count."""

    __tablename__ = "rolled_days"

    day: Mapped[date] = mapped_column(primary_key=True)
    rolled_at: Mapped[Time]
    is_stale: Mapped[bool]


class Threshold(Base):
    """A figure of the settings that a view needs. Workers write their figures when they start."""

    __tablename__ = "thresholds"

    name: Mapped[Word] = mapped_column(primary_key=True)
    value: Mapped[int]


# A change of a finished day's attempts runs this in the same transaction, with the day as `of_day`. Several days go in
# their order, so that no two changes wait for each other. This is always a write, of a new row if there is none yet.
# So a rollup of that day waits for the change, or the change for the rollup. SQLite reads Postgres's insert, too.
MARK_STALE = (
    insert(RolledDay)
    .values(day=bindparam("of_day"), rolled_at=db_now(0.0), is_stale=True)
    .on_conflict_do_update(index_elements=["day"], set_={"is_stale": True})
)
