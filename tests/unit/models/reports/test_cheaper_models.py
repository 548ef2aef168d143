"""The model that would have cost less is of the same family and endpoint, newer if any such costs less, and alive."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from models.money.price_book import PriceBook
from models.money.pricing import Price, complete_rates, parse_costs
from models.money.usage import Usage
from models.reports.cheaper_models import RungCost, TokenUse, compare

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
_OPUS, _SONNET, _HAIKU = "claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"
_NEW_OPUS = "claude-opus-5-5"


def _used(rung: str, **more: Any) -> TokenUse:
    usage = Usage(input_tokens=1_000_000, output_tokens=100_000)
    return TokenUse(**{"rung": rung, "usage": usage, "attempts": 10, "longest": 1_100, **more})


def _compared(
    *rungs: str, uses: tuple[TokenUse, ...] = (), book: PriceBook | None = None, **ends: Any
) -> list[RungCost]:
    return compare(rungs, uses, book or PriceBook({}), ends.get("ends", {}), now=_NOW)


def _best(*rungs: str, **given: Any) -> list[str | None]:
    return [None if rung.best is None else rung.best.model for rung in _compared(*rungs, **given)]


def _priced(costs: str) -> PriceBook:
    return PriceBook(parse_costs(costs))


def test_each_rung_of_the_default_chain_has_a_newer_model_with_lower_list_rates() -> None:
    rungs = _compared(_OPUS, _SONNET, _HAIKU)
    assert [rung.best and rung.best.model for rung in rungs] == [_NEW_OPUS, "claude-sonnet-5-5", "claude-haiku-5-5"]
    assert [rung.is_measured for rung in rungs] == [False] * 3
    assert [rung.cost_usd for rung in rungs] == [Decimal(9), Decimal("5.4"), Decimal("1.8")]  # of 0.8 and 0.2 million


def test_measured_tokens_are_compared_on_both_sides_and_what_was_paid_stays_beside() -> None:
    (rung,) = _compared(_OPUS, uses=(_used(_OPUS, paid_usd=Decimal(7)),))
    assert rung.best is not None
    assert (rung.cost_usd, rung.best.cost_usd, rung.saved_usd(rung.best)) == (
        Decimal("7.5"),
        Decimal(6),
        Decimal("1.5"),
    )
    assert (rung.is_measured, rung.paid_usd, rung.attempts) == (True, Decimal(7), {"live": 10})


def test_an_attempt_at_half_price_is_compared_at_half_price() -> None:
    half = Usage(input_tokens=1_000_000, output_tokens=0, service_tier="batch")
    (rung,) = _compared(_OPUS, uses=(_used(_OPUS, usage=half, lane="half_price"),))
    assert rung.best is not None
    assert (rung.cost_usd, rung.best.cost_usd) == (Decimal("2.5"), Decimal(2))


def test_long_prompts_are_compared_at_their_own_rates() -> None:
    for above, less in ((0, "claude-haiku-5-5"), (100_000, None)):
        uses = (_used(_HAIKU, above=above),)
        assert _best(_HAIKU, uses=uses, book=_priced(f"{_HAIKU}:0.40:2,claude-3-haiku:9:9")) == [less]


def test_a_rung_at_an_endpoint_is_compared_there_by_its_price_factor() -> None:
    book = PriceBook({}, factors={"aws": Decimal("1.1")})
    (rung,) = _compared(f"aws/{_OPUS}", uses=(_used(f"aws/{_OPUS}"), _used(_OPUS, attempts=1)), book=book)
    assert rung.best is not None
    assert (rung.best.model, rung.best.cost_usd) == (f"aws/{_NEW_OPUS}", Decimal("6.6"))
    assert (rung.cost_usd, rung.attempts) == (Decimal("8.25"), {"live": 10})


def test_an_endpoint_may_state_a_price_of_its_own_for_the_other_model() -> None:
    book = _priced("aws/claude-opus-6:1:1,google/claude-opus-7:0.1:0.1")
    assert _best(f"aws/{_OPUS}", _OPUS, book=book) == ["aws/claude-opus-6", _NEW_OPUS]
    (rung,) = _compared(f"aws/{_OPUS}", book=book)
    assert "aws/claude-opus-7" not in [one.model for one in rung.candidates]


def test_a_newer_model_comes_before_an_older_one_that_saves_more() -> None:
    assert _best("claude-opus-4-8", book=_priced(f"{_OPUS}:0.10:0.10")) == [_NEW_OPUS]
    assert _best(_NEW_OPUS, book=_priced(f"{_OPUS}:0.10:0.10")) == [_OPUS]


def test_of_equal_costs_the_newest_model_is_named() -> None:
    assert _best(_SONNET) == ["claude-sonnet-5-5"]  # Sonnet 5 has the same rates without a cache


def test_no_model_is_named_that_stands_in_the_chain_ends_or_has_no_room() -> None:
    assert _best(_OPUS, f"{_NEW_OPUS}-20260901") == [None, None]
    assert _best(_OPUS, f"aws/{_NEW_OPUS}") == [_NEW_OPUS, None]
    assert _best(_OPUS, ends={_NEW_OPUS: date(2027, 1, 1)}) == [None]
    assert _best(_OPUS, uses=(_used(_OPUS, longest=1_000_001),)) == [None]


def test_models_that_have_ended_are_no_candidates() -> None:
    (rung,) = _compared(_HAIKU, ends={"claude-3-5-haiku-20241022": date(2026, 2, 19)})
    assert [one.model for one in rung.candidates] == ["claude-haiku-5-5", "claude-3-haiku"]
    assert [one.is_newer for one in rung.candidates] == [True, False]


def test_a_rung_that_ends_has_a_successor_even_at_a_higher_cost() -> None:
    ends = {_OPUS: date(2026, 12, 31)}
    (rung,) = _compared(_OPUS, f"aws/{_OPUS}", book=_priced(f"{_OPUS}:1:1"), ends=ends)[:1]
    assert rung.best is not None
    assert (rung.best.model, (rung.saved_usd(rung.best) or 0) < 0, rung.ends) == (_NEW_OPUS, True, date(2026, 12, 31))
    assert _best(_OPUS, book=_priced(f"{_OPUS}:1:1")) == [None]
    assert _compared(f"aws/{_OPUS}", ends=ends)[0].ends is None  # the list is of Anthropic's own API


def test_a_rung_without_a_price_or_a_family_is_compared_with_nothing() -> None:
    mine, unpriced = _compared("local/qwen3", "claude-opus-1", book=_priced("local/qwen3:0:0"))
    assert (mine.cost_usd, mine.candidates, mine.best) == (Decimal(0), [], None)
    assert (unpriced.cost_usd, unpriced.best) == (None, None)


def test_attempts_without_known_tokens_or_rates_are_counted_and_left_out() -> None:
    fast = Usage(input_tokens=1, output_tokens=1, speed="fast")
    uses = (_used(_OPUS, usage=None, attempts=3), _used(_OPUS, usage=fast, attempts=4))
    (rung,) = _compared(_OPUS, uses=uses)
    assert (rung.is_measured, rung.unmeasured, rung.unrated, rung.attempts.total()) == (False, 3, 4, 0)
    (rung,) = _compared(_OPUS, uses=(*uses, _used(_OPUS)))
    assert (rung.is_measured, rung.unmeasured, rung.unrated, rung.attempts.total()) == (True, 3, 4, 10)


def test_a_price_that_begins_later_is_no_price_today() -> None:
    rates = complete_rates({"input": Decimal(1), "output": Decimal(1)})
    later = Price(model="claude-opus-9", source="prices set", rates=rates, valid_from=date(2027, 1, 1))
    (rung,) = _compared(_OPUS, book=PriceBook({}, {"claude-opus-9": [later]}))
    (unpriced,) = (one for one in rung.candidates if one.model == "claude-opus-9")
    assert (unpriced.cost_usd, rung.saved_usd(unpriced)) == (None, None)
    assert rung.best is not None
    assert rung.best.model == _NEW_OPUS


def test_a_candidate_says_how_often_it_was_called_under_any_of_its_names() -> None:
    (rung,) = _compared(_OPUS, uses=(_used(f"{_NEW_OPUS}-20260901", attempts=5), _used(f"aws/{_NEW_OPUS}")))
    assert rung.best is not None
    assert rung.best.attempts == 5
