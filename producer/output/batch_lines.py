"""Lines that the commands print: a batch, its jobs, the receipt. Text in, text out."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from itertools import islice
from typing import TextIO

from models.chain.chain import short_name
from models.job.answer import Answer
from models.job.progress import CacheUse, HalfPriceUse, ModelLine, Progress
from models.outcome import HALF_PRICE, OPEN_STATES, State
from producer.output.format import bar, counted, milliseconds, money
from producer.output.table import table
from producer.output.terminal import terminal_text

_BATCHES = ("batch", "name", "created (UTC)", "cost", "state")
_JOBS = ("job", "prompt", "state", "model", "cost", "error")
_NOT_RUN = "not run"
_RECEIPT = ("model", "depth", "attempts", "ok", "failed", _NOT_RUN, "p50", "cost")
_DEPTHS = ("fallback depth", "jobs", "share", "")
DEPTH_NOTE = "fallback depth: how many models were given up before the one that answered"
_JOBS_A_TABLE = 10_000  # a batch of a million jobs is never in memory


def progress_json(progress: Progress) -> str:
    """One JSON object; money is a string, so that no reader makes a float of it."""
    return json.dumps(
        {
            "batch": progress.batch_id,
            "name": progress.name,
            "created_at": progress.created_at.isoformat(),
            "jobs": progress.job_count,
            **{state.value: progress.states.get(state, 0) for state in State},
            "held": progress.held,
            "over_budget": progress.over_budget,
            "half_price": progress.half_price,
            "attempts": progress.attempts,
            "cost_usd": f"{progress.cost_usd:f}",
            "unknown_costs": progress.unknown_costs,
            "max_cost_usd": None if progress.cap_usd is None else f"{progress.cap_usd:f}",
        }
    )


def batch_table(found: Sequence[Progress]) -> Iterator[str]:
    """Lay batches out, each with its jobs by state and its money; nothing if there is no batch."""
    rows = [*map(_batch_row, found)]
    return table(_BATCHES, rows, right={3}, folds={1, 3}, is_last_below=True) if found else iter(())


def progress_line(progress: Progress) -> str:
    """One line: id, name, age, jobs by state, money."""
    *first, cost, states = map(terminal_text, _batch_row(progress))
    return "  ".join(filter(None, (*first, states, cost)))


def _batch_row(progress: Progress) -> list[str]:
    states = ", ".join(f"{progress.states[state]} {state}" for state in State if progress.states.get(state))
    states += f" ({progress.held} held until a person decides)" if progress.held else ""
    states += f" ({progress.over_budget} over budget)" if progress.over_budget else ""
    states += f" ({progress.half_price} at half price)" if progress.half_price else ""
    states += f" of {progress.job_count}"
    states += "" if progress.cap_usd is None else f", cap {money(progress.cap_usd)}"
    cost = money(progress.cost_usd, unknown=progress.unknown_costs)
    made = progress.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    return [progress.batch_id, progress.name or "", made, cost, states]


def over_budget_line(progress: Progress) -> str:
    """Say how many jobs the cap stopped, and how to go on."""
    count = counted(progress.over_budget, "job is", "jobs are")
    if progress.cap_usd is None:
        return f"{count} over budget: a cap of the day, a task or a tag is used up (stepdown show says which)"
    spent = f"{money(progress.cost_usd)} of {money(progress.cap_usd)} are spent"
    spent += f", {money(progress.reserved_usd)} more may be" if progress.reserved_usd else ""
    return f"{count} over budget ({spent}): stepdown retry {progress.batch_id} --failed --max-cost USD goes on"


def not_ended_line(progress: Progress, *, is_told: bool) -> str:
    """Say how many jobs have not ended, and where they are; `is_told`: their rows say it too, else they have none."""
    open_jobs = progress.job_count - progress.finished
    states = ", ".join(f"{progress.states[state]} {state}" for state in OPEN_STATES if progress.states.get(state))
    rows = "the column state tells which" if is_told else "this format leaves them out"
    return f"{open_jobs} of {progress.job_count} jobs have not ended yet ({states}): {rows}"


def receipt(lines: Sequence[ModelLine], depths: Mapping[int, int], out: TextIO | None = None) -> Iterator[str]:
    """Lay out the receipt for `out`: a line for each model, depth and lane, the sum, and the depths of the answers."""
    head = _RECEIPT if any(line.not_run for line in lines) else [name for name in _RECEIPT if name != _NOT_RUN]
    ran = slice(None) if _NOT_RUN in head else slice(-1)
    rows = [
        [_named(line), str(line.fallback_depth), *_amounts([line])[ran], milliseconds(line.p50_ms), _costs([line])]
        for line in lines
    ]
    total = ["total", "", *_amounts(lines)[ran], "", _costs(lines)]
    yield from table(head, [*rows, total], right=range(1, len(head)), out=out)
    if under_way := sum(line.open for line in lines if line.lane == HALF_PRICE):
        one, many = "item of a message batch has", "items of message batches have"
        yield f"{counted(under_way, one, many)} not ended: the cost is not known yet"
    if not_ended := sum(line.open for line in lines if line.lane != HALF_PRICE):
        one, many = "attempt has not ended, or its worker", "attempts have not ended, or their worker"
        yield f"{counted(not_ended, one, many)} was killed: the cost is not known"
    if finished := sum(depths.values()):
        shares = {depth: count / finished for depth, count in depths.items()}
        answers = [[str(n), str(depths[n]), f"{share:.1%}", bar(share, width=30)] for n, share in shares.items()]
        yield from table(_DEPTHS, answers, right={0, 1, 2}, out=out)
        if any(depths):
            yield DEPTH_NOTE


def _named(line: ModelLine) -> str:
    return short_name(line.model) + (" at half price" if line.lane == HALF_PRICE else "")


def _amounts(lines: Sequence[ModelLine]) -> list[str]:
    names = ("attempts", "answered", "failed", "not_run")
    return [str(sum(getattr(line, name) for line in lines)) for name in names]


def _costs(lines: Sequence[ModelLine]) -> str:
    cost = sum((line.cost_usd for line in lines), Decimal(0))
    return money(cost, unknown=sum(line.unknown_costs for line in lines))


def cache_line(use: CacheUse) -> str:
    """Return the share of a batch's input that was read from the provider's cache, and the saving."""
    share = use.read_tokens / use.input_tokens
    saved = money(abs(use.saved_usd), unknown=use.unknown_costs)
    came_to = "saved" if use.saved_usd >= 0 else "nothing saved yet: to write it cost"
    return f"cache: {share:.1%} of {use.input_tokens:,} input tokens were read from it, {came_to} {saved}"


def half_price_lines(use: HalfPriceUse) -> Iterator[str]:
    """Return the jobs bought at half price and the saving, then the jobs that moved to live calls."""
    if use.never_packed:
        count = counted(use.never_packed, "job", "jobs")
        yield f"half price: {count} went live without a message batch: too little time, or no message batch takes these"
    if use.attempts:
        cost = money(use.cost_usd, unknown=use.unknown_costs - use.open)
        bought = f"{counted(use.attempts, 'call')} bought for {cost}"
        yield f"half price: {bought}, {money(use.saved_usd)} saved against live calls"
    causes = {
        "late": use.moved_late,
        "errored": use.moved_errored,
        "expired": use.moved_expired,
        "lost": use.moved_lost,
    }
    moved = [f"{count:,} {cause}" for cause, count in causes.items() if count]
    twice = f"{counted(use.overlapped, 'answer')} bought in both lanes, {money(use.overlapped_usd)} for the second"
    parts = [f"moved to live calls: {', '.join(moved)}"] if moved else []
    if parts := parts + ([twice] if use.overlapped else []):
        yield f"half price: {'; '.join(parts)}"


def job_table(answers: Iterable[Answer]) -> Iterator[str]:
    """Lay jobs out, their errors below them at a narrow terminal; a header after each 10,000 jobs."""
    jobs = map(_job_row, answers)
    while rows := list(islice(jobs, _JOBS_A_TABLE)):
        yield from table(_JOBS, rows, right={4}, folds={1, 3}, is_last_below=True)


def job_line(answer: Answer) -> str:
    """One line for a job of a batch."""
    return "  ".join(filter(None, map(terminal_text, _job_row(answer))))


def _job_row(answer: Answer) -> list[str]:
    model = "-" if answer.model is None else short_name(answer.model)
    model += f" (fallback depth {answer.fallback_depth})" if answer.fallback_depth else ""
    return [answer.job_id, answer.id, str(answer.state), model, money(answer.cost_usd), answer.error or ""]


def job_json(answer: Answer) -> str:
    """One JSON object on one line for a job of a batch."""
    return json.dumps(
        {
            "job": answer.job_id,
            "id": answer.id,
            "state": answer.state,
            "outcome": answer.outcome,
            "model": answer.model,
            "fallback_depth": answer.fallback_depth,
            "cost_usd": None if answer.cost_usd is None else f"{answer.cost_usd:f}",
            "error": answer.error,
        }
    )
