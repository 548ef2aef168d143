"""The provider's charge for an answer: Decimal parts, rounded once, in integer nano-USD."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

from producer.simulator.request.catalog import Model, find

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.simulator.request.catalog import Rates
    from producer.simulator.request.prompt import Ttl

NANO_PER_TOKEN = 1000  # USD per million tokens -> nano-USD per token
_WEB_SEARCH_NANO = 10_000_000  # $10 per 1,000 searches
_BATCH = Decimal("0.5")
_US = Decimal("1.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The counters of an answer; the four input counters are disjoint.

    `further` are passes that the counters leave out: (type, model or None for the answering model, input, output).
    """

    input: int
    output: int
    cache_read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    web_searches: int = 0
    service_tier: str = "standard"
    geo: str = "global"
    further: tuple[tuple[str, str | None, int, int], ...] = ()

    @property
    def prompt(self) -> int:
        """All tokens of the prompt, cached or not."""
        return self.input + self.cache_read + self.write_5m + self.write_1h

    def as_api(self) -> dict[str, object]:
        """Spell the counters as the API does."""
        searches = {"web_search_requests": self.web_searches, "web_fetch_requests": 0}
        said: dict[str, object] = {
            **self.tokens(),
            "server_tool_use": searches if self.web_searches else None,
            "service_tier": self.service_tier,
            "inference_geo": self.geo,
        }
        if self.further:
            said["iterations"] = [{"type": "message", **self.tokens()}, *self._iterations()]
        return said

    def tokens(self) -> dict[str, object]:
        """Spell the counters of tokens alone."""
        return {
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.write_5m + self.write_1h,
            "cache_read_input_tokens": self.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.write_5m,
                "ephemeral_1h_input_tokens": self.write_1h,
            },
            "output_tokens": self.output,
        }

    def _iterations(self) -> list[dict[str, object]]:
        return [
            {"type": kind, **({} if model is None else {"model": model}), **Usage(input=read, output=wrote).tokens()}
            for kind, model, read, wrote in self.further
        ]


def from_api(raw: Mapping[str, Any]) -> Usage:
    """Read the counters of the purchase log again."""
    return Usage(
        input=raw["input_tokens"],
        output=raw["output_tokens"],
        cache_read=raw["cache_read_input_tokens"],
        write_5m=raw["cache_creation"]["ephemeral_5m_input_tokens"],
        write_1h=raw["cache_creation"]["ephemeral_1h_input_tokens"],
        web_searches=(raw["server_tool_use"] or {}).get("web_search_requests", 0),
        service_tier=raw["service_tier"],
        geo=raw["inference_geo"],
        further=tuple(
            (each["type"], each.get("model"), each["input_tokens"], each["output_tokens"])
            for each in raw.get("iterations", ())[1:]
        ),
    )


def honest(told: Mapping[str, Any], own: Usage, ttl: Ttl | None = None) -> Usage:
    """Return the usage that is charged for made-up counters: the larger of a total and its parts.

    A counter that is null or left out is the answer's own. Tokens written without a lifetime have `ttl`, the longest
    that the request asks for, else 5 minutes.
    """

    def count(table: Mapping[str, Any], name: str, otherwise: int) -> int:
        value = table.get(name)
        return otherwise if value is None else int(value)

    parts, searches = told.get("cache_creation") or {}, told.get("server_tool_use") or {}
    write_5m = count(parts, "ephemeral_5m_input_tokens", own.write_5m)
    write_1h = count(parts, "ephemeral_1h_input_tokens", own.write_1h)
    rest = max(0, count(told, "cache_creation_input_tokens", 0) - write_5m - write_1h)
    thought = count(told.get("output_tokens_details") or {}, "thinking_tokens", 0)
    return replace(
        own,
        input=count(told, "input_tokens", own.input),
        output=max(count(told, "output_tokens", own.output), thought),
        cache_read=count(told, "cache_read_input_tokens", own.cache_read),
        write_5m=write_5m + rest * (ttl != "1h"),
        write_1h=write_1h + rest * (ttl == "1h"),
        web_searches=count(searches, "web_search_requests", own.web_searches),
        service_tier=told.get("service_tier") or own.service_tier,
        geo=told.get("inference_geo") or own.geo,
        further=_further(told.get("iterations") or []) or own.further,
    )


def _further(iterations: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str | None, int, int], ...]:
    """List the passes that the totals do not count: all but the last message."""
    messages = [at for at, each in enumerate(iterations) if each["type"] == "message"]
    return tuple(
        (each["type"], each.get("model"), int(each["input_tokens"]), int(each["output_tokens"]))
        for at, each in enumerate(iterations)
        if at not in messages[-1:]
    )


def passes(model: Model, usage: Usage) -> list[tuple[Model, Usage]]:
    """Split an answer into the passes that are charged, the answering model's own first."""
    each = [(model, replace(usage, further=()))]
    for _, name, read, wrote in usage.further:
        charged = Usage(input=read, output=wrote, service_tier=usage.service_tier, geo=usage.geo)
        each.append((find(name or "") or model, charged))
    return each


def bill(model: Model, usage: Usage) -> int:
    """Charge an answer in nano-USD: half price for the batch tier, 1.1 times for US-only inference.

    Web searches cost the same in every tier and region. The sum is rounded once, half to even.
    """
    nano = sum((nano for each in passes(model, usage) for nano in charges(*each).values()), Decimal(0))
    return int(nano.to_integral_value(rounding=ROUND_HALF_EVEN))


def charges(model: Model, usage: Usage) -> dict[str, Decimal]:
    """Charge a pass, exactly, in nano-USD by the report's names of charges."""
    rates = _rates_for(model, usage)
    factor = NANO_PER_TOKEN * (_BATCH if usage.service_tier == "batch" else 1) * (_US if usage.geo == "us" else 1)
    return {
        "uncached_input_tokens": rates.input * usage.input * factor,
        "cache_read_input_tokens": rates.cache_read * usage.cache_read * factor,
        "cache_creation.ephemeral_5m_input_tokens": rates.write_5m * usage.write_5m * factor,
        "cache_creation.ephemeral_1h_input_tokens": rates.write_1h * usage.write_1h * factor,
        "output_tokens": rates.output * usage.output * factor,
        "web_search": Decimal(usage.web_searches * _WEB_SEARCH_NANO),
    }


def _rates_for(model: Model, usage: Usage) -> Rates:
    if model.long_rates is not None and usage.prompt > model.long_from:
        return model.long_rates
    return model.rates
