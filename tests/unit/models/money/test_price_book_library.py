"""Our costs are genai-prices' where it is right; where it is not, a test notices the day it is put right."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from models.money.price_book import PriceBook
from models.money.pricing import NANO_USD, priced
from models.money.usage import Usage, usage_from
from producer.simulator.request.catalog import MODELS

_AT = datetime(2026, 11, 20, 13, 37, tzinfo=UTC)
_BOOK = PriceBook({})
_NAMES = sorted({name for model in MODELS for name in (model.id, model.alias)})
_TOKENS = st.integers(0, 400_000)
_USAGES = st.builds(
    Usage,
    input_tokens=_TOKENS,
    output_tokens=_TOKENS,
    cache_read_tokens=_TOKENS,
    cache_write_5m_tokens=_TOKENS,
    cache_write_1h_tokens=_TOKENS,
    web_searches=st.integers(0, 50),
)
_PLAIN = Usage(input_tokens=1_000, output_tokens=10)  # 0.00525 USD on opus-4-7


def _ours(model: str, usage: Usage, at: datetime = _AT) -> Decimal:
    cost = priced(usage, model, _BOOK, at=at)
    assert cost is not None
    return cost.parts.total


def _theirs(model: str, usage: Usage, at: datetime = _AT, **context: str) -> Decimal:
    counted = TheirUsage(
        input_tokens=usage.prompt_tokens,  # theirs is the total with cache; the API's is not
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        web_searches=usage.web_searches,
    )
    found = calc_price(
        counted, model, provider_id="anthropic", genai_request_timestamp=at, price_context=context or None
    )
    return found.total_price


@pytest.mark.parametrize("model", _NAMES)
@given(usage=_USAGES)
@settings(max_examples=60)
def test_a_standard_reply_costs_what_genai_prices_says_to_the_nano_dollar(model: str, usage: Usage) -> None:
    assert _ours(model, usage) == _theirs(model, usage).quantize(NANO_USD)


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "claude-opus-4-6"])
@pytest.mark.parametrize("day", [datetime(2026, 3, 12, tzinfo=UTC), datetime(2026, 3, 13, tzinfo=UTC)])
def test_both_know_the_day_on_which_long_prompts_became_cheaper(model: str, day: datetime) -> None:
    usage = Usage(input_tokens=200_001, output_tokens=100)
    assert _ours(model, usage, day) == _theirs(model, usage, day)
    assert (_ours(model, usage, day) > _ours(model, usage)) is (day.day == 12)


@pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-haiku-5-5"])
@given(usage=_USAGES)
@settings(max_examples=60)
def test_a_batch_costs_what_genai_prices_says_where_it_is_told(model: str, usage: Usage) -> None:
    batch = Usage(**{name: getattr(usage, name) for name in usage.__slots__} | {"service_tier": "batch"})
    assert _ours(model, batch) == _theirs(model, usage, processing="batch").quantize(NANO_USD)


def test_pinned_its_input_tokens_are_the_total_with_cache() -> None:
    with pytest.raises(ValueError, match=r"cache_read_tokens \(5000\) cannot exceed input_tokens \(1000\)"):
        calc_price(TheirUsage(input_tokens=1_000, cache_read_tokens=5_000), "claude-opus-4-7", provider_id="anthropic")


def test_pinned_it_does_not_know_the_apis_own_word_for_a_batch() -> None:
    assert _theirs("claude-opus-4-7", _PLAIN, service_tier="batch") == Decimal("0.00525")
    assert _ours("claude-opus-4-7", Usage(input_tokens=1_000, output_tokens=10, service_tier="batch")) == Decimal(
        "0.002625"
    )


def test_pinned_it_has_batch_prices_from_14_october_2026_only() -> None:
    before, first = datetime(2026, 10, 13, tzinfo=UTC), datetime(2026, 10, 14, tzinfo=UTC)
    assert _theirs("claude-opus-4-7", _PLAIN, before, processing="batch") == Decimal("0.00525")
    assert _theirs("claude-opus-4-7", _PLAIN, first, processing="batch") == Decimal("0.002625")
    batch = Usage(input_tokens=1_000, output_tokens=10, service_tier="batch")
    assert _ours("claude-opus-4-7", batch, before) == Decimal("0.002625")


def test_pinned_it_does_not_know_that_us_only_inference_costs_a_tenth_more() -> None:
    assert _theirs("claude-opus-4-7", _PLAIN, inference_geo="us") == Decimal("0.00525")
    usage = Usage(input_tokens=1_000, output_tokens=10, inference_geo="us")
    assert _ours("claude-opus-4-7", usage) == Decimal("0.005775")


def test_pinned_it_prices_fast_replies_as_others_where_we_say_unknown() -> None:
    assert _theirs("claude-opus-4-7", _PLAIN, speed="fast") == Decimal("0.00525")
    assert priced(Usage(input_tokens=1_000, output_tokens=10, speed="fast"), "claude-opus-4-7", _BOOK, at=_AT) is None


def test_pinned_it_prices_no_pass_by_its_own_model() -> None:
    entry = {"input_tokens": 1_000, "output_tokens": 10}
    raw = {**entry, "iterations": [{**entry, "model": "claude-haiku-4-5"}, {**entry, "model": "claude-opus-4-7"}]}
    usage = usage_from(raw)
    assert usage is not None
    assert _ours("claude-opus-4-7", usage) == Decimal("0.00105") + Decimal("0.00525")
    assert _theirs("claude-opus-4-7", usage) == 2 * Decimal("0.00525")
