"""The most that one request may cost: what is reserved for it until its cost is known."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from models.pricing import WEB_SEARCH_USD_PER_THOUSAND, Prices, Rates

_MILLION = Decimal(1_000_000)
_IMAGE_TOKENS = 6_000  # no image is more, whatever its size: the API scales it down
_TOOL_TOKENS = 2_000  # what the API itself says to a model that has tools
_MORE_PASSES = ("mcp_servers", "fallbacks", "context_management", "container")  # nobody can tell how many


class Estimate(Protocol):
    """Answers what a request may cost at most, in USD; None where nothing bounds it."""

    def __call__(self, model: str, params: Mapping[str, Any]) -> Decimal | None:
        """Estimate one request to one model."""
        ...


def worst_case_usd(
    model: str, params: Mapping[str, Any], prices: Prices, *, window: int | None, at: datetime
) -> Decimal | None:
    """Bound what one request to `model` costs in USD, at the prices of `at`; None where nothing bounds it.

    No token is shorter than a byte, none is read from a cache, and all of `max_tokens` is written; a prompt is never
    longer than the model's `window`, in tokens. A document has as many as fit. With tools that the API runs itself
    (`max_uses` each) the model is passed over once more for each use; without `max_uses` there is no bound.
    """
    price = prices.price(model, at=at, speed=params.get("speed"), inference_geo=params.get("inference_geo"))
    uses, most = _server_uses(params), params.get("max_tokens")
    if price is None or uses is None or type(most) is not int or any(params.get(name) for name in _MORE_PASSES):
        return None
    tokens = window if uses else _prompt_tokens(params, window)
    if tokens is None:
        return None
    dearest = max(_once(tokens, most, rates) for rates in (price.rates, price.rates_for(tokens)))
    return (uses + 1) * dearest + uses * WEB_SEARCH_USD_PER_THOUSAND / 1000


def _once(tokens: int, most: int, rates: Rates) -> Decimal:
    dearest_input = max(rates.input, rates.cache_write_5m, rates.cache_write_1h)
    return (tokens * dearest_input + most * rates.output) / _MILLION


def _prompt_tokens(params: Mapping[str, Any], window: int | None) -> int | None:
    media = list(_media(params.get("messages")))
    if any(block["type"] == "document" for block in media):
        return window
    images = sum(len(json.dumps(block)) for block in media)
    tokens = len(json.dumps(params)) - images + len(media) * _IMAGE_TOKENS
    tokens += _TOOL_TOKENS if params.get("tools") else 0
    return tokens if window is None else min(tokens, window)


def _media(content: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, list):
        for block in content:
            if isinstance(block, dict):
                if block.get("type") in {"image", "document"}:
                    yield block
                else:
                    yield from _media(block.get("content"))


def _server_uses(params: Mapping[str, Any]) -> int | None:
    tools = params.get("tools")
    if not isinstance(tools, list):
        return 0
    # A tool of the caller's own has no type, or is custom: the API ends the reply where it is used.
    served = [tool for tool in tools if isinstance(tool, dict) and tool.get("type") not in {None, "custom"}]
    uses = [tool.get("max_uses") for tool in served]
    known = [count for count in uses if type(count) is int and count >= 0]
    return sum(known) if len(known) == len(uses) else None
