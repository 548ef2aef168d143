"""What the provider would charge for one answer: Decimal parts, rounded once, in integer nano-USD."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulator.catalog import Model, Rates

NANO_PER_TOKEN = 1000  # USD per million tokens -> nano-USD per token
_WEB_SEARCH_NANO = 10_000_000  # $10 per 1,000 searches
_BATCH = Decimal("0.5")
_US = Decimal("1.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The counters of one answer; the four input counters are disjoint."""

    input: int
    output: int
    cache_read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    web_searches: int = 0
    service_tier: str = "standard"
    geo: str = "global"

    @property
    def prompt(self) -> int:
        """All tokens of the prompt, cached or not."""
        return self.input + self.cache_read + self.write_5m + self.write_1h

    def as_api(self) -> dict[str, object]:
        """Spell the counters as the API does."""
        searches = {"web_search_requests": self.web_searches, "web_fetch_requests": 0}
        return {
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.write_5m + self.write_1h,
            "cache_read_input_tokens": self.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.write_5m,
                "ephemeral_1h_input_tokens": self.write_1h,
            },
            "output_tokens": self.output,
            "server_tool_use": searches if self.web_searches else None,
            "service_tier": self.service_tier,
            "inference_geo": self.geo,
        }


def bill(model: Model, usage: Usage) -> int:
    """Charge one answer in nano-USD: half price for the batch tier, 1.1 times for US-only inference.

    Web searches cost the same in every tier and region. Rounded once, half to even.
    """
    rates = _rates_for(model, usage)
    usd_per_million = (
        rates.input * usage.input
        + rates.output * usage.output
        + rates.cache_read * usage.cache_read
        + rates.write_5m * usage.write_5m
        + rates.write_1h * usage.write_1h
    )
    nano = usd_per_million * NANO_PER_TOKEN
    if usage.service_tier == "batch":
        nano *= _BATCH
    if usage.geo == "us":
        nano *= _US
    nano += usage.web_searches * _WEB_SEARCH_NANO
    return int(nano.to_integral_value(rounding=ROUND_HALF_EVEN))


def _rates_for(model: Model, usage: Usage) -> Rates:
    if model.long_rates is not None and usage.prompt > model.long_from:
        return model.long_rates
    return model.rates
