"""The answer of `stepdown whatif`: both sides in columns, the records behind them, and the assumptions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from models.chain.best_start import LEAST, StartRecord, bounds
from models.money.pricing import NANO_USD
from models.reports.job_history import Scope
from models.reports.what_if import Assumption, Comparison, Figures, Plan
from producer.output.batch_lines import DEPTH_NOTE
from producer.output.format import usd_rounded
from producer.output.table import table
from producer.output.terminal import terminal_text

LIMITS = (
    "jobs that start on the same model count as they went; moved jobs are accepted as in the last 30 days (v_starts)",
    "low and high: every share at that end of its 95 % interval",
    f"costs of calls: in the ratio of both models' mean costs, with {LEAST} judged jobs each; else by tokens and rates",
    "each job keeps its lane: a job bought at half price is compared at half price; mean costs are at live rates",
    "for moved jobs every model is available: fallbacks for limits and failures, caps and times are left out",
)
_SENTENCES: Mapping[str, str] = {
    "never_asked": "{model} was never asked for {task}: taken to answer as often as {instead}, at its own rates",
    "nobody_asked": "no model has records of {task}: {model} is taken to answer always, at its own rates",
    "few": f"{{model}} has fewer than {LEAST} judged jobs at {{task}}: its share may be chance",
    "no_price": "{model} had no price on that day: its cost is unknown; set MODEL_COSTS",
    "no_usage": "no attempt tells the tokens of the job: the cost of {model} is unknown",
    "start_gone": "the caller chose to start on {model}, which this chain lacks: started as the task kind does",
    "floor_gone": "the floor was {model}, which this chain lacks: taken to have none",
    "ceiling_gone": "the ceiling was {model}, which this chain lacks: taken to have none",
}
_HUNDREDTH = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The plan and the jobs in question; `left_out` counts by state the jobs that are not compared."""

    plan: Plan
    scope: Scope
    left_out: Mapping[str, int]


def whatif_lines(found: Comparison, question: Question) -> Iterator[str]:
    """Write the comparison for a person."""
    yield from map(terminal_text, _question_lines(question))
    if not found.happened.jobs:
        yield "no job ended in this time: nothing to compare"
    else:
        yield from _side_by_side(found)
    for assumption, count in sorted(found.assumed.items(), key=lambda each: (-each[1], each[0][:2])):
        yield terminal_text(f"{count:,} {'job' if count == 1 else 'jobs'}: {sentence(assumption)}")
    if question.left_out:
        cancelled = question.left_out.get("cancelled", 0)
        yield f"left out: {cancelled:,} cancelled, {sum(question.left_out.values()) - cancelled:,} open jobs"
    yield from LIMITS if found.moved else ()
    yield from [DEPTH_NOTE] if found.happened.jobs else []


def sentence(assumption: Assumption) -> str:
    """Return an assumption as a sentence."""
    task = assumption.task or "jobs without a task kind"
    return _SENTENCES[assumption.because].format(model=assumption.model, task=task, instead=assumption.instead)


def whatif_json(found: Comparison, question: Question) -> dict[str, Any]:
    """Lay the comparison out as a JSON object; money and expected counts are text."""
    plan, scope = question.plan, question.scope
    return {
        "chain": plan.models,
        "starts": {task: plan.models[rung] for task, rung in plan.starts.items()},
        "chain_in_force": plan.was,
        "since": None if scope.since is None else str(scope.since),
        "until": None if scope.until is None else str(scope.until),
        "task": scope.task,
        "batch": scope.batch_id,
        "moved": found.moved.total(),
        "happened": _texts(found.happened),
        "would": _texts(found.would["expected"]),
        "low": _texts(found.would["low"]),
        "high": _texts(found.would["high"]),
        "difference_usd": f"{found.would['expected'].cost_usd - found.happened.cost_usd:.9f}",
        "tasks": [
            {"task": task, "moved": found.moved[task], "happened": _texts(was), "would": _texts(would)}
            for task, (was, would) in _by_cost(found)
        ],
        "models": [_record_json(*key, record) for key, record in _by_task(found)],
        "left_out": question.left_out,
        "assumptions": [
            {**assumption._asdict(), "jobs": count, "message": sentence(assumption)}
            for assumption, count in found.assumed.items()
        ],
        "limits": LIMITS,
    }


def _question_lines(question: Question) -> Iterator[str]:
    plan, scope = question.plan, question.scope
    starts = ", ".join(f"{task} starts with {plan.models[rung]}" for task, rung in plan.starts.items())
    yield f"chain: {', '.join(plan.models)}{f'; {starts}' if starts else ''}"
    days = f"jobs that ended from {scope.since or 'the first day'} to {scope.until or 'now'}"
    parts = [days, scope.task and f"of task {scope.task}", scope.batch_id and f"of {scope.batch_id}"]
    yield f"{', '.join(filter(None, parts))}; chain in force: {', '.join(plan.was)}"


def _side_by_side(found: Comparison) -> Iterator[str]:
    sides = [found.happened, *(found.would[bound] for bound in ("expected", "low", "high"))]
    named = [amounts.named() for amounts in sides]
    depths = sorted({depth for amounts in sides for depth in amounts.depths})
    rows = [_row(name, [each[name] for each in named]) for name in named[0]]
    rows += [_row(f"depth {depth}", [amounts.depths.get(depth, Decimal(0)) for amounts in sides]) for depth in depths]
    yield from table(["", "happened", "would have", "difference", "low", "high"], rows, right={1, 2, 3, 4, 5})
    if set(found.tasks) != {None}:
        columns = ["task", "jobs", "moved", "cost", "would have", "difference", "answered", "would have"]
        yield from ("", *table(columns, [*_task_rows(found)], right={1, 2, 3, 4, 5, 6, 7}, folds={0}))
    if found.moved:
        columns = ["model", "task", "judged", "accepted", "share in 95 of 100 cases", "mean cost"]
        yield from ("", *table(columns, [*_record_rows(found)], right={2, 3, 4, 5}, folds={0, 1}), "")


def _row(name: str, values: Sequence[Decimal | None]) -> list[str]:
    was, would, low, high = (_cell(name, value) for value in values)
    ours, theirs, *_ = values
    difference = "" if ours is None or theirs is None or ours == theirs else _cell(name, theirs - ours, sign="+")
    return [name.removesuffix("_usd").replace("_", " "), was, would, difference, low, high]


def _cell(name: str, value: Decimal | None, *, sign: str = "-") -> str:
    if value is None:
        return "unknown"
    if name.endswith("_usd"):
        return usd_rounded(value, is_signed=sign == "+")
    return f"{value.quantize(_HUNDREDTH).normalize() + 0:{sign},f}"


def _by_cost(found: Comparison) -> list[tuple[str | None, tuple[Figures, Figures]]]:
    return sorted(found.tasks.items(), key=lambda each: (-each[1][0].cost_usd, each[0] or ""))


def _by_task(found: Comparison) -> list[tuple[tuple[str | None, str], StartRecord]]:
    return sorted(found.records.items(), key=lambda each: (each[0][0] or "", each[0][1]))


def _task_rows(found: Comparison) -> Iterator[list[str]]:
    for task, sides in _by_cost(found):
        was, would = (amounts.named() for amounts in sides)
        costs = _row("cost_usd", [was["cost_usd"], would["cost_usd"], None, None])[1:4]
        answered = [_cell("answered", side["answered"]) for side in (was, would)]
        yield [task or "-", f"{sides[0].jobs:,}", f"{found.moved[task]:,}", *costs, *answered]


def _record_rows(found: Comparison) -> Iterator[list[str]]:
    for (task, model), record in _by_task(found):
        low, high = bounds(record.accepted, record.judged)
        share = f"{low:.1%} to {high:.1%}" if record.judged else "unknown"
        counts = [f"{record.judged:,}", f"{record.accepted:,}"]
        yield [model, task or "-", *counts, share, _cell("mean_usd", record.mean_cost_usd)]


def _texts(amounts: Figures) -> dict[str, Any]:
    named = {name: _text(name, value) for name, value in amounts.named().items()}
    depths = {str(depth): _text("depth", count) for depth, count in sorted(amounts.depths.items())}
    return {**named, "jobs": amounts.jobs, "depths": depths}


def _text(name: str, value: Decimal | None) -> str | None:
    unit = NANO_USD if name.endswith("_usd") else Decimal("0.0001")
    text = None if value is None else f"{value.quantize(unit):f}"
    return text if text is None or name.endswith("_usd") else text.rstrip("0").rstrip(".")


def _record_json(task: str | None, model: str, record: StartRecord) -> dict[str, Any]:
    low, high = (f"{bound:.6f}" for bound in bounds(record.accepted, record.judged))
    counts = {"judged": record.judged, "accepted": record.accepted, "low": low, "high": high}
    return {"model": model, "task": task, **counts, "mean_cost_usd": _text("mean_cost_usd", record.mean_cost_usd)}
