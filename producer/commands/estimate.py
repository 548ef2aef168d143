"""`stepdown estimate`: the costs to expect of a file, before anything is spent."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import InputError
from producer.commands.options import (
    AllowUnpricedOption,
    JsonOption,
    settings,
    takes_mapping,
    takes_read_options,
    takes_terms,
)
from producer.output.terminal import hint, print_lines, print_whole

if TYPE_CHECKING:
    from models.job.task_kinds import JobTerms
    from models.reports.token_history import Lengths, Spread, TokenHistory
    from producer.costs.cost_model import Expectation, Sum
    from producer.files.record_to_prompt import ReadOptions

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

_COVERED = "the dearest model that a prompt may reach answers it, at full length"
_CLIMBING = "each model that a prompt may reach answers it, at full length (it climbs on {ends})"
_RAISING = "; a cut answer again with four times max_tokens"
_READ = "; answers are read in twice the tokens they were written in"
_NOT_COVERED = "not in the upper bound: a call whose answer was lost, bought again"


@takes_terms
@takes_mapping
@takes_read_options
def estimate(  # noqa: PLR0913 - each is an option
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="as for submit; - is stdin")],
    task: Annotated[str | None, typer.Option(help="task kind: where in the chain it starts (TASK_STARTS)")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="leave bad lines out, and list them")] = False,
    allow_unpriced: AllowUnpricedOption = False,
    exact: Annotated[bool, typer.Option("--exact", help="have the API count input tokens: free, a call each")] = False,
    as_json: JsonOption = False,
    *,
    form: "ReadOptions",
    terms: "JobTerms | None" = None,
    mapping: "dict[str, Any] | None" = None,
) -> None:
    """Estimate the cost of a file of prompts, or of documents with --map; nothing is spent."""
    from producer.commands import submit as submitting
    from producer.costs.estimate import estimate_inputs, estimate_json, expected_of

    if exact and mapping is not None:
        raise InputError("cannot count answers that are not there yet", source="estimate", field="--exact")
    given = settings()
    read_as: dict[str, Any] = {
        "form": replace(form, models=given.chain.models),
        "mapping": mapping,
        "skip_bad": skip_bad,
    }
    inputs = estimate_inputs(given, terms, allow_unpriced=allow_unpriced)
    with submitting.opened_either(file, **read_as, end="nothing was estimated") as read:
        found = expected_of(read, inputs, given, task, exact=exact)
        for note in read.notes:
            hint(note)
    if as_json:
        print_whole(json.dumps(estimate_json(found, inputs.learned, exact=exact)))
        return
    print_lines(_lines(found, inputs.learned, exact=exact))


def _lines(found: "Expectation", learned: "TokenHistory", *, exact: bool) -> Iterator[str]:
    from producer.costs.estimate import batch_time_lines, chain_line, half_price_line, likely_line, most_text
    from producer.output.table import table

    made = f", {found.steps:,} of them of answers to others" if found.steps else ""
    yield f"{found.live.chain.prompts:,} prompts{made}, {found.characters:,} characters"
    if found.live.chain.unpriced == found.live.chain.prompts:
        yield chain_line(found)
    else:
        yield likely_line(found.live.chain)
        yield f"  likely: {_likely_by(found, learned)}"
        yield f"at most {most_text(found.live.chain)}: {_worst_case(found)}"
        yield half_price_line(found)
        yield from batch_time_lines(found, learned)
    half = found.half_price.models
    rows = [[model, *_costs(total), *_costs(half[model])] for model, total in found.live.models.items()]
    columns = ["if one answers all", "expected", "worst case", "at half price", "worst case"]
    yield from table(columns, rows, right={1, 2, 3, 4}, folds={0})
    starts = ", ".join(f"{count:,} with {model}" for model, count in found.starts.items())
    yield f"as the jobs would start: {starts}"
    yield from _reasons(found, learned, exact=exact)
    yield _NOT_COVERED
    yield from _left_out(found.live.chain)


def _costs(total: "Sum") -> tuple[str, str]:
    from producer.costs.estimate import money_rounded, most_text

    return ("no price",) * 2 if total.unpriced == total.prompts else (money_rounded(total.expected), most_text(total))


def _reasons(found: "Expectation", learned: "TokenHistory", *, exact: bool) -> Iterator[str]:
    if exact:
        yield "input tokens: counted by the API, each prompt once, with the model it starts with"
    else:
        for model in found.live.models:
            ratio = learned.ratio(model)
            yield f"{ratio.expected:.2f} characters a token, {_source(ratio)}, for {model}"
    for task in found.tasks:
        yield f"{_length(learned.lengths_of(task))}{_of_task(task)}"
    if found.images and not exact:
        yield f"{found.images:,} images are taken for 1,600 tokens each"
    if found.documents and not exact:
        yield f"{found.documents:,} documents are taken for text of their files' length: --exact knows better"
    if found.marked:
        message = "are marked for the cache, by you or for what they share; expected reads nothing from it"
        yield f"{found.marked:,} prompts {message}"


def _length(lengths: "Lengths") -> str:
    found = lengths.as_written()
    if found is None:
        return "50% of max_tokens written (0 to 100%), taken for want of attempts"
    bounds = f"{found.low:.0f} to {found.high:.0f}" if lengths.is_own else "anything up to max_tokens"
    return f"{found.expected:.0f} tokens written ({bounds}), {_source(found)}"


def _likely_by(found: "Expectation", learned: "TokenHistory") -> str:
    lengths = [learned.lengths_of(task) for task in found.tasks]
    if all(each.each and each.is_own for each in lengths):
        return "each job is answered where it starts, as long as nine of ten recorded answers"
    return "answers half to 1.5 times as long as expected, assumed until answers are recorded"


def _worst_case(found: "Expectation") -> str:
    message = _CLIMBING.format(ends=", ".join(sorted(found.climbs))) if found.climbs else _COVERED
    message += _RAISING if "truncated" in found.climbs else ""
    return message + (_READ if found.steps else "")


def _left_out(chain: "Sum") -> Iterator[str]:
    if chain.unbounded:
        yield f"{chain.unbounded:,} prompts cannot be bounded (tools or fields whose passes nobody can count)"
    if chain.unpriced:
        yield f"{chain.unpriced:,} prompts may reach a model without a price: in no sum"


def _source(spread: "Spread") -> str:
    return f"learned from {spread.attempts:,} attempts" if spread.attempts else "taken for want of attempts"


def _of_task(task: str | None) -> str:
    return "" if task is None else f", for task {task}"
