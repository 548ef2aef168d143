"""The price list as it was known: a dated row for each model and each change of its rates."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Id, Json, Line, Money, Time
from models.pricing import Price


class PriceRow(Base):
    """USD per million tokens, in nano-dollars. A changed rate is a new row; old ones stay.

    `tiers` lists rates for prompts above a number of tokens, `{"above": tokens, rate: "USD", ...}`.
    """

    __tablename__ = "prices"

    id: Mapped[Id] = mapped_column(primary_key=True)
    model: Mapped[Line]
    valid_from: Mapped[Time]
    source: Mapped[Line]
    input_nano_usd_per_mtok: Mapped[Money]
    output_nano_usd_per_mtok: Mapped[Money]
    cache_read_nano_usd_per_mtok: Mapped[Money]
    cache_write_5m_nano_usd_per_mtok: Mapped[Money]
    cache_write_1h_nano_usd_per_mtok: Mapped[Money]
    tiers: Mapped[Json]
    is_override: Mapped[bool] = mapped_column(default=False, server_default=false())  # a person set it

    __table_args__ = (UniqueConstraint("model", "valid_from"),)


def price_row(price: Price) -> dict[str, Any]:
    """Lay out a price, without its id and date."""
    rates = {f"{kind}_nano_usd_per_mtok": rate for kind, rate in asdict(price.rates).items()}
    tiers = [
        {"above": above, **{kind: str(rate) for kind, rate in asdict(higher).items()}} for above, higher in price.tiers
    ]
    return {"model": price.model, "source": price.source, "tiers": tiers, **rates}
