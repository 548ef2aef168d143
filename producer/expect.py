"""What a file of prompts would cost: with each model of the chain, and as its jobs would really start."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from models.bound import worst_case_usd
from models.chain import Chain, Span
from models.learned import Learned
from models.pricebook import PriceBook, context_window
from models.pricing import Price
from models.size import Size, size_of
from producer.alike import shared_prefixes
from producer.prompt import Prompt
from producer.span import span_of

_MILLION = Decimal(1_000_000)
_ZERO = Decimal(0)
_IMAGE_TOKENS = (Decimal(10), Decimal(1_600))  # the least, and a photo as people send it


@dataclass(slots=True, kw_only=True)
class Sum:
    """USD for a number of prompts. `unbounded` of them have no worst case, `unpriced` no cost at all: not in the sums.

    `batch` is what to expect where the provider's half-price message batches answer.
    """

    prompts: int = 0
    low: Decimal = _ZERO
    expected: Decimal = _ZERO
    worst: Decimal = _ZERO
    batch: Decimal = _ZERO
    unbounded: int = 0
    unpriced: int = 0

    def add(self, one: "_Cost | None") -> None:
        """Add one prompt's."""
        self.prompts += 1
        if one is None:
            self.unpriced += 1
            return
        self.low += one.low
        self.expected += one.expected
        self.batch += one.batch
        self.worst += one.worst or _ZERO
        self.unbounded += one.worst is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the file would cost: `models` if one model answered it all, `chain` as its jobs would start and may go.

    `starts` counts the prompts by the model they start with.
    """

    models: Mapping[str, Sum]
    chain: Sum
    starts: Mapping[str, int]
    tasks: Mapping[str | None, int]
    characters: int
    images: int
    documents: int
    marked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    low: Decimal
    expected: Decimal
    worst: Decimal | None
    batch: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """What is known beforehand: the chain, prices, what the ledger taught, and whether an answer may be bought anew."""

    chain: Chain
    book: PriceBook
    learned: Learned
    climbs: Collection[str]
    at: datetime
    is_caching: bool = False  # whether what prompts share will be marked for the cache
    _prices: dict[tuple[Any, ...], Price | None] = field(default_factory=dict)

    def cost(self, model: str, task: str | None, params: Mapping[str, Any], size: Size, tokens: int | None) -> Any:
        """Bound one prompt's cost with one model; None where it has no price. `tokens` were counted, if given."""
        price, batch = self._price(model, params, None), self._price(model, params, "batch")
        most = params.get("max_tokens")
        if price is None or batch is None or type(most) is not int:
            return None
        ratio, share = self.learned.ratio(model), self.learned.output_share(task)
        if tokens is None:
            few = size.characters / ratio.high + size.images * _IMAGE_TOKENS[0]
            usual = size.characters / ratio.expected + size.images * _IMAGE_TOKENS[1]
        else:
            few = usual = Decimal(tokens)
        worst = worst_case_usd(model, params, self.book, window=context_window(model), at=self.at)
        low = _usd(few, share.low * most, price, is_cached=size.is_marked)
        expected = max(low, _usd(usual, share.expected * most, price))
        return _Cost(
            low=low,
            expected=expected if worst is None else min(worst, expected),
            worst=worst,
            batch=_usd(usual, share.expected * most, batch),
        )

    def along(self, span: Span, costs: Sequence[_Cost | None]) -> _Cost | None:
        """Bound one prompt's cost along its rungs: the cheapest may answer it, the dearest, or each buy it once."""
        ours = [costs[rung] for rung in range(span.ceiling, span.floor + 1)]
        known = [cost for cost in ours if cost is not None]
        start = costs[span.start]
        if start is None or len(known) < len(ours):
            return None
        worsts = [cost.worst for cost in known if cost.worst is not None]
        worst = None if len(worsts) < len(known) else sum(worsts, _ZERO) if self.climbs else max(worsts)
        return _Cost(low=min(cost.low for cost in known), expected=start.expected, worst=worst, batch=start.batch)

    def _price(self, model: str, params: Mapping[str, Any], tier: str | None) -> Price | None:
        named = (model, tier, params.get("speed"), params.get("inference_geo"))
        if named not in self._prices:
            self._prices[named] = self.book.price(
                model, at=self.at, service_tier=tier, speed=named[2], inference_geo=named[3]
            )
        return self._prices[named]


def expect(
    prompts: Sequence[Prompt], oracle: Oracle, *, task: str | None, counts: Sequence[int] | None = None
) -> Expectation:
    """Add up a file. `counts` are the input tokens of each prompt, where somebody counted them.

    Raises InputError for a prompt that names a model outside the chain.
    """
    models = oracle.chain.models
    sums, chain = {model: Sum() for model in models}, Sum()
    starts, tasks = Counter[str](), Counter[str | None]()
    sizes = []
    shared = shared_prefixes([prompt.request() for prompt in prompts], models) if oracle.is_caching else []
    for seq, prompt in enumerate(prompts, start=1):
        span = span_of(prompt, oracle.chain, task, source=f"prompt {seq}")
        params, its_task = prompt.request(), prompt.task or task
        size, tokens = size_of(params), None if counts is None else counts[seq - 1]
        if shared and shared[seq - 1]:
            size = replace(size, is_marked=True)
        costs = [oracle.cost(model, its_task, params, size, tokens) for model in models]
        for model, cost in zip(models, costs, strict=True):
            sums[model].add(cost)
        chain.add(oracle.along(span, costs))
        starts[models[span.start]] += 1
        tasks[its_task] += 1
        sizes.append(size)
    return Expectation(
        models=sums,
        chain=chain,
        starts=starts,
        tasks=tasks,
        characters=sum(size.characters for size in sizes),
        images=sum(size.images for size in sizes),
        documents=sum(size.documents for size in sizes),
        marked=sum(size.is_marked for size in sizes),
    )


def _usd(tokens: Decimal, written: Decimal, price: Price, *, is_cached: bool = False) -> Decimal:
    rates = price.rates_for(int(tokens))
    paid = min(rates.input, rates.cache_read) if is_cached else rates.input
    return (tokens * paid + written * rates.output) / _MILLION
