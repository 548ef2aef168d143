"""The tokens of each rung are summed by price, and cost with another model as much as attempt by attempt."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from models.money.price_book import PriceBook
from models.money.pricing import Price, complete_rates, parts_usd
from models.money.usage import Usage
from models.reports.cheaper_models import TokenUse, TokenUses, compare, thresholds_of
from models.schema.attempt import Attempt
from tests.support.ledgers.half_price_lane import book_message_batch
from tests.support.ledgers.small_ledger import HAIKU, OPUS, SONNET, attempt_row, book

_START, _NOW = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 11, 25, 12, tzinfo=UTC)
_LONG, _TIERED = 100_000, "claude-haiku-5-5"  # the prompt length at which its rates change
_CACHED = {"cache_read_tokens": 30_000, "cache_write_5m_tokens": 400, "cache_write_1h_tokens": 50, "web_searches": 3}


def _tokens(input_tokens: int, **more: Any) -> dict[str, Any]:
    return {"input_tokens": input_tokens, "output_tokens": 700, **dict.fromkeys(_CACHED, 0), **more}


# Each attempt of Haiku on a day of May: its tokens, and the values of its price.
_HAIKUS: tuple[dict[str, Any], ...] = (
    _tokens(_LONG),
    _tokens(_LONG + 1),
    _tokens(200_001),
    _tokens(_LONG - 30_450, **_CACHED),
    _tokens(_LONG - 30_449, **_CACHED),
    _tokens(9_000, service_tier="batch", message_batch_id="mb"),
    _tokens(8_000, service_tier="batch", message_batch_id="mb"),
    _tokens(7_000, service_tier="standard", inference_geo="us"),
    _tokens(6_000, service_tier="standard", speed="fast"),
)


@pytest.fixture
def uses(engine: Engine) -> list[TokenUse]:
    """Sum a small ledger by hand, with more attempts of Haiku."""
    book(engine)
    with engine.begin() as connection:
        book_message_batch(connection, "mb", _START, sent_at=0, ended_at=60)
        for number, values in enumerate(_HAIKUS, start=10):
            more = {"attempt_no": number, "requested_model": HAIKU, "cost_nano_usd": 1_000_000, **values}
            connection.execute(
                insert(Attempt).values(**attempt_row(f"h{number}", "plain", None, "05-01 08:00:00", **more))
            )
        part = {"cost_nano_usd": None, "cost_status": "at_least", "least_nano_usd": 7, **_tokens(1)}
        row = attempt_row("part", "plain", None, "05-01 08:00:00", **part, attempt_no=99, requested_model=HAIKU)
        connection.execute(insert(Attempt).values(**row))
    return TokenUses(engine).since(_START, [_LONG, 200_000])


def _of(uses: list[TokenUse], rung: str) -> list[TokenUse]:
    return [use for use in uses if use.rung == rung]


def test_billed_attempts_are_summed_and_those_without_all_tokens_are_counted(uses: list[TokenUse]) -> None:
    # Of Opus: four calls were billed, two were cut, two are open, and one was free.
    counts = {use.usage is not None: use.attempts for use in _of(uses, OPUS)}
    assert counts == {True: 4, False: 4}
    (whole,) = (use for use in _of(uses, OPUS) if use.usage is not None)
    assert whole.usage == Usage(input_tokens=4000, output_tokens=800)
    assert (whole.paid_usd, whole.longest, whole.above) == (Decimal("0.0213"), 1200, 0)
    # A cost was corrected twice. One answer lacks its cache tokens: unknown is not 0.
    paid = {use.usage is not None: (use.attempts, use.paid_usd) for use in _of(uses, SONNET)}
    assert paid == {True: (2, Decimal("0.007")), False: (1, Decimal("0.007"))}


def test_sums_are_apart_by_threshold_lane_and_the_values_of_a_price(uses: list[TokenUse]) -> None:
    haikus = [use for use in _of(uses, HAIKU) if use.usage is not None]
    counts = {
        (use.above, use.lane, use.usage.inference_geo, use.usage.speed): use.attempts for use in haikus if use.usage
    }
    assert counts == {
        (0, "live", None, None): 4,  # the two of the small ledger among them
        (_LONG, "live", None, None): 2,
        (200_000, "live", None, None): 1,
        (0, "half_price", None, None): 2,
        (0, "live", "us", None): 1,
        (0, "live", None, "fast"): 1,
    }
    assert {use.attempts for use in _of(uses, HAIKU) if use.usage is None} == {1}  # the broken stream


def test_the_sums_cost_with_another_model_as_much_as_its_attempts_one_by_one(uses: list[TokenUse]) -> None:
    book = PriceBook({})
    (rung,) = compare([HAIKU], uses, book, {}, now=_NOW)
    small = [{"cache_read_tokens": 7, "cache_write_5m_tokens": 8, "cache_write_1h_tokens": 9, "web_searches": 2}, {}]
    attempts = [*_HAIKUS, *(_tokens(1000, **{"output_tokens": 200, **more}) for more in small)]
    assert rung.unrated == 1
    for model, total in ((HAIKU, rung.cost_usd), (_TIERED, rung.candidates[0].cost_usd)):
        each = [{name: value for name, value in one.items() if name != "message_batch_id"} for one in attempts]
        usages = [Usage(**one) for one in each if one.get("speed") is None]
        prices = [book.price(model, at=_NOW, **usage.tier) for usage in usages]
        known = [(usage, price) for usage, price in zip(usages, prices, strict=True) if price is not None]
        assert len(known) == 10
        assert total == sum(parts_usd(usage, price).total for usage, price in known)
    assert rung.candidates[0].model == _TIERED
    assert rung.attempts == {"live": 8, "half_price": 2}


def test_attempts_before_the_first_day_are_left_out(engine: Engine) -> None:
    book(engine)
    assert TokenUses(engine).since(datetime(2026, 4, 2, tzinfo=UTC), []) == []
    later = TokenUses(engine).since(datetime(2026, 4, 1, 12, tzinfo=UTC), [])
    assert sorted((use.rung, use.attempts) for use in later) == [(HAIKU, 1), (OPUS, 1)]


def test_thresholds_are_those_of_the_rungs_and_of_their_candidates() -> None:
    rates = complete_rates({"input": Decimal(1), "output": Decimal(5)})
    own = Price(model="claude-opus-9", source="prices set", rates=rates, tiers=((5_000, rates),))
    assert thresholds_of(PriceBook({}), ["claude-haiku-4-5"], now=_NOW) == {_LONG}
    assert thresholds_of(PriceBook({}, {"claude-opus-9": [own]}), ["claude-opus-4-7"], now=_NOW) == {5_000}
