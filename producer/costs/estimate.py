"""Estimates the costs of a file of prompts: as sums, as a line, and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from functools import partial
from typing import Any

from models.errors import LedgerError, UnpricedModelError
from models.job.task_kinds import JobTerms
from models.money.pricing import NANO_USD
from models.reports.token_history import Lengths, Spread, TokenHistory, learn
from models.settings import Settings
from producer.costs.anthropic_http import api_of
from producer.costs.cost_model import EstimateInputs, Expectation, Sum, expect
from producer.costs.count_tokens import count_tokens
from producer.costs.map_reduce_forecast import forecast_documents
from producer.costs.price_check import book_of
from producer.files.prompts import PromptFile
from producer.map_reduce.documents import Documents
from producer.map_reduce.summarize import SummarizeOptions, planned
from producer.output.format import duration, money
from producer.output.terminal import hint
from producer.prompt.prompt import Prompt
from producer.prompt.start_rung import misplaced, span_of


def expected_of(
    read: PromptFile | Documents, inputs: EstimateInputs, given: Settings, task: str | None, *, exact: bool = False
) -> Expectation:
    """Work out the costs of a file of prompts, or of a map of documents. Raises InputError or InputMistakes."""
    if isinstance(read, PromptFile):
        judge = partial(misplaced, chain=inputs.chain, task=task, terms=inputs.terms)
        prompts = list(replace(read, judge=judge).prompts())
        return expect(prompts, inputs, task=task, counts=_counts(prompts, given, inputs, task) if exact else None)
    plan = planned(read.documents, SummarizeOptions(**read.mapping_for(task)), given, inputs.own)
    prompts, reads = forecast_documents(plan, inputs)
    return expect(prompts, inputs, task=task, reads=reads)


def estimate_inputs(given: Settings, terms: JobTerms | None = None, *, allow_unpriced: bool = False) -> EstimateInputs:
    """Gather the chain, the prices and the history that an estimate needs. Raises UnpricedModelError."""
    now = datetime.now(UTC)
    book, why_not = book_of(given, now=now)
    if why_not is not None:
        hint(f"without prices set in the ledger: {why_not}")
    unpriced = book.unpriced(given.chain.models)
    if unpriced and not allow_unpriced:
        raise UnpricedModelError(unpriced)
    return EstimateInputs(
        chain=given.chain,
        book=book,
        learned=_learned(given),
        climbs=given.climbs,
        kinds=given.kinds,
        own=terms or JobTerms(),
        at=now,
        is_caching=given.prompt_cache == "on",
    )


def _learned(given: Settings) -> TokenHistory:
    try:
        return learn(given.database_url.get_secret_value())
    except LedgerError as error:
        hint(f"nothing is learned from the ledger: {error}")
        return TokenHistory()


def _counts(prompts: Sequence[Prompt], given: Settings, inputs: EstimateInputs, task: str | None) -> list[int]:
    requests = []
    for seq, prompt in enumerate(prompts, start=1):
        terms = inputs.terms(prompt.task or task)
        start = span_of(prompt, inputs.chain, task, source=f"prompt {seq}", terms=terms).start
        requests.append((inputs.chain.models[start], prompt.request()))
    return count_tokens(requests, api_of(given))


def chain_line(found: Expectation) -> str:
    """Return a line on the costs to expect, as the jobs would start and may fall back or climb."""
    live = found.live.chain
    if live.unpriced == live.prompts:
        return "expected: unknown, a model has no price"
    return f"{likely_line(live)}, at most {most_text(live)}; {half_price_line(found)}"


def likely_line(chain: Sum) -> str:
    """Return the expected cost and the likely range."""
    least, most = money_rounded(chain.least, ROUND_FLOOR), money_rounded(chain.most, ROUND_CEILING)
    return f"expected {money_rounded(chain.expected)}, likely {least} to {most}"


def most_text(chain: Sum) -> str:
    """Return the worst case."""
    return "no bound" if chain.unbounded else money_rounded(chain.worst, ROUND_CEILING)


def half_price_line(found: Expectation) -> str:
    """Return the cost and the ranges to expect at half price."""
    half = found.half_price.chain
    return f"at half price: {likely_line(half)}, at most {most_text(half)}, if message batches answer all in time"


def batch_time_lines(found: Expectation, learned: TokenHistory) -> Iterator[str]:
    """Return a line on the time that message batches take, for each start whose times are recorded."""
    for model in found.starts:
        if (times := learned.batch_times.get(model)) is not None:
            took = f"half within {duration(times.p50_s)}, 19 of 20 within {duration(times.p95_s)}"
            yield f"message batches of {model}: {took} ({times.message_batches:,} in 30 days)"


def estimate_json(found: Expectation, learned: TokenHistory, *, exact: bool) -> dict[str, Any]:
    """Return an estimate as a JSON object; money is text, and None if unknown."""
    ratios = {model: _spread_json(learned.ratio(model)) for model in found.live.models}
    lengths = [{"task": task, **_length_json(learned.lengths_of(task))} for task in found.tasks]
    return {
        "prompts": found.live.chain.prompts,
        "steps": found.steps,
        "characters": found.characters,
        "starts": dict(found.starts),
        "chain": _chain_json(found.live.chain),
        "half_price": _chain_json(found.half_price.chain),
        "models": {
            model: {**_sum_json(total), "half_price": _sum_json(found.half_price.models[model])}
            for model, total in found.live.models.items()
        },
        "is_exact": exact,
        "characters_per_token": ratios,
        "output_tokens": lengths,
        "climb_on": sorted(found.climbs),
        "message_batch_times": {model: asdict(times) for model, times in sorted(learned.batch_times.items())},
    }


def _chain_json(total: Sum) -> dict[str, Any]:
    return {
        **_sum_json(total),
        "low_usd": _nano(total.low, total, ROUND_FLOOR),
        "likely_usd": [_nano(total.least, total, ROUND_FLOOR), _nano(total.most, total, ROUND_CEILING)],
    }


def _sum_json(total: Sum) -> dict[str, Any]:
    return {
        "expected_usd": _nano(total.expected, total),
        "worst_case_usd": None if total.unbounded else _nano(total.worst, total, ROUND_CEILING),
        "unbounded": total.unbounded,
        "unpriced": total.unpriced,
    }


def _nano(usd: Decimal, total: Sum, rounding: str = ROUND_HALF_EVEN) -> str | None:
    return None if total.unpriced == total.prompts else f"{usd.quantize(NANO_USD, rounding=rounding):f}"


def _length_json(lengths: Lengths) -> dict[str, Any]:
    """Return lengths as JSON. Without attempts all are None; with attempts of other tasks only, the bounds are None."""
    found = lengths.as_written()
    if found is None:
        return {"expected": None, "low": None, "high": None, "attempts": 0}
    return _spread_json(found) | ({} if lengths.is_own else {"low": None, "high": None})


def _spread_json(spread: Spread) -> dict[str, Any]:
    details = {name: f"{getattr(spread, name):.4f}" for name in ("expected", "low", "high")}
    return {**details, "attempts": spread.attempts}


def money_rounded(usd: Decimal, rounding: str = ROUND_HALF_EVEN) -> str:
    """Return an estimate as a person reads money: two, four or six decimals by its size."""
    unit = Decimal("0.01") if usd >= 1 else Decimal("0.0001") if usd >= Decimal("0.01") else Decimal("0.000001")
    return money(usd.quantize(unit, rounding=rounding))
