"""Money is exact: hand-computed costs, rounded once, and never a float."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import SettingsError
from models.money.pricing import Price, Rates, cost_usd, parse_costs
from models.money.usage import Usage

_NANO = 10**9
_TOKENS = st.integers(0, 2_000_000)
_RATE = st.decimals(min_value=0, max_value=500, places=4)
_SONNET = Rates(
    input=Decimal(3),
    output=Decimal(15),
    cache_read=Decimal("0.30"),
    cache_write_5m=Decimal("3.75"),
    cache_write_1h=Decimal(6),
)


def _price(rates: Rates = _SONNET, tiers: tuple[tuple[int, Rates], ...] = ()) -> Price:
    return Price(model="claude-sonnet-4-6", source="by hand", rates=rates, tiers=tiers)


_RATES = st.builds(Rates, input=_RATE, output=_RATE, cache_read=_RATE, cache_write_5m=_RATE, cache_write_1h=_RATE)
_USAGES = st.builds(
    Usage,
    input_tokens=_TOKENS,
    output_tokens=_TOKENS,
    cache_read_tokens=_TOKENS,
    cache_write_5m_tokens=_TOKENS,
    cache_write_1h_tokens=_TOKENS,
    web_searches=st.integers(0, 50),
)


def _exact_nano(usage: Usage, rates: Rates) -> Fraction:
    parts = [
        (usage.input_tokens, rates.input),
        (usage.output_tokens, rates.output),
        (usage.cache_read_tokens, rates.cache_read),
        (usage.cache_write_5m_tokens, rates.cache_write_5m),
        (usage.cache_write_1h_tokens, rates.cache_write_1h),
    ]
    tokens = sum((count * Fraction(rate) for count, rate in parts), Fraction(0)) / 1_000_000
    return (tokens + usage.web_searches * Fraction(10, 1000)) * _NANO


def test_every_kind_of_token_is_paid_at_its_own_rate() -> None:
    usage = Usage(
        input_tokens=1_000,  # 0.003
        output_tokens=200,  # 0.003
        cache_read_tokens=50_000,  # 0.015
        cache_write_5m_tokens=4_000,  # 0.015
        cache_write_1h_tokens=500,  # 0.003
    )
    assert cost_usd(usage, _price()) == Decimal("0.039")


def test_a_token_of_haiku_costs_a_thousand_nano_dollars_in_and_five_thousand_out() -> None:
    price = parse_costs("haiku:1:5")["haiku"]
    assert cost_usd(Usage(input_tokens=1, output_tokens=0), price) == Decimal("0.000001")
    assert cost_usd(Usage(input_tokens=0, output_tokens=1), price) == Decimal("0.000005")


def test_thinking_is_a_part_of_the_output_and_paid_once() -> None:
    plain = Usage(input_tokens=0, output_tokens=100)
    thinking = Usage(input_tokens=0, output_tokens=100, thinking_tokens=90)
    assert cost_usd(thinking, _price()) == cost_usd(plain, _price()) == Decimal("0.0015")


def test_a_web_search_costs_a_cent() -> None:
    assert cost_usd(Usage(input_tokens=0, output_tokens=0, web_searches=3), _price()) == Decimal("0.03")


def test_a_cost_always_has_nine_decimals() -> None:
    assert str(cost_usd(Usage(input_tokens=0, output_tokens=0), _price())) == "0E-9"
    assert cost_usd(Usage(input_tokens=1, output_tokens=0), _price()).as_tuple().exponent == -9


@pytest.mark.parametrize(("tokens", "nano"), [(1, 0), (3, 2), (5, 2), (7, 4)])
def test_half_a_nano_dollar_goes_to_the_even_neighbour(tokens: int, nano: int) -> None:
    # 0.0005 USD per million tokens is half a nano-dollar a token.
    price = parse_costs("m:0.0005:0")["m"]
    assert cost_usd(Usage(input_tokens=tokens, output_tokens=0), price) * _NANO == nano


def test_parts_are_added_before_the_one_rounding() -> None:
    price = parse_costs("m:0.0004:0.0004")["m"]
    # 0.4 + 0.4 nano-dollars: rounded apart they would be nothing.
    assert cost_usd(Usage(input_tokens=1, output_tokens=1), price) * _NANO == 1


def test_a_prompt_above_the_threshold_pays_the_tier_for_every_token() -> None:
    price = _price(tiers=((100, _SONNET.times(Decimal(2))), (1_000, _SONNET.times(Decimal(10)))))
    assert cost_usd(Usage(input_tokens=100, output_tokens=1), price) == Decimal("0.000315")
    assert cost_usd(Usage(input_tokens=101, output_tokens=1), price) == Decimal("0.000636")
    assert cost_usd(Usage(input_tokens=1_001, output_tokens=0), price) == Decimal("0.03003")


def test_cached_tokens_count_to_the_length_a_tier_is_chosen_by() -> None:
    price = _price(tiers=((100, _SONNET.times(Decimal(2))),))
    usage = Usage(
        input_tokens=1, output_tokens=0, cache_read_tokens=98, cache_write_5m_tokens=1, cache_write_1h_tokens=1
    )
    assert usage.prompt_tokens == 101
    assert cost_usd(usage, price) == 2 * cost_usd(usage, _price())


@given(usage=_USAGES, rates=_RATES)
def test_a_cost_is_the_exact_sum_to_half_a_nano_dollar(usage: Usage, rates: Rates) -> None:
    exact = _exact_nano(usage, rates)
    nano = Fraction(cost_usd(usage, _price(rates))) * _NANO
    assert nano.denominator == 1
    assert nano == round(exact)  # Fraction rounds half to even


@given(first=_USAGES, second=_USAGES, rates=_RATES)
def test_costs_add_up_to_a_nano_dollar_for_each_rounding(first: Usage, second: Usage, rates: Rates) -> None:
    price = _price(rates)
    apart = cost_usd(first, price) + cost_usd(second, price)
    exact = _exact_nano(first, rates) + _exact_nano(second, rates)
    assert abs(Fraction(apart) * _NANO - exact) <= 1


def test_two_rates_are_enough_and_the_cache_rates_are_said_to_be_derived() -> None:
    price = parse_costs("opus:5:25")["opus"]
    assert price.rates == Rates(
        input=Decimal(5),
        output=Decimal(25),
        cache_read=Decimal("0.5"),
        cache_write_5m=Decimal("6.25"),
        cache_write_1h=Decimal(10),
    )
    assert price.source == "MODEL_COSTS, cache rates derived from input"


def test_rates_that_are_given_are_taken_as_they_are() -> None:
    prices = parse_costs(" a:5:25:0.2 , b:5:25:0.2:7:9,")
    assert (prices["a"].rates.cache_read, prices["a"].rates.cache_write_1h) == (Decimal("0.2"), Decimal(10))
    assert (prices["b"].rates.cache_write_5m, prices["b"].rates.cache_write_1h) == (Decimal(7), Decimal(9))
    assert prices["b"].source == "MODEL_COSTS"


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("opus", "write model:input:output"),
        ("opus:5", "write model:input:output"),
        ("opus:1:2:3:4:5:6", "write model:input:output"),
        (":1:2", "write model:input:output"),
        ("opus:1:2,opus:1:3", "opus is named twice"),
        ("opus:x:2", "'x' is not a number"),
        ("opus::2", "'' is not a number"),
        ("opus:-1:2", "'-1' should be from 0"),
        ("opus:NaN:2", "'NaN' should be from 0"),
        ("opus:1:Infinity", "'Infinity' should be from 0"),
        ("opus:1:1e30", "'1e30' should be from 0 to 1000000"),
        ("opus:0.0000001:1", "at most 6 decimals"),
    ],
)
def test_a_cost_that_cannot_be_paid_is_refused_with_the_fix(text: str, fix: str) -> None:
    with pytest.raises(SettingsError, match="MODEL_COSTS=") as caught:
        parse_costs(text)
    assert fix in str(caught.value)
