"""A price comes from MODEL_COSTS, else from the dated price list, else from nowhere: never a guess."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from models.money.price_book import PriceBook, context_window
from models.money.pricing import Price, Rates, cost_usd, parse_costs
from models.money.usage import Usage

_DAY = datetime(2026, 11, 20, 13, 37, tzinfo=UTC)
_BOOK = PriceBook({})


def _known(price: Price | None) -> Price:
    assert price is not None
    return price


@pytest.mark.parametrize(
    ("model", "rates"),
    [
        ("claude-opus-4-7", "5 25 0.50 6.25 10"),
        ("claude-sonnet-4-6", "3 15 0.30 3.75 6"),
        ("claude-haiku-4-5-20251001", "1 5 0.10 1.25 2"),
        ("claude-haiku-4-5", "1 5 0.10 1.25 2"),
        ("claude-opus-5-5", "4 20 0.20 5 8"),
        ("claude-sonnet-5-5", "2 10 0.10 2.5 4"),
        ("claude-haiku-5-5", "0.10 0.50 0.01 0.125 0.20"),
        ("claude-3-5-haiku-20241022", "0.80 4 0.08 1 1.6"),
    ],
)
def test_the_list_has_the_published_rates(model: str, rates: str) -> None:
    paid_in, out, read, write_5m, write_1h = map(Decimal, rates.split())
    price = _known(_BOOK.price(model, at=_DAY))
    assert price.rates == Rates(
        input=paid_in, output=out, cache_read=read, cache_write_5m=write_5m, cache_write_1h=write_1h
    )
    assert price.source.startswith("genai-prices ")
    assert price.model == model


def test_an_override_beats_the_list() -> None:
    book = PriceBook(parse_costs("claude-opus-4-7:4.5:22.5"))
    assert _known(book.price("claude-opus-4-7", at=_DAY)).rates.output == Decimal("22.5")
    assert _known(book.price("claude-opus-4-7", at=_DAY)).source.startswith("MODEL_COSTS")
    assert _known(book.price("claude-sonnet-4-6", at=_DAY)).rates.output == 15


@pytest.mark.parametrize("overrides", ["", "claude-opus-4-7:5:25"])
def test_a_batch_is_half_price_and_says_so(overrides: str) -> None:
    price = _known(PriceBook(parse_costs(overrides)).price("claude-opus-4-7", at=_DAY, service_tier="batch"))
    assert (price.rates.input, price.rates.output) == (Decimal("2.5"), Decimal("12.5"))
    assert price.source.endswith(", batch x0.5")


@pytest.mark.parametrize(
    ("model", "at"), [("claude-opus-4-7", datetime(2026, 6, 1, tzinfo=UTC)), ("claude-3-5-haiku-20241022", _DAY)]
)
def test_a_batch_is_half_price_also_where_the_list_forgot_it(model: str, at: datetime) -> None:
    standard = _known(_BOOK.price(model, at=at))
    assert _known(_BOOK.price(model, at=at, service_tier="batch")).rates == standard.rates.times(Decimal("0.5"))


def test_a_request_kept_in_the_us_costs_a_tenth_more() -> None:
    price = _known(_BOOK.price("claude-opus-4-7", at=_DAY, inference_geo="us"))
    assert (price.rates.input, price.rates.output) == (Decimal("5.5"), Decimal("27.5"))
    assert price.source.endswith(", us x1.1")
    everywhere = _known(_BOOK.price("claude-opus-4-7", at=_DAY, inference_geo="global"))
    assert everywhere == _BOOK.price("claude-opus-4-7", at=_DAY)


def test_a_batch_in_the_us_is_half_and_a_tenth_more() -> None:
    price = _known(_BOOK.price("claude-opus-4-7", at=_DAY, service_tier="batch", inference_geo="us"))
    assert (price.rates.input, price.rates.output) == (Decimal("2.75"), Decimal("13.75"))


def test_standard_tier_and_speed_change_nothing() -> None:
    named = _BOOK.price("claude-opus-4-7", at=_DAY, service_tier="standard", speed="standard")
    assert named == _BOOK.price("claude-opus-4-7", at=_DAY)


def test_fast_speed_has_no_known_price() -> None:
    assert _BOOK.price("claude-opus-4-7", at=_DAY, speed="fast") is None
    assert PriceBook(parse_costs("claude-opus-4-7:5:25")).price("claude-opus-4-7", at=_DAY, speed="fast") is None


def test_a_prompt_above_100k_of_haiku_5_5_pays_more_for_every_token() -> None:
    price = _known(_BOOK.price("claude-haiku-5-5", at=_DAY))
    assert cost_usd(Usage(input_tokens=100_000, output_tokens=1_000), price) == Decimal("0.0105")
    assert cost_usd(Usage(input_tokens=100_001, output_tokens=1_000), price) == Decimal("0.0525005")


def test_tiers_are_scaled_with_the_rates() -> None:
    price = _known(_BOOK.price("claude-haiku-5-5", at=_DAY, service_tier="batch"))
    assert cost_usd(Usage(input_tokens=100_001, output_tokens=1_000), price) == Decimal("0.02625025")


def test_an_attempt_is_priced_by_the_rates_of_its_own_day() -> None:
    # Until 2026-03-13 prompts above 200k tokens cost more.
    before = _known(_BOOK.price("claude-sonnet-4-6", at=datetime(2026, 3, 12, 23, 59, tzinfo=UTC)))
    after = _known(_BOOK.price("claude-sonnet-4-6", at=datetime(2026, 3, 13, 0, 0, tzinfo=UTC)))
    assert before.rates_for(200_001).input == 6
    assert after.rates_for(200_001).input == 3


@pytest.mark.parametrize("model", ["gpt-5", "claude-opus-99", "", "claude-2"])
def test_a_model_nobody_has_a_full_price_for_has_none(model: str) -> None:
    assert _BOOK.price(model, at=_DAY) is None


def test_models_without_a_price_are_listed() -> None:
    book = PriceBook(parse_costs("mine:1:2"))
    assert book.unpriced(("claude-opus-4-7", "mine", "yours", "theirs")) == ("yours", "theirs")


def test_the_context_window_is_known_where_the_model_is() -> None:
    assert context_window("claude-haiku-4-5-20251001") == 200_000
    assert context_window("claude-opus-4-7") == 1_000_000
    assert context_window("mine") is None
