"""The source of a price: MODEL_COSTS, a person's dated prices, the dated snapshot in genai-prices, else nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import genai_prices
from genai_prices import data_snapshot
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TieredPrices

from models.money.pricing import KINDS, Price, Rates
from models.rung_name import endpoint_of, model_of

GENAI_SOURCE = f"genai-prices {version('genai-prices')}"
# The fields of genai-prices for KINDS.
_LISTED = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
_MOST_FOUND, _ONE = 1000, Decimal(1)
_US_REGION_FACTOR = Decimal("1.1")  # genai-prices 0.2.3 does not know the factor
_BATCH_FACTOR = Decimal("0.5")  # genai-prices lists the factor for newer models only, and only from 2026-10-14


class PriceBook:
    """Answers the cost of a model on a UTC day, at the tier, speed and region that a reply names.

    `overrides` have no date and win. `dated` prices count from their `valid_from` on, in any order. Both are by rung. A
    model at an endpoint without such a price costs the usual price times the factor of the endpoint.
    """

    def __init__(
        self,
        overrides: Mapping[str, Price],
        dated: Mapping[str, Sequence[Price]] | None = None,
        *,
        factors: Mapping[str, Decimal] | None = None,
    ) -> None:
        self._overrides = dict(overrides)
        self._factors = dict(factors or {})
        self.take(dated or {})

    def take(self, dated: Mapping[str, Sequence[Price]]) -> None:
        """Replace the dated prices. A reader meanwhile sees the old prices or the new."""
        self._dated = {model: sorted(prices, key=_begins) for model, prices in dated.items()}
        self._found: dict[tuple[object, ...], Price | None] = {}

    @property
    def stated(self) -> tuple[str, ...]:
        """The rungs whose price is not of genai-prices alone."""
        return (*self._dated, *self._overrides)

    def price(
        self,
        model: str,
        *,
        at: datetime,
        service_tier: str | None = None,
        speed: str | None = None,
        inference_geo: str | None = None,
    ) -> Price | None:
        """Return the price of `model` at the UTC time `at`. Returns None if nobody knows the price.

        Fast speed has no published rate in the book, so any speed but standard has an unknown price.
        """
        if speed not in {None, "standard"}:
            return None
        day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        known = (model, day, service_tier == "batch", inference_geo == "us")
        found = self._found
        if known not in found:
            if len(found) >= _MOST_FOUND:
                found.clear()
            found[known] = self._look_up(*known)
        return found[known]

    def _look_up(self, model: str, day: datetime, is_batch: bool, is_us: bool) -> Price | None:
        found = self._overrides.get(model) or self._set_for(model, day.date()) or self._usual(model, day)
        if found is not None and is_batch:
            found = _scaled(found, _BATCH_FACTOR, "batch")
        if found is not None and is_us:
            return _scaled(found, _US_REGION_FACTOR, "us")
        return found

    def _usual(self, rung: str, day: datetime) -> Price | None:
        own, endpoint = model_of(rung), endpoint_of(rung)
        if own == rung:
            return _from_genai(rung, day)
        found, factor = self._look_up(own, day, False, False), self._factors.get(endpoint, _ONE)
        if found is None:
            return None
        return replace(found if factor == 1 else _scaled(found, factor, endpoint), model=rung)

    def _set_for(self, model: str, day: date) -> Price | None:
        begun = [price for price in self._dated.get(model, ()) if _begins(price) <= day]
        return begun[-1] if begun else None

    def unpriced(self, models: tuple[str, ...]) -> tuple[str, ...]:
        """Return the models that have no price today."""
        now = datetime.now(UTC)
        return tuple(model for model in models if self.price(model, at=now) is None)


def context_window(model: str) -> int | None:
    """Return the most tokens that a model's prompt and answer may have together. Returns None if unknown."""
    info = _model_info(model_of(model))
    return None if info is None else info.context_window


def listed_models() -> tuple[str, ...]:
    """Return Anthropic's models in genai-prices."""
    providers = data_snapshot.get_snapshot().providers
    return tuple(model.id for provider in providers if provider.id == "anthropic" for model in provider.models)


def snapshot_day(today: date) -> date | None:
    """Return the day of the newest rate that had begun at the snapshot's installation. Returns None without a date.

    genai-prices 0.2.3 has no date of its own: `snapshot.timestamp` is the time of loading. But the package was hardly
    made before one of its rates began, and rates announced for later prove nothing.
    """
    installed = datetime.fromtimestamp(Path(genai_prices.__file__).stat().st_mtime, tz=UTC).date()
    begun = [day for day in _dates() if day <= today]
    at_most = [day for day in begun if day <= installed]
    return max(at_most or begun, default=None)  # some images give every file the date of 1970


def _dates() -> Iterator[date]:
    for provider in data_snapshot.get_snapshot().providers:
        for model in provider.models:
            conditions = [] if isinstance(model.prices, ModelPrice) else model.prices
            for found in (*conditions, *(model.price_variants or ())):
                if isinstance(found.constraint, StartDateConstraint):
                    yield found.constraint.start_date


def _scaled(price: Price, factor: Decimal, reason: str) -> Price:
    tiers = tuple((threshold, rates.times(factor)) for threshold, rates in price.tiers)
    source = f"{price.source}, {reason} x{factor}"
    return replace(price, source=source, rates=price.rates.times(factor), tiers=tiers)


def _begins(price: Price) -> date:
    return price.valid_from or date.min


@lru_cache(maxsize=512)
def _from_genai(model: str, day: datetime) -> Price | None:
    info = _model_info(model)
    if info is None:
        return None
    listed = info.get_prices(day)
    return _as_price(model, listed, valid_from=_since(info, listed))


def _since(info: ModelInfo, listed: ModelPrice) -> date | None:
    conditions = [] if isinstance(info.prices, ModelPrice) else info.prices
    chosen = [condition.constraint for condition in conditions if condition.prices is listed]
    return next((found.start_date for found in chosen if isinstance(found, StartDateConstraint)), None)


@lru_cache(maxsize=512)
def _model_info(model: str) -> ModelInfo | None:
    try:
        return data_snapshot.get_snapshot().find_provider_model(model, None, "anthropic", None)[1]
    except LookupError:
        return None


def _as_price(model: str, listed: ModelPrice, *, valid_from: date | None) -> Price | None:
    columns = [getattr(listed, name) for name in _LISTED]
    if any(column is None for column in columns):
        return None
    thresholds = sorted({tier.start for column in columns if isinstance(column, TieredPrices) for tier in column.tiers})
    return Price(
        model=model,
        source=GENAI_SOURCE,
        rates=_rates_at(columns, None),
        tiers=tuple((threshold, _rates_at(columns, threshold)) for threshold in thresholds),
        valid_from=valid_from,
    )


def _rates_at(columns: list[Decimal | TieredPrices | None], threshold: int | None) -> Rates:
    return Rates(**{kind: _rate_at(column, threshold) for kind, column in zip(KINDS, columns, strict=True)})


def _rate_at(column: Decimal | TieredPrices | None, threshold: int | None) -> Decimal:
    if not isinstance(column, TieredPrices):
        return Decimal(column or 0)
    reached = [tier.price for tier in column.tiers if threshold is not None and tier.start <= threshold]
    return reached[-1] if reached else column.base
