"""What a person set counts from its UTC day on: below MODEL_COSTS, above the price list, and never before its day."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import genai_prices
from hypothesis import given
from hypothesis import strategies as st

from models.money.price_book import PriceBook, snapshot_day
from models.money.pricing import Price, Rates, complete_rates, cost_usd, parse_costs, priced
from models.money.usage import Usage

_OPUS = "claude-opus-4-7"
_FIRST = date(2026, 12, 1)


def _rates(paid_in: int) -> Rates:
    return complete_rates({"input": Decimal(paid_in), "output": Decimal(5 * paid_in)})


def _set(paid_in: int, day: date, **changes: object) -> Price:
    return Price(model=_OPUS, source="prices set", rates=_rates(paid_in), valid_from=day, **changes)  # type: ignore[arg-type]


def _input(book: PriceBook, at: datetime) -> Decimal:
    price = book.price(_OPUS, at=at)
    assert price is not None
    return price.rates.input


def test_a_set_price_begins_at_midnight_utc_of_its_day() -> None:
    book = PriceBook({}, {_OPUS: [_set(6, _FIRST)]})
    assert _input(book, datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)) == 5
    assert _input(book, datetime(2026, 12, 1, tzinfo=UTC)) == 6
    ahead = timezone(timedelta(hours=2))
    assert _input(book, datetime(2026, 12, 1, 1, 30, tzinfo=ahead)) == 5  # 23:30 of the day before


def test_the_latest_that_has_begun_counts_whatever_their_order() -> None:
    book = PriceBook({}, {_OPUS: [_set(8, date(2027, 2, 1)), _set(6, _FIRST), _set(7, date(2027, 1, 1))]})
    assert [_input(book, datetime(2027, month, 15, tzinfo=UTC)) for month in (1, 2)] == [7, 8]


def test_model_costs_beats_what_was_set() -> None:
    book = PriceBook(parse_costs(f"{_OPUS}:9:45"), {_OPUS: [_set(6, _FIRST)]})
    assert _input(book, datetime(2026, 12, 5, tzinfo=UTC)) == 9


def test_a_model_nobody_else_knows_has_the_price_that_was_set_and_none_before() -> None:
    book = PriceBook({}, {"mine": [Price(model="mine", source="prices set", rates=_rates(1), valid_from=_FIRST)]})
    assert book.price("mine", at=datetime(2026, 11, 30, tzinfo=UTC)) is None
    assert book.price("mine", at=datetime(2026, 12, 1, tzinfo=UTC)) is not None


def test_what_is_taken_later_replaces_what_was_known() -> None:
    book = PriceBook({}, {_OPUS: [_set(6, _FIRST)]})
    book.take({_OPUS: [_set(7, _FIRST)]})
    assert _input(book, datetime(2026, 12, 1, tzinfo=UTC)) == 7
    book.take({})
    assert _input(book, datetime(2026, 12, 1, tzinfo=UTC)) == 5


def test_a_set_price_has_its_tiers_and_its_half_price_in_batches() -> None:
    book = PriceBook({}, {_OPUS: [_set(6, _FIRST, tiers=((1_000, _rates(12)),))]})
    at = datetime(2026, 12, 1, tzinfo=UTC)
    price, batch = book.price(_OPUS, at=at), book.price(_OPUS, at=at, service_tier="batch")
    assert price is not None
    assert batch is not None
    assert cost_usd(Usage(input_tokens=1_000, output_tokens=0), price) == Decimal("0.006")
    assert cost_usd(Usage(input_tokens=1_001, output_tokens=0), price) == Decimal("0.012012")
    assert cost_usd(Usage(input_tokens=1_001, output_tokens=0), batch) == Decimal("0.006006")
    assert batch.valid_from == _FIRST


@given(days=st.lists(st.dates(date(2026, 1, 1), date(2027, 12, 31)), unique=True, max_size=8), at=st.datetimes())
def test_the_price_of_a_day_is_the_newest_not_after_it(days: list[date], at: datetime) -> None:
    prices = [
        Price(model="mine", source=str(n), rates=_rates(n), valid_from=day) for n, day in enumerate(days, start=1)
    ]
    found = PriceBook({}, {"mine": prices}).price("mine", at=at.replace(tzinfo=UTC))
    begun = [day for day in days if day <= at.date()]
    assert (found and found.valid_from) == max(begun, default=None)


def test_an_attempt_says_that_its_price_was_set() -> None:
    book = PriceBook({}, {_OPUS: [_set(6, _FIRST)]})
    cost = priced(Usage(input_tokens=1, output_tokens=0), _OPUS, book, at=datetime(2026, 12, 1, tzinfo=UTC))
    assert cost is not None
    assert cost.source == "prices set"


def test_the_list_says_since_when_a_rate_counts_where_it_has_a_date() -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    since = [
        found and found.valid_from for found in (PriceBook({}).price(m, at=now) for m in ("claude-sonnet-4-6", _OPUS))
    ]
    assert since == [date(2026, 3, 13), None]


def test_the_age_of_the_snapshot_is_never_that_of_a_rate_announced_for_later() -> None:
    installed = datetime.fromtimestamp(Path(genai_prices.__file__).stat().st_mtime, tz=UTC).date()
    day = snapshot_day(date(2027, 6, 1))
    assert day is not None
    assert day <= installed
    assert snapshot_day(date(2026, 10, 14)) == date(2026, 10, 14)
    assert snapshot_day(date(2001, 1, 1)) is None
