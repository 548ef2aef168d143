"""No request costs more than its bound, and what has no bound is said to have none."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money.price_book import PriceBook, context_window
from models.money.pricing import cost_usd, parse_costs
from models.money.usage import Usage
from models.money.worst_case import why_unbounded, worst_case_usd

_OPUS, _HAIKU = "claude-opus-4-7", "claude-haiku-5-5"
_NOW = datetime(2026, 11, 25, tzinfo=UTC)
_BOOK = PriceBook({})


def _request(content: Any = "Summarize: harbours.", **more: Any) -> dict[str, Any]:
    return {"max_tokens": 1000, "messages": [{"role": "user", "content": content}], **more}


def _bound(request: dict[str, Any], model: str = _OPUS, *, window: int | None = 1_000_000) -> Decimal | None:
    return worst_case_usd(model, request, _BOOK, window=window, at=_NOW)


def test_a_plain_prompt_is_bounded_by_its_bytes_at_the_dearest_input_and_all_of_its_output() -> None:
    request = _request()
    assert _bound(request) == (len(json.dumps(request)) * Decimal(10) + 1000 * Decimal(25)) / 1_000_000


@given(
    prompt=st.text(max_size=400),
    counts=st.lists(st.integers(0, 400), min_size=4, max_size=4),
    output=st.integers(0, 1000),
    model=st.sampled_from([_OPUS, _HAIKU, "claude-sonnet-4-6"]),
)
def test_whatever_its_tokens_are_counted_as_no_reply_costs_more(
    prompt: str, counts: list[int], output: int, model: str
) -> None:
    request = _request(prompt)
    price, bound = _BOOK.price(model, at=_NOW), _bound(request, model)
    assert price is not None
    assert bound is not None
    most = len(json.dumps(request))
    fresh, read, short, long = (min(count, most // 4) for count in counts)
    usage = Usage(
        input_tokens=fresh,
        cache_read_tokens=read,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        output_tokens=output,
    )
    assert cost_usd(usage, price) <= bound


def test_a_bound_is_whole_nano_dollars_rounded_up() -> None:
    fine = PriceBook(parse_costs("fine:0.12345:0.5"))
    bound = worst_case_usd("fine", _request(), fine, window=None, at=_NOW)
    assert bound is not None
    exact = (len(json.dumps(_request())) * Decimal("0.2469") + 1000 * Decimal("0.5")) / 1_000_000
    assert 0 <= bound - exact < Decimal("1e-9")
    assert bound == round(bound, 9)


def test_a_cache_that_is_dearer_to_read_than_to_write_is_counted() -> None:
    odd = PriceBook(parse_costs("odd:1:2:50:1:1"))
    bound = worst_case_usd("odd", _request("x" * 1000), odd, window=None, at=_NOW)
    assert bound is not None
    assert bound > Decimal("0.05")


def test_a_prompt_is_never_longer_than_the_models_window() -> None:
    assert _bound(_request("x" * 400_000), window=1000) == (1000 * Decimal(10) + 25_000) / 1_000_000


def test_a_long_prompt_is_bounded_at_the_price_of_a_long_one() -> None:
    window = context_window(_HAIKU)
    short, long = _bound(_request("x" * 90_000), _HAIKU), _bound(_request("x" * 110_000), _HAIKU, window=window)
    assert short is not None
    assert long is not None
    assert long > 4 * short


def test_an_image_is_bounded_by_what_an_image_may_be_and_not_by_its_bytes() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 1_000_000}
    image, url = {"type": "image", "source": source}, {"type": "image", "source": {"type": "url", "url": "https://x/y"}}
    assert _bound(_request([image])) == _bound(_request([url]))
    nested = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    assert Decimal("0.08") < (_bound(_request([nested])) or 0) < Decimal("0.1")


def test_a_document_may_fill_the_window() -> None:
    document = {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}
    assert _bound(_request([document])) == (1_000_000 * Decimal(10) + 25_000) / 1_000_000
    assert _bound(_request([document]), window=None) is None
    fetched = {"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "content": document}}
    assert _bound(_request([fetched])) == _bound(_request([document]))


def test_tools_that_the_api_runs_are_bounded_by_their_uses() -> None:
    search = {"type": "web_search_20260209", "name": "web_search", "max_uses": 3}
    once = (1000 * Decimal(10) + 25_000) / 1_000_000
    assert _bound(_request(tools=[search]), window=1000) == 4 * once + 3 * Decimal("0.01")


def test_tools_of_the_callers_own_end_the_reply_and_cost_what_the_api_says_of_them() -> None:
    own, plain = _bound(_request(tools=[{"name": "weather", "input_schema": {"type": "object"}}])), _bound(_request())
    assert own is not None
    assert plain is not None
    assert Decimal("0.02") < own - plain < Decimal("0.03")
    assert _bound(_request(tools=[{"type": "bash_20250124", "name": "bash"}])) is not None
    assert _bound(_request([{"type": ["image"]}])) is not None


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (
            _request(tools=[{"name": "look"}, {"type": "web_search_20260209", "name": "web_search"}]),
            "tools[1].max_uses",
        ),
        (_request(mcp_servers=[{"type": "url", "url": "https://x"}]), "mcp_servers"),
        (_request(fallbacks=[{"model": "claude-opus-4-8"}]), "fallbacks"),
        (_request(context_management={"edits": []}), "context_management"),
        (_request(container="container_1"), "container"),
        (_request(speed="fast"), "speed"),
        (_request(speed=["fast"]), "speed"),
        (_request(inference_geo={}), "inference_geo"),
        (_request(tools=[{"type": ["web_search"]}]), "tools[0].max_uses"),
        (_request(tools=[{"type": "web_search_20260209", "max_uses": -5}]), "tools[0].max_uses"),
        (
            _request(tools=[{"type": "advisor_20260301", "name": "a", "model": "claude-opus-4-8", "max_uses": 2}]),
            "tools[0].model",
        ),
        (_request() | {"max_tokens": 10**15}, "it has no price here, or"),
        ({"messages": []}, "max_tokens"),
    ],
)
def test_what_nothing_bounds_has_no_bound_and_is_told_its_field(request_: dict[str, Any], field: str) -> None:
    assert _bound(request_) is None
    assert why_unbounded(request_).startswith(field)


def test_a_model_without_a_price_has_no_bound() -> None:
    assert _bound(_request(), "claude-of-tomorrow") is None
    assert why_unbounded(_request()).startswith("it has no price here")


def test_us_inference_costs_more_at_most_too() -> None:
    plain, american = _bound(_request()), _bound(_request(inference_geo="us"))
    assert plain is not None
    assert american is not None
    assert american > plain * Decimal("1.1")
