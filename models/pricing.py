"""Money, exactly: what a usage costs at a price. Decimal throughout, rounded once per attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from models.errors import Mistake, SettingsError

NANO_USD = Decimal("0.000000001")
_MILLION = Decimal(1_000_000)
_THOUSAND = Decimal(1_000)
WEB_SEARCH_USD_PER_THOUSAND = Decimal(10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one reply. The four input counters are disjoint; none contains another.

    `thinking_tokens` is the part of `output_tokens` spent on reasoning, shown but not priced again.
    `raw` is the reply's own usage object: counters unknown today survive in it.
    """

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    thinking_tokens: int | None = None
    web_searches: int = 0
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not: what a price tier is chosen by."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """USD per million tokens of each kind."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal

    def times(self, factor: Decimal) -> "Rates":
        """Scale every rate, as a service tier or a region does."""
        return Rates(**{rate.name: getattr(self, rate.name) * factor for rate in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one model costs: base rates, and rates for prompts above a number of tokens.

    A tier applies to every token of a request whose prompt is longer than its threshold.
    """

    model: str
    source: str
    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()

    def rates_for(self, prompt_tokens: int) -> Rates:
        """Choose the rates by the length of the prompt, in tokens."""
        reached = [rates for threshold, rates in self.tiers if prompt_tokens > threshold]
        return reached[-1] if reached else self.rates


def worst_case_usd(price: Price, *, prompt_bytes: int, max_tokens: int) -> Decimal:
    """Bound what one request may cost in USD: no token is shorter than a byte, and none of it is cached."""
    rates = price.rates_for(prompt_bytes)
    dearest_input = max(rates.input, rates.cache_write_5m, rates.cache_write_1h)
    return (prompt_bytes * dearest_input + max_tokens * rates.output) / _MILLION


def cost_usd(usage: Usage, price: Price) -> Decimal:
    """Add up one reply's parts in USD and round once, half-even, to the nano-dollar.

    >>> rates = Rates(input=Decimal(3), output=Decimal(15), cache_read=Decimal("0.3"),
    ...               cache_write_5m=Decimal("3.75"), cache_write_1h=Decimal(6))
    >>> cost_usd(Usage(input_tokens=1000, output_tokens=10), Price(model="m", source="s", rates=rates))
    Decimal('0.003150000')
    """
    rates = price.rates_for(usage.prompt_tokens)
    per_million = (
        usage.input_tokens * rates.input
        + usage.output_tokens * rates.output
        + usage.cache_read_tokens * rates.cache_read
        + usage.cache_write_5m_tokens * rates.cache_write_5m
        + usage.cache_write_1h_tokens * rates.cache_write_1h
    )
    total = per_million / _MILLION + usage.web_searches * WEB_SEARCH_USD_PER_THOUSAND / _THOUSAND
    return total.quantize(NANO_USD, rounding=ROUND_HALF_EVEN)


def parse_costs(text: str) -> dict[str, Price]:
    """Read MODEL_COSTS: model:in:out[:cache_read[:write_5m[:write_1h]]] by comma, USD per million tokens.

    Cache rates that are not given are 0.1, 1.25 and 2 times the input rate; `source` says so.
    """
    prices: dict[str, Price] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        model, *rates = (part.strip() for part in entry.split(":"))
        if not model or not 2 <= len(rates) <= 5:  # noqa: PLR2004 - the shape in the docstring
            raise _wrong(entry, "write model:input:output[:cache_read[:write_5m[:write_1h]]]")
        if model in prices:
            raise _wrong(entry, f"{model} is named twice")
        prices[model] = _override(model, [_rate(entry, rate) for rate in rates])
    return prices


def _override(model: str, given: list[Decimal]) -> Price:
    paid_in = given[0]
    derived = [paid_in, given[1], paid_in * Decimal("0.1"), paid_in * Decimal("1.25"), paid_in * 2]
    complete = len(given) == len(derived)
    read, write_5m, write_1h = [*given, *derived[len(given) :]][2:]
    return Price(
        model=model,
        source="MODEL_COSTS" if complete else "MODEL_COSTS, cache rates derived from input",
        rates=Rates(input=paid_in, output=given[1], cache_read=read, cache_write_5m=write_5m, cache_write_1h=write_1h),
    )


def _rate(entry: str, text: str) -> Decimal:
    try:
        rate = Decimal(text)
    except InvalidOperation:
        raise _wrong(entry, f"{text!r} is not a number of USD per million tokens") from None
    # Finer or larger ones could not be kept in nano-dollars, in 64 bits.
    if not rate.is_finite() or not 0 <= rate <= _MILLION or round(rate, 6) != rate:
        raise _wrong(entry, f"{text!r} should be from 0 to 1000000 USD per million tokens, with at most 6 decimals")
    return rate


def _wrong(entry: str, fix: str) -> SettingsError:
    return SettingsError([Mistake(variable="MODEL_COSTS", value=entry, fix=fix)])
