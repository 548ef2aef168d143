"""Prices have dates: a changed rate is a new row, and what was written stays; on both engines."""

from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, select

from models.ledger.ledger import Ledger
from models.money.pricing import Price, parse_costs
from models.schema.price import PriceRow

_OPUS = parse_costs("claude-opus-4-7:5:25:0.5:6.25:10")["claude-opus-4-7"]
_CHEAPER = parse_costs("claude-opus-4-7:4:20:0.5:6.25:10")["claude-opus-4-7"]
_HAIKU = Price(
    model="claude-haiku-5-5",
    source="by hand",
    rates=_OPUS.rates.times(Decimal("0.02")),
    tiers=((100_000, _OPUS.rates.times(Decimal("0.1"))),),
)


def _rows(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        rows = connection.execute(select(PriceRow.__table__).order_by(PriceRow.valid_from)).mappings()
        return [dict(**row) for row in rows]


def test_a_price_is_kept_in_exact_money_with_its_source_and_date(ledger: Ledger, engine: Engine) -> None:
    ledger.record_prices([_OPUS])
    (row,) = _rows(engine)
    kinds = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    assert [row[f"{kind}_nano_usd_per_mtok"] for kind in kinds] == [5, 25, Decimal("0.5"), Decimal("6.25"), 10]
    assert (row["model"], row["source"], row["tiers"]) == ("claude-opus-4-7", "MODEL_COSTS", [])
    assert row["valid_from"].tzinfo is not None


def test_the_same_price_is_not_written_again(ledger: Ledger, engine: Engine) -> None:
    for _ in range(3):
        ledger.record_prices([_OPUS, _HAIKU])
    assert sorted(row["model"] for row in _rows(engine)) == ["claude-haiku-5-5", "claude-opus-4-7"]


def test_a_changed_rate_is_a_new_row_and_so_is_its_return(ledger: Ledger, engine: Engine) -> None:
    for price in (_OPUS, _CHEAPER, _CHEAPER, _OPUS):
        ledger.record_prices([price])
    assert [row["input_nano_usd_per_mtok"] for row in _rows(engine)] == [5, 4, 5]


def test_a_changed_tier_is_a_new_row(ledger: Ledger, engine: Engine) -> None:
    ledger.record_prices([_HAIKU])
    ledger.record_prices([Price(model=_HAIKU.model, source=_HAIKU.source, rates=_HAIKU.rates)])
    first, second = _rows(engine)
    assert first["tiers"] == [
        {
            "above": 100_000,
            "input": "0.5",
            "output": "2.5",
            "cache_read": "0.05",
            "cache_write_5m": "0.625",
            "cache_write_1h": "1.0",
        }
    ]
    assert second["tiers"] == []
