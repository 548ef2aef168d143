"""`stepdown estimate`: what a file would cost, before anything is spent."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import InputError, InputMistakes, LedgerError, UnpricedModelError
from producer.options import JsonOption, hint, say, settings
from producer.submit_options import takes_form, takes_terms, takes_ways

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.kinds import JobTerms
    from models.learned import Learned, Lengths, Spread
    from models.settings import Settings
    from producer.documents import Documents
    from producer.expect import Expectation, Oracle, Sum
    from producer.files.load import Loaded
    from producer.files.shapes import Form
    from producer.foresee import Foreseen
    from producer.prompt import Prompt

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

_COVERED = "the worst case: the dearest model that a prompt may reach answers it, at full length"
_CLIMBING = "the worst case: each model that a prompt may reach answers it, at full length (it climbs on {ends})"
_RAISING = "; a cut answer again with four times max_tokens"
_READ = "; answers are read in twice the tokens they were written in"
_NOT_COVERED = (
    "not in it: a call whose answer was lost, bought again; answers shorter than told above. "
    "From: the cheapest model answers every prompt"
)


@takes_terms
@takes_ways
@takes_form
def estimate(  # noqa: PLR0913 - each is an option
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="as for submit; - is stdin")],
    task: Annotated[str | None, typer.Option(help="task kind: where in the chain it starts (TASK_STARTS)")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="leave bad lines out, and list them")] = False,
    allow_unpriced: Annotated[bool, typer.Option(help="take models without a price; their cost is unknown")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="have the API count input tokens: free, a call each")] = False,
    as_json: JsonOption = False,
    *,
    form: "Form",
    terms: "JobTerms | None" = None,
    ways: "dict[str, Any] | None" = None,
) -> None:
    """Say what a file of prompts would cost, or of documents with --map; nothing is spent."""
    from producer import submit as submitting

    if exact and ways is not None:
        raise InputError("cannot count answers that are not there yet", source="estimate", field="--exact")
    given = settings()
    form = replace(form, models=given.chain.models)
    oracle = oracle_of(given, terms, allow_unpriced=allow_unpriced)
    read = submitting.read_either(file, form, ways=ways, judge=oracle.judge(task), skip_bad=skip_bad)
    found = expected(read, oracle, given, task, exact=exact)
    if as_json:
        say(json.dumps(estimate_json(found, oracle.learned, exact=exact)))
        return
    for line in _lines(found, oracle.learned, exact=exact):
        say(line)


def expected(
    read: "Loaded | Documents", oracle: "Oracle", given: "Settings", task: str | None, *, exact: bool = False
) -> "Expectation":
    """Work out what prompts, or a map of documents, would cost. Raises InputError or InputMistakes."""
    from producer.expect import expect
    from producer.files.load import Loaded

    if not isinstance(read, Loaded):
        foreseen = _foreseen(read, oracle, given, task)
        return expect(foreseen.prompts, oracle, task=task, reads=foreseen.reads)
    if read.mistakes:
        raise InputMistakes(read.mistakes, end="nothing was estimated")
    counts = _counts(read.prompts, given, oracle, task) if exact else None
    return expect(read.prompts, oracle, task=task, counts=counts)


def _foreseen(read: "Documents", oracle: "Oracle", given: "Settings", task: str | None) -> "Foreseen":
    from producer.foresee import foresee
    from producer.summarize import How, planned

    return foresee(planned(read.documents, How(**read.ways_for(task)), given, oracle.own), oracle)


def oracle_of(given: "Settings", terms: "JobTerms | None" = None, *, allow_unpriced: bool = False) -> "Oracle":
    """Gather what is known beforehand. Raises UnpricedModelError."""
    from datetime import UTC, datetime

    from models.kinds import JobTerms
    from producer.expect import Oracle
    from producer.price_check import book_of

    now = datetime.now(UTC)
    book, why_not = book_of(given, now=now)
    if why_not is not None:
        hint(f"without prices set in the ledger: {why_not}")
    unpriced = book.unpriced(given.chain.models)
    if unpriced and not allow_unpriced:
        raise UnpricedModelError(unpriced)
    return Oracle(
        chain=given.chain,
        book=book,
        learned=_learned(given),
        climbs=given.climbs,
        kinds=given.kinds,
        own=terms or JobTerms(),
        at=now,
        is_caching=given.prompt_cache == "on",
    )


def _learned(given: "Settings") -> "Learned":
    from models.learned import Learned, learn

    try:
        return learn(given.database_url.get_secret_value())
    except LedgerError as error:
        hint(f"nothing is learned from the ledger: {error}")
        return Learned()


def _counts(prompts: "Sequence[Prompt]", given: "Settings", oracle: "Oracle", task: str | None) -> list[int]:
    from producer.api import api_of
    from producer.counted import count_tokens
    from producer.span import span_of

    requests = []
    for seq, prompt in enumerate(prompts, start=1):
        terms = oracle.terms(prompt.task or task)
        start = span_of(prompt, oracle.chain, task, source=f"prompt {seq}", terms=terms).start
        requests.append((oracle.chain.models[start], prompt.request()))
    return count_tokens(requests, api_of(given))


def _lines(found: "Expectation", learned: "Learned", *, exact: bool) -> Iterator[str]:
    from producer.table import table

    made = f", {found.steps:,} of them of answers to others" if found.steps else ""
    yield f"{found.chain.prompts:,} prompts{made}, {found.characters:,} characters"
    rows = [[model, *_figures(total)] for model, total in found.models.items()]
    yield from table(["if one answers all", "expected", "worst case", "message batches"], rows, right={1, 2, 3})
    starts = ", ".join(f"{count:,} with {model}" for model, count in found.starts.items())
    yield f"as the jobs would start: {starts}"
    yield chain_line(found.chain)
    yield from _reasons(found, learned, exact=exact)
    yield _worst_case(found)
    yield _NOT_COVERED
    yield from _left_out(found.chain)


def _figures(total: "Sum") -> tuple[str, str, str]:
    if total.unpriced == total.prompts:
        return ("no price",) * 3
    worst = "no bound" if total.unbounded else _money(total.worst, ROUND_CEILING)
    return _money(total.expected), worst, _money(total.batch)


def chain_line(chain: "Sum") -> str:
    """Say in a line what prompts would cost as their jobs start and may go."""
    if chain.unpriced == chain.prompts:
        return "expected: unknown, a model has no price"
    to = "no bound" if chain.unbounded else _money(chain.worst, ROUND_CEILING)
    said = f"expected {_money(chain.expected)}, from {_money(chain.low, ROUND_FLOOR)} to {to}"
    return f"{said}; in message batches, which start and end with one model, {_money(chain.batch)}"


def _reasons(found: "Expectation", learned: "Learned", *, exact: bool) -> Iterator[str]:
    if exact:
        yield "input tokens: counted by the API, each prompt once, with the model it starts with"
    else:
        for model in found.models:
            ratio = learned.ratio(model)
            yield f"{ratio.expected:.2f} characters a token, {_source(ratio)}, for {model}"
    for task in found.tasks:
        yield f"{_length(learned.lengths_of(task))}{_of_task(task)}"
    if found.images and not exact:
        yield f"{found.images:,} images are taken for 1,600 tokens each"
    if found.documents and not exact:
        yield f"{found.documents:,} documents are taken for text of their files' length: --exact knows better"
    if found.marked:
        said = "are marked for the cache, by you or for what they share; expected reads nothing from it"
        yield f"{found.marked:,} prompts {said}"


def _length(lengths: "Lengths") -> str:
    found = lengths.as_written()
    if found is None:
        return "50% of max_tokens written (0 to 100%), taken for want of attempts"
    bounds = f"{found.low:.0f} to {found.high:.0f}" if lengths.is_own else "anything up to max_tokens"
    return f"{found.expected:.0f} tokens written ({bounds}), {_source(found)}"


def _worst_case(found: "Expectation") -> str:
    said = _CLIMBING.format(ends=", ".join(sorted(found.climbs))) if found.climbs else _COVERED
    said += _RAISING if "truncated" in found.climbs else ""
    return said + (_READ if found.steps else "")


def _left_out(chain: "Sum") -> Iterator[str]:
    if chain.unbounded:
        yield f"{chain.unbounded:,} prompts cannot be bounded (tools or fields whose passes nobody can count)"
    if chain.unpriced:
        yield f"{chain.unpriced:,} prompts may reach a model without a price: in no sum"


def _source(spread: "Spread") -> str:
    return f"learned from {spread.attempts:,} attempts" if spread.attempts else "taken for want of attempts"


def _of_task(task: str | None) -> str:
    return "" if task is None else f", for task {task}"


def _money(usd: Decimal, rounding: str = ROUND_HALF_EVEN) -> str:
    from producer.words import money

    unit = Decimal("0.01") if usd >= 1 else Decimal("0.0001") if usd >= Decimal("0.01") else Decimal("0.000001")
    return money(usd.quantize(unit, rounding=rounding))


def estimate_json(found: "Expectation", learned: "Learned", *, exact: bool) -> dict[str, Any]:
    """Lay an estimate out as a JSON object; money is text, None where it is not known."""
    ratios = {model: _spread_json(learned.ratio(model)) for model in found.models}
    lengths = [{"task": task, **_length_json(learned.lengths_of(task))} for task in found.tasks]
    return {
        "prompts": found.chain.prompts,
        "steps": found.steps,
        "characters": found.characters,
        "starts": dict(found.starts),
        "chain": {**_sum_json(found.chain), "low_usd": _nano(found.chain.low, found.chain, ROUND_FLOOR)},
        "models": {model: _sum_json(total) for model, total in found.models.items()},
        "is_exact": exact,
        "characters_per_token": ratios,
        "output_tokens": lengths,
        "climb_on": sorted(found.climbs),
    }


def _sum_json(total: "Sum") -> dict[str, Any]:
    return {
        "expected_usd": _nano(total.expected, total),
        "worst_case_usd": None if total.unbounded else _nano(total.worst, total, ROUND_CEILING),
        "message_batches_usd": _nano(total.batch, total),
        "unbounded": total.unbounded,
        "unpriced": total.unpriced,
    }


def _nano(usd: Decimal, total: "Sum", rounding: str = ROUND_HALF_EVEN) -> str | None:
    from models.pricing import NANO_USD

    return None if total.unpriced == total.prompts else f"{usd.quantize(NANO_USD, rounding=rounding):f}"


def _length_json(lengths: "Lengths") -> dict[str, Any]:
    """Lay lengths out; None is what nothing was learned of: all of it, or the bounds, where other tasks taught."""
    found = lengths.as_written()
    if found is None:
        return {"expected": None, "low": None, "high": None, "attempts": 0}
    return _spread_json(found) | ({} if lengths.is_own else {"low": None, "high": None})


def _spread_json(spread: "Spread") -> dict[str, Any]:
    figures = {name: f"{getattr(spread, name):.4f}" for name in ("expected", "low", "high")}
    return {**figures, "attempts": spread.attempts}
