"""The most that one request may cost: what is reserved for it until its cost is known."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any, Protocol

from models.pricing import NANO_USD, WEB_SEARCH_USD_PER_THOUSAND, Prices, Rates

_MILLION = Decimal(1_000_000)
_MOST_USD = Decimal(1_000_000_000)  # what is dearer is no bound, and would not fit into 64 bits of nano-dollars
_IMAGE_TOKENS = 6_000  # no image is more, whatever its size: the API scales it down
_TOOL_TOKENS = 2_000  # what the API itself says to a model that has tools
_MORE_PASSES = ("mcp_servers", "fallbacks", "context_management", "container")  # nobody can tell how many
_CALLERS_OWN = ("bash_", "text_editor_", "computer_", "memory_")  # tools of the API's that the caller runs


class WorstCase(Protocol):
    """Answers what a request may cost at most, in USD; None where nothing bounds it."""

    def __call__(self, model: str, params: Mapping[str, Any]) -> Decimal | None:
        """Bound one request to one model."""
        ...


def worst_case_usd(
    model: str, params: Mapping[str, Any], prices: Prices, *, window: int | None, at: datetime
) -> Decimal | None:
    """Bound what one request to `model` costs in USD, at the prices of `at`; None where nothing bounds it.

    No token is shorter than a byte, each is charged at the dearest rate there is for input, and all of `max_tokens` is
    written; a prompt is never longer than the model's `window`, in tokens. A document has as many as fit. With tools
    that the API runs itself (`max_uses` each) the model is passed over once more for each use; without `max_uses` there
    is no bound.
    """
    if _unbounded(params) is not None:
        return None
    most, uses = params["max_tokens"], sum(tool["max_uses"] for _, tool in _served(params))
    price = prices.price(model, at=at, speed=params.get("speed"), inference_geo=params.get("inference_geo"))
    tokens = window if uses else _prompt_tokens(params, window)
    if price is None or tokens is None:
        return None
    dearest = max(_once(tokens, most, rates) for rates in (price.rates, price.rates_for(tokens)))
    worst = (uses + 1) * dearest + uses * WEB_SEARCH_USD_PER_THOUSAND / 1000
    return worst.quantize(NANO_USD, rounding=ROUND_CEILING) if worst <= _MOST_USD else None


def why_unbounded(params: Mapping[str, Any]) -> str:
    """Say why nothing bounds what a request may cost: which field it is, and what would be right."""
    if (why := _unbounded(params)) is not None:
        return why
    speed = params.get("speed")
    if speed not in {None, "standard"}:
        return f"speed: {speed} has no price here; leave it out"
    return f"it has no price here, or a document and no window that is known, or would cost more than ${_MOST_USD:,}"


def _unbounded(params: Mapping[str, Any]) -> str | None:
    for name in _MORE_PASSES:
        if params.get(name):
            return f"{name}: nobody can tell how often it has the model pass over the prompt; leave it out"
    if type(params.get("max_tokens")) is not int:
        return "max_tokens: should be a whole number"
    for name in ("speed", "inference_geo"):
        if not isinstance(params.get(name), str | None):
            return f"{name}: should be text"
    for place, tool in _served(params):
        if "model" in tool:
            return f"tools[{place}].model: another model is asked on the way, at its own price; leave the tool out"
        uses = tool.get("max_uses")
        if not (type(uses) is int and uses >= 0):
            return f"tools[{place}].max_uses: give a whole number: the API runs this tool as often as it likes"
    return None


def _once(tokens: int, most: int, rates: Rates) -> Decimal:
    dearest_input = max(rates.input, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h)
    return (tokens * dearest_input + most * rates.output) / _MILLION


def _prompt_tokens(params: Mapping[str, Any], window: int | None) -> int | None:
    media = list(_media([params.get("messages"), params.get("system")]))
    if any(block["type"] == "document" for block in media):
        return window
    images = sum(len(json.dumps(block)) for block in media)
    tokens = len(json.dumps(params)) - images + len(media) * _IMAGE_TOKENS
    tokens += _TOOL_TOKENS if params.get("tools") else 0
    return tokens if window is None else min(tokens, window)


def _media(content: object) -> Iterator[Mapping[str, Any]]:
    """Find images and documents, also in what a tool found."""
    if isinstance(content, dict):
        if content.get("type") in ("image", "document"):
            yield content
        else:
            yield from _media(list(content.values()))
    elif isinstance(content, list):
        for part in content:
            yield from _media(part)


def _served(params: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """List the tools that the API runs itself, with their places."""
    tools = params.get("tools")
    known = enumerate(tools) if isinstance(tools, list) else ()
    return [(place, tool) for place, tool in known if isinstance(tool, dict) and not _is_callers_own(tool)]


def _is_callers_own(tool: Mapping[str, Any]) -> bool:
    kind = tool.get("type")
    return kind is None or kind == "custom" or (isinstance(kind, str) and kind.startswith(_CALLERS_OWN))
