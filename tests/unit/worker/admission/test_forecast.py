"""What a request needs, and whether another model's cold cache is dearer than this one's warm one."""

from datetime import UTC, datetime
from typing import Any

import pytest

from models.chain.capabilities import capabilities_of
from models.money.price_book import PriceBook
from models.money.pricing import parse_costs
from models.money.usage import Usage
from tests.support.plays.walk_scene import HAIKU, OPUS, SONNET
from worker.admission.forecast import Forecast, is_dearer

_NOW = datetime(2026, 11, 25, tzinfo=UTC)
_BOOK = PriceBook(parse_costs(f"{OPUS}:5:25,{SONNET}:3:15,{HAIKU}:1:5"))


def _params(prefix: int, rest: int) -> dict[str, Any]:
    """Make a prompt of so many tokens, at 3.5 characters each."""
    return {
        "max_tokens": 3200,
        "system": "x" * (prefix * 7 // 2),
        "messages": [{"role": "user", "content": "x" * (rest * 7 // 2)}],
    }


def _is_dearer(prefix: int, cold: str, *, warm: str = OPUS, rest: int = 1000, book: PriceBook = _BOOK) -> bool:
    params, expected = _params(prefix, rest), Forecast()
    for model in (warm, cold):
        expected.learn(model, {"max_tokens": 3200}, Usage(input_tokens=0, output_tokens=1600))
    stays, moves = (expected.tokens(model, params, is_warm=True) for model in (warm, cold))
    return is_dearer(stays, moves, warm=warm, cold=capabilities_of(cold), prices=book, at=_NOW)


def test_a_cold_cheaper_model_is_dearer_than_a_warm_beginning_of_fifty_thousand_tokens() -> None:
    # ledger.md, section 3: $0.050 on warm opus; $0.203 written to sonnet's cache.
    assert _is_dearer(50_000, SONNET)
    assert _is_dearer(50_000, HAIKU)  # $0.0675: written at 1.25 times its rate


def test_without_a_long_beginning_the_cheaper_model_is_the_cheaper_one() -> None:
    assert not _is_dearer(2_000, SONNET)
    assert not _is_dearer(30_000, HAIKU)
    assert not _is_dearer(0, SONNET)


def test_a_beginning_too_short_for_the_other_models_cache_is_plain_input_there() -> None:
    # 4,000 tokens are no prefix to haiku: at its plain rate, $0.009 against $0.027; at sonnet's own price it is dearer.
    dear_haiku = PriceBook(parse_costs(f"{OPUS}:5:25,{HAIKU}:5:25"))
    cheap_haiku = PriceBook(parse_costs(f"{OPUS}:5:25,{HAIKU}:1:5"))
    for book, expected in ((dear_haiku, True), (cheap_haiku, False)):
        assert _is_dearer(4_000, HAIKU, book=book) is expected


def test_where_a_price_is_unknown_nobody_can_tell() -> None:
    assert not _is_dearer(50_000, "a-model-nobody-knows")
    assert not _is_dearer(50_000, SONNET, warm="a-model-nobody-knows")


@pytest.mark.parametrize(("is_warm", "uncached", "cached"), [(False, 6000, 0), (True, 1000, 5000)])
def test_what_a_warm_cache_holds_does_not_count_against_the_limit(is_warm: bool, uncached: int, cached: int) -> None:
    tokens = Forecast().tokens(OPUS, _params(5000, 1000), is_warm=is_warm)
    assert (tokens.input, tokens.cached) == (uncached + 1, cached)


def test_a_prompt_needs_one_token_at_least_and_a_picture_many() -> None:
    assert Forecast().tokens(OPUS, {"messages": []}, is_warm=True).input == 1
    picture = {"messages": [{"role": "user", "content": [{"type": "image", "source": {"data": "x" * 9_000_000}}]}]}
    assert Forecast().tokens(OPUS, picture).input == 1601
