"""What expected calls cost and how long they take: a job's own as they did, others by what is known of their models."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from models.chain.replay import LOST, UNAVAILABLE, ZERO, Weights
from models.chain.replay_odds import LEAST, Bound, Oracle
from models.money.pricing import Price, Prices, parts_usd
from models.money.usage import Usage
from models.outcome import Outcome
from models.reports.job_history import Recorded
from producer.whatif.came_to import Spent
from producer.whatif.weighed import began_in

_MILLION = Decimal(1_000_000)
_WITHOUT_OUTPUT = frozenset({str(Outcome.REFUSED), "empty"})
_COUNTERS = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "web_searches")


class Assumed(NamedTuple):
    """One thing that had to be assumed, about which model or bound, and what was taken instead."""

    because: str
    model: str = ""
    instead: str = ""
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What was assumed, with how many jobs it touches; USD of output whose length was not learned; whom they ask."""

    jobs: Counter[Assumed] = field(default_factory=Counter)
    output_usd: defaultdict[Assumed, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    asked: Counter[str] = field(default_factory=Counter)
    would_ask: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))


class _Basis(NamedTuple):
    """An attempt of the job whose usage is known: its other calls are priced by that."""

    model: str
    usage: Usage
    at: datetime
    latency_ms: int | None


class _Rates(NamedTuple):
    base_usd: Decimal  # all but the output
    a_token_usd: Decimal


class Purse:
    """Prices what is expected of jobs; remembers prices by day."""

    def __init__(self, oracle: Oracle, prices: Prices) -> None:
        self._oracle, self._prices = oracle, prices
        self._known: dict[tuple[Any, ...], Price | None] = {}

    def happened(self, job: Recorded) -> Spent:
        """Add up what a job's calls did cost."""
        return Spent(
            calls=Decimal(len(job.made)),
            cost_usd=sum((one.cost_usd for one in job.made if one.cost_usd is not None), ZERO),
            unknown_costs=Decimal(sum(one.cost_usd is None for one in job.made)),
            work_ms=float(sum(one.latency_ms or 0 for one in job.made)),
        )

    def expected(self, job: Recorded, weights: Weights, bound: Bound = "expected", notes: Notes | None = None) -> Spent:
        """Add up what its calls would cost; `notes` take down what is assumed for it."""
        calls, usd, unknown, work = ZERO, ZERO, ZERO, 0.0
        for number, chance in weights.own.items():
            one = job.made[number]
            calls += chance
            usd += ZERO if one.cost_usd is None else chance * one.cost_usd
            unknown += chance if one.cost_usd is None else ZERO
            work += float(chance) * (one.latency_ms or 0)
            if notes is not None:
                notes.would_ask[one.model] += chance
        if weights.calls:
            others = self._others(job, weights, bound, notes)
            calls, usd, unknown = calls + others.calls, usd + others.cost_usd, unknown + others.unknown_costs
            work += others.work_ms
        return Spent(calls=calls, cost_usd=usd, unknown_costs=unknown, work_ms=work)

    def _others(self, job: Recorded, weights: Weights, bound: Bound, notes: Notes | None) -> Spent:
        basis, rates = _basis(job), dict[str, _Rates | None]()
        calls, usd, unknown, work = ZERO, ZERO, ZERO, 0.0
        for (model, end), chance in weights.calls.items():
            calls += chance
            work += float(chance) * self._latency_ms(model, job, basis, end)
            if end == UNAVAILABLE:
                continue
            if model not in rates:
                rates[model] = None if basis is None else self._rates(model, basis)
            known = rates[model]
            if basis is None or known is None or end == LOST:
                unknown += chance
                continue
            output_usd = self._output_tokens(model, job, basis, end, bound) * known.a_token_usd
            usd += chance * (known.base_usd + output_usd)
            if notes is not None:
                self._note_length(model, job, basis, chance * output_usd, notes)
        if notes is not None:
            self._note(job, weights, basis, [model for model, known in rates.items() if known is None], notes)
        return Spent(calls=calls, cost_usd=usd, unknown_costs=unknown, work_ms=work)

    def _rates(self, model: str, basis: _Basis) -> _Rates | None:
        usage = basis.usage
        key = (model, basis.at.date(), usage.service_tier, usage.speed, usage.inference_geo)
        if key not in self._known:
            self._known[key] = self._prices.price(
                model,
                at=basis.at,
                service_tier=usage.service_tier,
                speed=usage.speed,
                inference_geo=usage.inference_geo,
            )
        price = self._known[key]
        if price is None:
            return None
        read = Usage(output_tokens=0, **{name: getattr(usage, name) for name in _COUNTERS})
        return _Rates(parts_usd(read, price).total, price.rates_for(usage.prompt_tokens).output / _MILLION)

    def _output_tokens(self, model: str, job: Recorded, basis: _Basis, end: str, bound: Bound) -> Decimal:
        if end in _WITHOUT_OUTPUT:
            return ZERO
        if end == Outcome.TRUNCATED and job.max_tokens is not None:
            return Decimal(job.max_tokens)
        ratio: Decimal = getattr(self._oracle.ratio(basis.model, model, job.task), bound)
        written = basis.usage.output_tokens * ratio
        # Its own reply may hold more than one pass, each with as many.
        return (
            written if job.max_tokens is None else min(written, Decimal(max(job.max_tokens, basis.usage.output_tokens)))
        )

    def _latency_ms(self, model: str, job: Recorded, basis: _Basis | None, end: str) -> int:
        known = self._oracle.latency_ms(model, job.task, is_reply=end not in {UNAVAILABLE, LOST})
        return (0 if basis is None else basis.latency_ms or 0) if known is None else known

    def _note_length(self, model: str, job: Recorded, basis: _Basis, usd: Decimal, notes: Notes) -> None:
        if not self._oracle.ratio(basis.model, model, job.task).is_learned:
            notes.output_usd[Assumed("length", model, "", job.task)] += usd

    def _note(
        self, job: Recorded, weights: Weights, basis: _Basis | None, unpriced: Sequence[str], notes: Notes
    ) -> None:
        found = set[Assumed]()
        for (model, _), chance in weights.calls.items():
            notes.would_ask[model] += chance
            quality = self._oracle.quality(model, job.task)
            if not quality.is_own:
                found.add(Assumed("never_asked" if quality.model else "nobody_asked", model, quality.model or ""))
            elif quality.replies < LEAST:
                found.add(Assumed("few", model, str(quality.replies), job.task))
            if quality.is_own and not self._oracle.is_asked_in(model, began_in(job)):
                found.add(Assumed("not_asked_then", model))
            if basis is not None and not self._oracle.ratio(basis.model, model, job.task).is_learned:
                found.add(Assumed("length", model, "", job.task))
        if basis is None:
            found.add(Assumed("no_usage"))
        else:
            found.update(Assumed("no_price", model) for model in unpriced)
        notes.jobs.update(found)


def _basis(job: Recorded) -> _Basis | None:
    known = [one for one in job.made if one.usage is not None]
    best = [one for one in known if one.outcome in {Outcome.ANSWERED, Outcome.TRUNCATED}] or known
    if not best or best[-1].usage is None:
        return None
    one = best[-1]
    return None if one.usage is None else _Basis(one.model, one.usage, one.opened_at, one.latency_ms)
