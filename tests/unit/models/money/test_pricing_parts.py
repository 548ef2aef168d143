"""The parts of a cost sum to it, whatever the rates, the usage and the passes; rounding takes none below nothing."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models.money.pricing import KINDS, NANO_USD, Parts, Price, Rates, parts_usd, priced
from models.money.usage import COUNTERS, Usage, passes, usage_from

_AT = datetime(2026, 11, 20, tzinfo=UTC)
_COUNT = st.integers(0, 2_000_000)
_RATE = st.decimals(min_value=0, max_value=500, places=6)
_RATES = st.builds(Rates, **dict.fromkeys(KINDS, _RATE))
_MODELS = st.sampled_from([None, "one", "two"])
_AMOUNT = st.decimals(min_value=0, max_value=1_000, places=14)
_PARTS = st.builds(Parts, **{part.name: _AMOUNT for part in fields(Parts)})


@st.composite
def _replies(draw: st.DrawFn) -> dict[str, Any]:
    """Make a usage object as the API sends it, with or without passes."""
    raw: dict[str, Any] = draw(_entries())
    raw["service_tier"] = draw(st.sampled_from([None, "standard", "batch"]))
    raw["server_tool_use"] = {"web_search_requests": draw(st.integers(0, 20))}
    listed = draw(st.lists(st.tuples(_MODELS, _entries()), max_size=4))
    if listed:
        raw["iterations"] = [{**entry, "model": model} for model, entry in listed]
    return raw


@st.composite
def _entries(draw: st.DrawFn) -> dict[str, Any]:
    write_5m, write_1h = draw(_COUNT), draw(_COUNT)
    return {
        "input_tokens": draw(_COUNT),
        "output_tokens": draw(_COUNT),
        "cache_read_input_tokens": draw(_COUNT),
        "cache_creation_input_tokens": write_5m + write_1h,
        "cache_creation": {"ephemeral_5m_input_tokens": write_5m, "ephemeral_1h_input_tokens": write_1h},
    }


class _Two:
    """Two models with rates of their own, half of them in a batch."""

    def __init__(self, one: Rates, two: Rates) -> None:
        self._rates = {"one": one, "two": two}

    def price(self, model: str, *, service_tier: str | None = None, **_named: object) -> Price:
        factor = Decimal("0.5") if service_tier == "batch" else Decimal(1)
        return Price(model=model, source=model, rates=self._rates[model].times(factor))


def _read(raw: dict[str, Any]) -> Usage:
    usage = usage_from(raw)
    assert usage is not None
    return usage


@given(raw=_replies())
def test_passes_count_together_what_the_reply_counts(raw: dict[str, Any]) -> None:
    usage = _read(raw)
    for name in COUNTERS:
        assert sum(getattr(one.usage, name) for one in passes(usage)) == getattr(usage, name)


@given(raw=_replies(), one=_RATES, two=_RATES)
def test_parts_sum_to_the_total_that_is_rounded_once(raw: dict[str, Any], one: Rates, two: Rates) -> None:
    usage, prices = _read(raw), _Two(one, two)
    cost = priced(usage, "one", prices, at=_AT)
    assert cost is not None
    exact = Decimal(0)
    for each in passes(usage):
        exact += parts_usd(each.usage, prices.price(each.model or "one", service_tier=usage.service_tier)).total
    assert cost.parts.total == exact.quantize(NANO_USD, rounding=ROUND_HALF_EVEN)
    assert cost.parts.total == sum((getattr(cost.parts, part.name) for part in fields(Parts)), Decimal(0))


@given(parts=_PARTS)
def test_rounding_takes_no_part_below_nothing_and_moves_none_by_a_nano_dollar(parts: Parts) -> None:
    rounded = parts.rounded()
    for part in fields(Parts):
        before, after = getattr(parts, part.name), getattr(rounded, part.name)
        assert after >= 0
        assert abs(after - before) < NANO_USD
        assert after == after.quantize(NANO_USD)
    assert rounded.total == parts.total.quantize(NANO_USD, rounding=ROUND_HALF_EVEN)


@given(parts=_PARTS)
def test_rounding_twice_is_rounding_once(parts: Parts) -> None:
    assert parts.rounded().rounded() == parts.rounded()


@given(parts=_PARTS, kind=st.sampled_from([part.name for part in fields(Parts)]))
def test_what_costs_nothing_is_given_nothing(parts: Parts, kind: str) -> None:
    assert getattr(replace(parts, **{kind: Decimal(0)}).rounded(), kind) == 0
