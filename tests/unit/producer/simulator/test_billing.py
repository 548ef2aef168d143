"""What the referee charges, against figures worked out by hand from the published price list."""

from __future__ import annotations

import pytest

from producer.simulator.account.billing import Usage, bill
from producer.simulator.request.catalog import Model, find


def _model(name: str) -> Model:
    model = find(name)
    assert model is not None
    return model


@pytest.mark.parametrize(
    ("name", "usage", "nano_usd"),
    [
        # 1,000,000 x $5 + 100,000 x $25
        ("claude-opus-4-7", Usage(input=1_000_000, output=100_000), 7_500_000_000),
        # a warm prefix: 50,000 x $0.50 + 1,000 x $5 + 800 x $25 = $0.050
        ("claude-opus-4-7", Usage(input=1_000, output=800, cache_read=50_000), 50_000_000),
        # the same, cold on sonnet: 51,000 x $3 + 800 x $15 = $0.165
        ("claude-sonnet-4-6", Usage(input=51_000, output=800), 165_000_000),
        # and written: 50,000 x $3.75 + 1,000 x $3 + 800 x $15 = $0.2025
        ("claude-sonnet-4-6", Usage(input=1_000, output=800, write_5m=50_000), 202_500_000),
        # 10,000 x $2 (one hour) + 1 x $1 + 1 x $5
        ("claude-haiku-4-5", Usage(input=1, output=1, write_1h=10_000), 20_006_000),
        ("claude-opus-5-5", Usage(input=1_000, output=1_000, cache_read=1_000), 24_200_000),
        ("claude-sonnet-5-5", Usage(input=1_000, output=1_000, write_1h=1_000), 16_000_000),
    ],
)
def test_a_bill_is_the_sum_of_its_parts(name: str, usage: Usage, nano_usd: int) -> None:
    assert bill(_model(name), usage) == nano_usd


def test_haiku_5_5_costs_more_for_every_token_above_100k() -> None:
    haiku = _model("claude-haiku-5-5")
    assert bill(haiku, Usage(input=100_000, output=1)) == 10_000_500
    assert bill(haiku, Usage(input=100_001, output=1)) == 50_003_000


def test_cached_tokens_count_towards_the_100k() -> None:
    haiku = _model("claude-haiku-5-5")
    assert bill(haiku, Usage(input=1, output=0, cache_read=100_000)) == 5_000_500


def test_the_batch_tier_is_half_price_rounded_half_to_even() -> None:
    haiku = _model("claude-haiku-5-5")
    assert bill(haiku, Usage(input=0, output=0, write_5m=1, service_tier="batch")) == 62  # 62.5
    assert bill(haiku, Usage(input=0, output=0, write_5m=3, service_tier="batch")) == 188  # 187.5


def test_us_inference_costs_a_tenth_more_and_combines_with_batch() -> None:
    assert bill(_model("claude-opus-4-7"), Usage(input=1_000, output=100, geo="us")) == 8_250_000
    usage = Usage(input=0, output=0, write_5m=1, service_tier="batch", geo="us")
    assert bill(_model("claude-haiku-5-5"), usage) == 69  # 125 x 0.5 x 1.1 = 68.75, rounded once


def test_web_searches_cost_a_cent_each_in_every_tier_and_region() -> None:
    opus = _model("claude-opus-4-7")
    assert bill(opus, Usage(input=0, output=0, web_searches=2)) == 20_000_000
    assert bill(opus, Usage(input=0, output=0, web_searches=2, service_tier="batch", geo="us")) == 20_000_000


def test_the_priority_tier_is_billed_like_the_standard_one() -> None:
    opus = _model("claude-opus-4-7")
    assert bill(opus, Usage(input=10, output=10, service_tier="priority")) == bill(opus, Usage(input=10, output=10))
