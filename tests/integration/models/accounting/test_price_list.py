"""A person sets prices from a day on; they come back exactly, beside those that workers saw; on both engines."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from models.accounting.price_list import PriceList
from models.ledger.ledger import Ledger
from models.money.price_book import PriceBook
from models.money.pricing import KINDS, Price, Rates, complete_rates, parse_costs
from models.schema.price import price_from, price_row
from tests.support.ledgers.job_values import accepted, answered
from tests.support.threads_at_once import at_once

_DAY = date(2999, 12, 1)  # later than any run of this test
_RATE = st.decimals(min_value=0, max_value=1_000_000, places=6)
_RATES = st.builds(Rates, **dict.fromkeys(KINDS, _RATE))
_TIERS = st.lists(st.tuples(st.integers(1, 2**31 - 1), _RATES), max_size=3).map(tuple)


@pytest.fixture
def prices(engine: Engine) -> PriceList:
    """Read and set prices in that database."""
    return PriceList(engine)


def _price(model: str = "mine", paid_in: str = "1", day: date = _DAY) -> Price:
    rates = complete_rates({"input": Decimal(paid_in), "output": Decimal(5)})
    return Price(model=model, source="prices set", rates=rates, tiers=((1_000, rates),), valid_from=day)


def _valid_from(price: Price) -> datetime:
    day = price.valid_from or date.min
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@given(rates=_RATES, tiers=_TIERS, day=st.dates(date(1971, 1, 1)))
def test_a_price_comes_back_from_its_row_exactly(rates: Rates, tiers: tuple[tuple[int, Rates], ...], day: date) -> None:
    price = Price(model="mine", source="prices set", rates=rates, tiers=tiers, valid_from=day)
    assert price_from(price_row(price) | {"valid_from": _valid_from(price)}) == price


@given(rates=_RATES, tiers=_TIERS, day=st.dates(date(1971, 1, 1)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
def test_a_price_comes_back_from_the_ledger_exactly(
    prices: PriceList, rates: Rates, tiers: tuple[tuple[int, Rates], ...], day: date
) -> None:
    price = Price(model="mine", source="prices set", rates=rates, tiers=tiers, valid_from=day)
    prices.set([price])
    (found,) = [one for one in prices.dated()["mine"] if one.valid_from == day]
    assert (found.rates, found.tiers) == (rates, tiers)


def test_dated_prices_are_read_by_model_the_earliest_first(prices: PriceList) -> None:
    later = date(3000, 1, 1)
    assert prices.dated() == {}
    prices.set([_price(day=later), _price(), _price("yours")])
    dated = prices.dated()
    assert {model: [price.valid_from for price in listed] for model, listed in dated.items()} == {
        "mine": [_DAY, later],
        "yours": [_DAY],
    }
    found = PriceBook({}, dated).price("mine", at=datetime(2999, 12, 1, tzinfo=UTC))
    assert found == _price()


def test_the_same_model_and_day_again_replaces_the_row_and_says_so(prices: PriceList) -> None:
    prices.set([_price(), _price("yours")])
    (written,) = prices.set([_price(paid_in="2")])
    assert written.source == "prices set, in place of 1 in, 5 out"
    reported = [(one.model, one.rates.input, is_set) for one, is_set in prices.all()]
    assert reported == [("mine", Decimal(2), True), ("yours", Decimal(1), True)]
    assert prices.dated()["mine"] == (written,)


def test_many_who_set_the_same_day_at_once_leave_one_row(prices: PriceList) -> None:
    prices.set([_price()])
    at_once(4, lambda number: prices.set([_price(paid_in=str(number + 2)), _price("yours")]))
    assert sorted(one.model for one, _ in prices.all()) == ["mine", "yours"]


def test_all_prices_are_set_or_none(prices: PriceList) -> None:
    undated = Price(model="yours", source="prices set", rates=_price().rates)
    with pytest.raises(ValueError, match="the price of yours has no date"):
        prices.set([_price(), undated])
    assert prices.all() == []


def test_prices_as_workers_saw_them_are_no_prices_that_a_person_set(prices: PriceList, ledger: Ledger) -> None:
    seen = list(parse_costs("mine:3:15").values())
    ledger.record_prices(seen)
    assert prices.dated() == {}
    prices.set([_price()])
    ledger.record_prices(seen)  # a price set for later is no change of what the worker sees
    assert [(one.rates.input, is_set) for one, is_set in prices.all()] == [(Decimal(3), False), (Decimal(1), True)]


def test_the_models_that_answered_of_late_are_told(prices: PriceList, ledger: Ledger, engine: Engine) -> None:
    _, (first, second, third) = accepted(ledger, 3)
    answered(ledger, first, served_model="mine")
    answered(ledger, second, served_model="mine")
    answered(ledger, third, served_model="long-ago")
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE attempts SET opened_at = '2026-01-01 00:00:00' WHERE served_model = 'long-ago'")
        )
    assert prices.served_since(datetime(2026, 2, 1, tzinfo=UTC)) == ["mine"]
    assert prices.served_since(datetime(2025, 2, 1, tzinfo=UTC)) == ["long-ago", "mine"]
