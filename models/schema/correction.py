"""The correction: the new cost of an attempt, beside the cost written at its end."""

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.schema.columns import Base, Id, Line, Money, Time


class Correction(Base):
    """One row each time an attempt is priced anew, `number` from 1. The last row counts. No row is ever changed."""

    __tablename__ = "corrections"

    id: Mapped[Id] = mapped_column(primary_key=True)
    attempt_id: Mapped[Id] = mapped_column(ForeignKey("attempts.id"))
    number: Mapped[int]
    made_at: Mapped[Time]
    was_nano_usd: Mapped[Money | None]  # NULL if the cost was unknown
    cost_nano_usd: Mapped[Money]
    input_nano_usd: Mapped[Money | None]
    cache_read_nano_usd: Mapped[Money | None]
    cache_write_5m_nano_usd: Mapped[Money | None]
    cache_write_1h_nano_usd: Mapped[Money | None]
    output_nano_usd: Mapped[Money | None]
    web_search_nano_usd: Mapped[Money | None]
    price_source: Mapped[Line]

    __table_args__ = (UniqueConstraint("attempt_id", "number"),)
