"""The price list in the ledger: dated prices that a person set, and every price that workers saw."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from models.database.engine import LedgerPart, reading, transaction
from models.ids import new_id
from models.money.pricing import Price
from models.schema.attempt import Attempt
from models.schema.price import PriceRow, midnight, price_from, price_row
from models.text import line

_TRIES = 20


class PriceList(LedgerPart):
    """Reads and sets dated prices. Each method raises LedgerError if the ledger is away."""

    def dated(self) -> dict[str, tuple[Price, ...]]:
        """Return the prices that a person set, by model, the earliest first, as a PriceBook takes them."""
        prices: dict[str, list[Price]] = {}
        for row in self._rows(_all_prices().where(PriceRow.is_override)):
            prices.setdefault(row["model"], []).append(price_from(row))
        return {model: tuple(dated) for model, dated in prices.items()}

    def all(self) -> list[tuple[Price, bool]]:
        """Return every dated price by model and day, each with True if a person set the price."""
        return [(price_from(row), row["is_override"]) for row in self._rows(_all_prices())]

    def set(self, prices: Sequence[Price]) -> list[Price]:
        """Write dated prices, all or none. Each replaces an earlier price of its model and day.

        Returns the prices as written: the source of each names the price that it replaced.
        """
        for _ in range(_TRIES):
            with suppress(IntegrityError):  # somebody else set the same day at once: that price is replaced
                return self._set(prices)
        return self._set(prices)

    def _set(self, prices: Sequence[Price]) -> list[Price]:
        with transaction(self._engine) as connection:
            return [_set(connection, price) for price in prices]

    def served_since(self, start: datetime) -> list[str]:
        """List the models that answered attempts opened since `start`."""
        models = select(Attempt.served_model).where(Attempt.opened_at >= start, Attempt.served_model.is_not(None))
        with reading(self._engine) as connection:
            return sorted(str(model) for model in connection.scalars(models.distinct()))


def _all_prices() -> Any:
    return select(PriceRow.__table__).order_by(PriceRow.model, PriceRow.valid_from, PriceRow.id)


def _set(connection: Connection, price: Price) -> Price:
    at = midnight(price)
    same = (PriceRow.model == price.model) & (PriceRow.valid_from == at)
    earlier = connection.execute(select(PriceRow.__table__).where(same)).mappings().one_or_none()
    connection.execute(delete(PriceRow).where(same))
    row: Mapping[str, Any] = price_row(price) | {"source": _source(price, earlier)}
    connection.execute(insert(PriceRow).values(id=new_id(), valid_from=at, is_override=True, **row))
    return price_from({**row, "valid_from": at})


def _source(price: Price, earlier: Any) -> str:
    if earlier is None:
        return price.source
    was = price_from(earlier).rates
    return line(f"{price.source}, in place of {was.input:f} in, {was.output:f} out") or price.source
