"""What a request will need, before anybody has counted: its tokens against the limits, its cost warm and cold."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from models.facts import Facts
from models.prefix import prefix_tokens
from models.pricing import Prices, cost_usd
from models.size import size_of, usual_tokens
from models.usage import Usage

_PART_THAT_IS_WRITTEN = 4  # of max_tokens: a guess, put right by the reply


def uncached_tokens(params: Mapping[str, Any], *, is_warm: bool) -> int:
    """Guess what of a prompt counts against the limit of input tokens: what is read from a warm cache does not.

    `is_warm`: system and tools will be read from the cache. What is written to it counts.
    """
    tokens = usual_tokens(size_of(params))
    return max(1, tokens - prefix_tokens(params)) if is_warm else max(1, tokens)


def expected_output(params: Mapping[str, Any]) -> int:
    """Guess how many tokens will be written: a quarter of what is allowed, at least one.

    >>> expected_output({"max_tokens": 1024})
    256
    """
    most = params.get("max_tokens")
    return max(1, most // _PART_THAT_IS_WRITTEN) if type(most) is int else 1


def is_dearer(
    params: Mapping[str, Any], *, warm: str, cold: Facts, prices: Prices, at: datetime, output_tokens: int | None = None
) -> bool:
    """Tell whether a job whose beginning is in the cache of `warm` would cost more on another model, whose is cold.

    There its beginning is written to the cache, where it is long enough for one, else read as plain input.
    `output_tokens` is what it will write, where that is known better than expected_output. Without a price for
    both, no: nobody can tell.
    """
    prefix, rest = prefix_tokens(params), uncached_tokens(params, is_warm=True)
    written = expected_output(params) if output_tokens is None else output_tokens
    is_kept = prefix >= cold.smallest_prefix
    reading = Usage(input_tokens=rest, cache_read_tokens=prefix, output_tokens=written)
    writing = Usage(
        input_tokens=rest if is_kept else rest + prefix,
        cache_write_5m_tokens=prefix if is_kept else 0,
        output_tokens=written,
    )
    stays, moves = _cost_usd(reading, warm, prices, at), _cost_usd(writing, cold.model, prices, at)
    return stays is not None and moves is not None and moves > stays


def _cost_usd(usage: Usage, model: str, prices: Prices, at: datetime) -> Decimal | None:
    price = prices.price(model, at=at)
    return None if price is None else cost_usd(usage, price)
