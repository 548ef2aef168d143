"""The cost of a file of prompts: with each model of the chain, and by the jobs' real starts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any

from models.chain.capabilities import capabilities_of
from models.chain.chain import Chain, RungRange
from models.job.task_kinds import RAISED_TIMES, JobTerms, terms_for
from models.money.price_book import PriceBook, context_window
from models.money.pricing import Price
from models.money.token_estimate import PromptSize, prompt_size
from models.money.worst_case import worst_case_usd
from models.outcome import Outcome
from models.reports.token_history import Spread, TokenHistory
from models.rung_name import is_usual
from producer.prompt.prompt import Prompt
from producer.prompt.start_rung import span_of
from producer.submit.shared_prefixes import shared_prefixes

_MILLION = Decimal(1_000_000)
_ZERO = Decimal(0)
_IMAGE_TOKENS = (Decimal(10), Decimal(1_600))  # the least, and a usual photo


@dataclass(slots=True, kw_only=True)
class Sum:
    """USD for a number of prompts. The sums lack the worst case of `unbounded`, and all costs of `unpriced` prompts.

    `least` and `most` bound the likely cost with the model at which a prompt starts.
    """

    prompts: int = 0
    low: Decimal = _ZERO
    expected: Decimal = _ZERO
    worst: Decimal = _ZERO
    least: Decimal = _ZERO
    most: Decimal = _ZERO
    unbounded: int = 0
    unpriced: int = 0

    def add(self, one: "_Cost | None") -> None:
        """Add the cost of a prompt."""
        self.prompts += 1
        if one is None:
            self.unpriced += 1
            return
        for name in ("low", "expected", "worst", "least", "most"):
            setattr(self, name, getattr(self, name) + (getattr(one, name) or _ZERO))
        self.unbounded += one.worst is None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCosts:
    """The cost in a lane: `models` if one model answered all prompts, `chain` by the starts and ways of the jobs."""

    tier: str | None
    models: Mapping[str, Sum]
    chain: Sum = field(default_factory=Sum)

    def add(self, costs: "Sequence[_Cost | None]", along: "_Cost | None") -> None:
        """Add the cost of a prompt with each model, and along its rungs."""
        for total, cost in zip(self.models.values(), costs, strict=True):
            total.add(cost)
        self.chain.add(along)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The cost of the file in each lane, live and at half price.

    `starts` counts prompts by start, `steps` counts prompts that read answers. `climbs` are ends that may climb.
    """

    live: LaneCosts
    half_price: LaneCosts
    starts: Mapping[str, int]
    tasks: Mapping[str | None, int]
    characters: int
    images: int
    documents: int
    marked: int
    steps: int
    climbs: frozenset[Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The tokens that a prompt will read from answers to come. `characters` counts the rest of the prompt.

    The prompt's own text has its greatest length.
    """

    characters: int
    low: Decimal
    expected: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    """The cost of a prompt with a model. `raised` is the worst case with the raised max_tokens of a cut answer."""

    low: Decimal
    expected: Decimal
    worst: Decimal | None
    raised: Decimal | None
    least: Decimal
    most: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateInputs:
    """The inputs of an estimate: the chain, prices, the ledger's history, and the terms of all jobs or a kind."""

    chain: Chain
    book: PriceBook
    learned: TokenHistory
    climbs: frozenset[Outcome]
    at: datetime
    kinds: Mapping[str, JobTerms] = field(default_factory=dict)
    own: JobTerms = JobTerms()  # noqa: RUF009 - frozen
    is_caching: bool = False  # whether shared prefixes will be marked for the cache
    _prices: dict[tuple[Any, ...], Price | None] = field(default_factory=dict)
    _terms: dict[str | None, JobTerms] = field(default_factory=dict)

    def terms(self, task: str | None) -> JobTerms:
        """Return the terms of a job of this kind."""
        if task not in self._terms:
            self._terms[task] = terms_for(task, self.own, self.kinds, self.climbs)
        return self._terms[task]

    def climbs_of(self, task: str | None) -> frozenset[Outcome]:
        """Return the ends on which a job of this kind climbs."""
        message = self.terms(task).climb_on
        return self.climbs if message is None else message

    def most_written(self, model: str, task: str | None, max_tokens: int) -> int:
        """Return the most tokens of an answer: a cut answer that climbs gets raised max_tokens."""
        if Outcome.TRUNCATED not in self.climbs_of(task):
            return max_tokens
        raised = max_tokens * RAISED_TIMES
        return max(max_tokens, min(raised, capabilities_of(model).most_output or raised))

    def cost(
        self,
        model: str,
        task: str | None,
        params: Mapping[str, Any],
        size: PromptSize,
        *,
        tokens: int | None,
        reads: Reading | None,
        tier: str | None,
    ) -> _Cost | None:
        """Bound a prompt's cost with a model. Returns None without a price. `tokens` are the counted ones, if given."""
        price, most = self._price(model, params, tier), params.get("max_tokens")
        if price is None or type(most) is not int:
            return None
        ratio, written = self.learned.ratio(model), self.learned.output_tokens(task, most)
        if tokens is None:
            few = size.characters / ratio.high + size.images * _IMAGE_TOKENS[0]
            usual = size.characters / ratio.expected + size.images * _IMAGE_TOKENS[1]
        else:
            few = usual = Decimal(tokens)
        if reads is not None:
            few, usual = few + reads.low, usual + reads.expected
        worst = self._worst(model, params, tier)
        more = self.most_written(model, task, most)
        raised = worst if more == most else self._worst(model, {**params, "max_tokens": more}, tier)
        low = _usd(few, written.low, price, is_cached=size.is_marked)
        short, expected, long = (
            max(low, cost) if worst is None else min(worst, max(low, cost))
            for cost in (_usd(usual, tokens, price) for tokens in self._likely(task, written, most))
        )
        return _Cost(
            low=low,
            least=short,
            expected=expected,
            most=long,
            worst=worst,
            raised=raised,
        )

    def _likely(self, task: str | None, written: Spread, max_tokens: int) -> tuple[Decimal, Decimal, Decimal]:
        """Return the tokens of a short, a usual and a long answer: nine of ten recorded ones, else an assumption."""
        lengths = self.learned.lengths_of(task)
        if lengths.each and lengths.is_own:
            return written.low, written.expected, written.high
        return written.expected / 2, written.expected, min(written.expected * 3 / 2, Decimal(max_tokens))

    def along(self, span: RungRange, costs: Sequence[_Cost | None], climbs: frozenset[Outcome]) -> _Cost | None:
        """Bound a prompt's cost along its rungs: the cheapest answers, or the dearest, or each is bought once.

        A cut answer that climbs is bought again: on one rung at its length, on each with raised max_tokens.
        """
        ours = [costs[rung] for rung in range(span.ceiling, span.floor + 1)]
        known = [cost for cost in ours if cost is not None]
        start = costs[span.start]
        if start is None or len(known) < len(ours):
            return None
        once = [cost.worst for cost in known if cost.worst is not None]
        each = [cost.raised for cost in known if cost.raised is not None]
        worst = None
        if len(once) == len(each) == len(known):
            worst = sum(each, max(once)) if Outcome.TRUNCATED in climbs else sum(once, _ZERO) if climbs else max(once)
        return replace(start, low=min(cost.low for cost in known), worst=worst, raised=None)

    def _worst(self, model: str, params: Mapping[str, Any], tier: str | None) -> Decimal | None:
        return worst_case_usd(model, params, self.book, window=context_window(model), at=self.at, service_tier=tier)

    def _price(self, model: str, params: Mapping[str, Any], tier: str | None) -> Price | None:
        named = (model, tier, params.get("speed"), params.get("inference_geo"))
        if named not in self._prices:
            self._prices[named] = self.book.price(
                model, at=self.at, service_tier=tier, speed=named[2], inference_geo=named[3]
            )
        return self._prices[named]


def expect(
    prompts: Sequence[Prompt],
    inputs: EstimateInputs,
    *,
    task: str | None,
    counts: Sequence[int] | None = None,
    reads: Mapping[int, Reading] = MappingProxyType({}),
) -> Expectation:
    """Add up a file. `counts` are the counted input tokens of each prompt, if given.

    `reads` are the tokens that prompts, by their place from 0, will read of others' answers.

    Raises InputError for a prompt that names a model outside the chain.
    """
    models = inputs.chain.models
    live, half_price = (LaneCosts(tier=tier, models={model: Sum() for model in models}) for tier in (None, "batch"))
    starts, tasks = Counter[str](), Counter[str | None]()
    sizes = _sizes(prompts, inputs, reads)
    for seq, (prompt, size) in enumerate(zip(prompts, sizes, strict=True), start=1):
        params, its_task, read = prompt.request(), prompt.task or task, reads.get(seq - 1)
        span = span_of(prompt, inputs.chain, task, source=f"prompt {seq}", terms=inputs.terms(its_task))
        tokens = None if counts is None else counts[seq - 1]
        bounded = partial(inputs.cost, task=its_task, params=params, size=size, tokens=tokens, reads=read)
        for lane in (live, half_price):
            costs = [bounded(model, tier=lane.tier if is_usual(model) else None) for model in models]  # else: no lane
            lane.add(costs, inputs.along(span, costs, inputs.climbs_of(its_task)))
        starts[models[span.start]] += 1
        tasks[its_task] += 1
    return Expectation(
        live=live,
        half_price=half_price,
        starts=starts,
        tasks=tasks,
        characters=sum(size.characters for size in sizes),
        images=sum(size.images for size in sizes),
        documents=sum(size.documents for size in sizes),
        marked=sum(size.is_marked for size in sizes),
        steps=len(reads),
        climbs=frozenset[Outcome]().union(*map(inputs.climbs_of, tasks)),
    )


def _sizes(prompts: Sequence[Prompt], inputs: EstimateInputs, reads: Mapping[int, Reading]) -> list[PromptSize]:
    requests = [prompt.request() for prompt in prompts]
    sizes = [prompt_size(request) for request in requests]
    for place, read in reads.items():
        sizes[place] = replace(sizes[place], characters=read.characters)
    if not inputs.is_caching:
        return sizes
    shared = shared_prefixes(requests, inputs.chain.models)
    return [replace(size, is_marked=size.is_marked or bool(of)) for size, of in zip(sizes, shared, strict=True)]


def _usd(tokens: Decimal, written: Decimal, price: Price, *, is_cached: bool = False) -> Decimal:
    rates = price.rates_for(int(tokens))
    paid = min(rates.input, rates.cache_read) if is_cached else rates.input
    return (tokens * paid + written * rates.output) / _MILLION
