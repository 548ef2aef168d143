"""The price list as known at each time: a dated row for each model and each change of its rates."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from models.money.pricing import KINDS, Price, Rates
from models.schema.columns import Base, Id, Json, Line, Money, Time


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


def price_from(row: Mapping[Any, Any]) -> Price:
    """Return the price in a row, with the same rates and tiers."""
    return Price(
        model=row["model"],
        source=row["source"],
        rates=Rates(**{kind: _plain(row[f"{kind}_nano_usd_per_mtok"]) for kind in KINDS}),
        tiers=tuple((tier["above"], Rates(**{kind: Decimal(tier[kind]) for kind in KINDS})) for tier in row["tiers"]),
        valid_from=row["valid_from"].date(),
    )


def midnight(price: Price) -> datetime:
    """Return the time when a dated price begins."""
    if price.valid_from is None:
        raise ValueError(f"the price of {price.model} has no date")
    return datetime(price.valid_from.year, price.valid_from.month, price.valid_from.day, tzinfo=UTC)


def _plain(rate: Decimal) -> Decimal:
    """Return a rate without the zeros that nano-dollars bring.

    >>> _plain(Decimal("10.000000000")), _plain(Decimal("0.125000000"))
    (Decimal('10'), Decimal('0.125'))
    """
    return rate.quantize(Decimal(1)) if rate == rate.to_integral_value() else rate.normalize()
