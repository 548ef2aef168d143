"""How prices are shown: a table for people, an object for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models.money.pricing import KINDS, Price, Rates
from producer.output.format import rate
from producer.output.table import table

_HEAD = ("model", *(kind.replace("_", " ") for kind in KINDS), "half price in/out", "from", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A model's price, and that of a message batch; None where nobody knows it.

    `is_override` tells whether a person set it; None where the price is the one in force, whoever gave it.
    """

    model: str
    price: Price | None
    batch: Price | None = None
    is_override: bool | None = None


def price_table(listed: Sequence[Listed]) -> Iterator[str]:
    """Write a row for each price, and one below it for each tier."""
    rows = [row for one in listed for row in _rows(one)]
    return table(_HEAD, rows, right=range(1, len(KINDS) + 2), folds={0}, is_last_below=True)


def price_json(one: Listed) -> dict[str, Any]:
    """Lay out a price; every rate is text, so that no program makes a float of it."""
    price, batch = one.price, one.batch
    known: dict[str, Any] = dict.fromkeys(("rates", "tiers", "batch", "valid_from", "source"))
    if price is not None:
        known = {
            "rates": rate_texts(price.rates),
            "tiers": [{"above": above, **rate_texts(rates)} for above, rates in price.tiers],
            "batch": None if batch is None else rate_texts(batch.rates),
            "valid_from": None if price.valid_from is None else price.valid_from.isoformat(),
            "source": price.source,
        }
    terms = {} if one.is_override is None else {"is_override": one.is_override}
    return {"model": one.model, **known, **terms}


def _rows(one: Listed) -> Iterator[tuple[str, ...]]:
    name, price, batch = one.model, one.price, one.batch
    if price is None:
        yield (name, *["unknown"] * len(KINDS), "", "", "no price: MODEL_COSTS, or `stepdown prices set`")
        return
    half = "" if batch is None else f"{rate(batch.rates.input)}/{rate(batch.rates.output)}"
    begins = "" if price.valid_from is None else price.valid_from.isoformat()
    yield (name, *rate_texts(price.rates).values(), half, begins, price.source)
    for above, rates in price.tiers:
        yield (f"  above {above} tokens", *rate_texts(rates).values(), "", "", "")


def rate_texts(rates: Rates) -> dict[str, str]:
    """Return the rates of a price as texts, by kind."""
    return {kind: rate(figure) for kind, figure in asdict(rates).items()}
