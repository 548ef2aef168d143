"""Money, exactly: the cost of a usage at a price. Decimal throughout, rounded once per attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Protocol

from models.errors import Mistake, SettingsError
from models.money.usage import Usage, passes
from models.rung_name import endpoint_of, named_at

NANO_USD = Decimal("0.000000001")
_MILLION = Decimal(1_000_000)
_THOUSAND = Decimal(1_000)
_ZERO = Decimal(0)
_LINE = 200
WEB_SEARCH_USD_PER_THOUSAND = Decimal(10)
DERIVED = ", cache rates derived from input"  # the words in a source of which some cache rates were not given
_DERIVED_FACTORS = {"cache_read": Decimal("0.1"), "cache_write_5m": Decimal("1.25"), "cache_write_1h": Decimal(2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """USD per million tokens of each kind."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal

    def times(self, factor: Decimal) -> "Rates":
        """Return the rates times a factor, such as that of a service tier or a region."""
        return Rates(**{rate.name: getattr(self, rate.name) * factor for rate in fields(self)})


KINDS = tuple(rate.name for rate in fields(Rates))


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one model: base rates, and rates for prompts above a number of tokens.

    A tier applies to every token of a request whose prompt is longer than its threshold. `valid_from` is the UTC day on
    which the price begins, None if the price has no date.
    """

    model: str
    source: str
    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    valid_from: date | None = None

    def rates_for(self, prompt_tokens: int) -> Rates:
        """Return the rates for a prompt of this length, in tokens."""
        reached = [rates for threshold, rates in self.tiers if prompt_tokens > threshold]
        return reached[-1] if reached else self.rates

    def source_for(self, prompt_tokens: int) -> str:
        """Return the source of those rates, with the threshold that was passed."""
        reached = [threshold for threshold, _ in self.tiers if prompt_tokens > threshold]
        return f"{self.source}, prompt above {reached[-1]}" if reached else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The cost of one reply in USD, by kind of token."""

    input: Decimal = _ZERO
    cache_read: Decimal = _ZERO
    cache_write_5m: Decimal = _ZERO
    cache_write_1h: Decimal = _ZERO
    output: Decimal = _ZERO
    web_search: Decimal = _ZERO

    @property
    def total(self) -> Decimal:
        """The sum of all parts."""
        return sum(self._each().values(), _ZERO)

    def plus(self, other: "Parts") -> "Parts":
        """Return the sums with another reply's parts, part by part."""
        return Parts(**{name: part + getattr(other, name) for name, part in self._each().items()})

    def rounded(self) -> "Parts":
        """Return parts rounded to nano-dollars that still sum to the total, which is rounded once, half-even.

        >>> odd = Parts(input=Decimal("0.0000000015"), output=Decimal("0.0000000015"))
        >>> odd.rounded().total
        Decimal('3E-9')
        """
        down = {name: part.quantize(NANO_USD, rounding=ROUND_DOWN) for name, part in self._each().items()}
        short = self.total.quantize(NANO_USD, rounding=ROUND_HALF_EVEN) - sum(down.values(), _ZERO)
        by_loss = sorted(down, key=lambda name: down[name] - getattr(self, name))
        for name in by_loss[: int(short / NANO_USD)]:
            down[name] += NANO_USD
        return Parts(**down)

    def _each(self) -> dict[str, Decimal]:
        return {part.name: getattr(self, part.name) for part in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """The rounded cost of a reply, and the prices behind the cost."""

    parts: Parts
    source: str


class Prices(Protocol):
    """Answers the price of a model at a time, or None if nobody knows the price."""

    def price(
        self,
        model: str,
        *,
        at: datetime,
        service_tier: str | None = None,
        speed: str | None = None,
        inference_geo: str | None = None,
    ) -> Price | None:
        """Return the price for the values that a reply names."""


def priced(usage: Usage, served_model: str, prices: Prices, *, at: datetime) -> Priced | None:
    """Price each pass of a reply by its own model, at the reply's tier, speed and region, and round once.

    Returns None if a pass has no price at the UTC time `at`.
    """
    parts, sources = Parts(), dict[str, None]()
    for each in passes(usage):
        model = served_model if each.model is None else named_at(endpoint_of(served_model), each.model)
        price = prices.price(model, at=at, **usage.tier)
        if price is None:
            return None
        parts = parts.plus(parts_usd(each.usage, price))
        sources[price.source_for(each.usage.prompt_tokens)] = None
    return Priced(parts=parts.rounded(), source="; ".join(sources)[:_LINE])


def parts_usd(usage: Usage, price: Price) -> Parts:
    """Return the parts of one usage's cost, exact and not rounded."""
    rates = price.rates_for(usage.prompt_tokens)
    tokens = {kind: getattr(usage, f"{kind}_tokens") * getattr(rates, kind) / _MILLION for kind in KINDS}
    return Parts(**tokens, web_search=usage.web_searches * WEB_SEARCH_USD_PER_THOUSAND / _THOUSAND)


def cost_usd(usage: Usage, price: Price) -> Decimal:
    """Return the cost of one usage in USD, rounded once, half-even, to the nano-dollar.

    >>> rates = Rates(input=Decimal(3), output=Decimal(15), cache_read=Decimal("0.3"),
    ...               cache_write_5m=Decimal("3.75"), cache_write_1h=Decimal(6))
    >>> cost_usd(Usage(input_tokens=1000, output_tokens=10), Price(model="m", source="s", rates=rates))
    Decimal('0.003150000')
    """
    return parts_usd(usage, price).total.quantize(NANO_USD, rounding=ROUND_HALF_EVEN)


def parse_costs(text: str, *, source: str = "MODEL_COSTS") -> dict[str, Price]:
    """Read MODEL_COSTS: model:in:out[:cache_read[:write_5m[:write_1h]]] by comma, USD per million tokens.

    Cache rates that are not given are 0.1, 1.25 and 2 times the input rate; the price says so.
    """
    prices: dict[str, Price] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        model, *rates = (part.strip() for part in entry.split(":"))
        if not model or not 2 <= len(rates) <= 5:  # noqa: PLR2004 - the shape in the docstring
            raise _wrong(entry, "write model:input:output[:cache_read[:write_5m[:write_1h]]]")
        if model in prices:
            raise _wrong(entry, f"{model} is named twice")
        prices[model] = _override(model, [_rate(entry, rate) for rate in rates], source)
    return prices


def complete_rates(given: Mapping[str, Decimal]) -> Rates:
    """Return complete rates from input, output and any cache rates. Others are 0.1, 1.25 and 2 times the input's.

    >>> complete_rates({"input": Decimal(1), "output": Decimal(5)}).cache_write_5m
    Decimal('1.25')
    """
    return Rates(**{kind: factor * given["input"] for kind, factor in _DERIVED_FACTORS.items()} | dict(given))


def derived_kinds(source: str, rates: Rates) -> tuple[str, ...]:
    """Return the names of the cache rates that nobody gave: they follow from the input rate."""
    if DERIVED not in source:
        return ()
    return tuple(kind for kind, factor in _DERIVED_FACTORS.items() if getattr(rates, kind) == factor * rates.input)


def parse_rate(text: str) -> Decimal:
    """Read a rate in USD per million tokens. Raises ValueError with the fix."""
    try:
        rate = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number of USD per million tokens") from None
    # Nano-dollars in 64 bits cannot hold finer or larger rates.
    if not rate.is_finite() or not 0 <= rate <= _MILLION or round(rate, 6) != rate:
        raise ValueError(f"{text!r} should be from 0 to 1000000 USD per million tokens, with at most 6 decimals")
    return rate


def _override(model: str, given: list[Decimal], source: str) -> Price:
    is_whole = len(given) == len(KINDS)
    return Price(
        model=model,
        source=source if is_whole else f"{source}{DERIVED}",
        rates=complete_rates(dict(zip(KINDS, given, strict=False))),
    )


def _rate(entry: str, text: str) -> Decimal:
    try:
        return parse_rate(text)
    except ValueError as error:
        raise _wrong(entry, str(error)) from None


def _wrong(entry: str, fix: str) -> SettingsError:
    return SettingsError([Mistake(variable="MODEL_COSTS", value=entry, fix=fix)])
