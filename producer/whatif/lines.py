"""What a replay found, in words: two columns and their difference, then what was assumed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from models.chain.replay import ZERO
from models.chain.retirements import retirements
from models.reports.job_history import Scope
from producer.output.format import milliseconds, usd_rounded
from producer.output.table import table
from producer.output.terminal import terminal_text
from producer.whatif.assumptions import NOT_REPLAYED, said
from producer.whatif.came_to import BatchTime, Figures
from producer.whatif.replayed import Replayed, off
from producer.whatif.routes import Plan

_MOST_BATCHES = 5
_MUCH_MORE = 2
_TENTH = Decimal("0.1")
_MINUTE_MS, _HOUR_MS = 60_000, 3_600_000
_LEFT_OUT = {"cancelled": "cancelled", "queued": "open", "running": "open", "waiting": "open"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was asked: under which plan, of which jobs; `left_out` counts by state the jobs that were not replayed."""

    plan: Plan
    scope: Scope
    left_out: Mapping[str, int]


def warnings(question: Question, *, today: date) -> Iterator[str]:
    """Tell which models of the chain end, or have ended."""
    listed = retirements() or {}
    for model in question.plan.models:
        day = listed.get(model)
        if day is not None:
            yield f"{terminal_text(model)} {'was' if day <= today else 'is to be'} retired on {day}"


def lines(found: Replayed, question: Question) -> Iterator[str]:
    """Say it to a person."""
    yield from _asked(question)
    if not found.happened.jobs:
        yield "no job ended in this time: nothing to replay"
        yield from _left_out(question)
        return
    yield from table(["", "happened", "would have", "difference"], list(_rows(found)), right={1, 2, 3})
    yield from _ranges(found)
    if set(found.tasks) != {None}:
        yield ""
        yield from table(
            ["task", "jobs", "happened", "would have", "difference"], list(_tasks(found)), right={1, 2, 3, 4}
        )
    yield from _batches(found)
    yield ""
    yield check_line(found)
    for assumed, count in sorted(found.notes.jobs.items(), key=lambda each: (-each[1], each[0].because, each[0].model)):
        yield terminal_text(f"{count:,} jobs: {said(assumed, found)}")
    yield from map(terminal_text, _asked_more(found))
    yield from _left_out(question)
    yield from NOT_REPLAYED


def check_line(found: Replayed) -> str:
    """Tell how far a replay of what was is off: how much there is to be believed."""
    recorded = found.happened.cost_usd
    told = f"replayed as it was: {usd_rounded(found.as_it_was.cost_usd)} against {usd_rounded(recorded)} recorded"
    shares = [off(figures, found.happened) for figures in (found.as_it_was, found.by_averages)]
    if shares[0] is None or shares[1] is None:
        return told
    averages = (
        f"by averages, blind to what each job did, {usd_rounded(found.by_averages.cost_usd)}, {shares[1]:.1%} off"
    )
    return f"{told}, {shares[0]:.1%} off; {averages}"


def _asked(question: Question) -> Iterator[str]:
    plan, scope = question.plan, question.scope
    starts = ", ".join(f"{task} starts with {plan.models[rung]}" for task, rung in plan.starts.items())
    yield terminal_text(f"chain: {', '.join(plan.models)}{f'; {starts}' if starts else ''}")
    days = f"from {scope.since or 'the first day'} to {scope.until or 'now'}"
    parts = [
        f"jobs that ended {days}",
        scope.task and f"of task {scope.task}",
        scope.batch_id and f"of {scope.batch_id}",
    ]
    yield terminal_text(f"{', '.join(part for part in parts if part)}; chain in force: {', '.join(plan.was)}")


def _rows(found: Replayed) -> Iterator[list[str]]:
    was, would = found.happened, found.would
    yield ["jobs", f"{was.jobs:,}", f"{would.jobs:,}", ""]
    for name in ("answered", "failed", "attempts"):
        ours, theirs = getattr(was, name), getattr(would, name)
        yield [name, _tenths(ours), _tenths(theirs), _signed(theirs - ours)]
    yield ["cost", _cost(was), _cost(would), usd_rounded(would.cost_usd - was.cost_usd, is_signed=True)]
    yield ["cost an answer", *_pair(was.per_answer_usd, would.per_answer_usd)]
    depths = (was.mean_depth, would.mean_depth)
    yield ["mean depth", *("-" if depth is None else f"{depth:.2f}" for depth in depths), _apart(*depths)]
    for depth in sorted({*was.depths, *would.depths}):
        shares = [side.depths.get(depth, ZERO) / side.answered if side.answered else ZERO for side in (was, would)]
        points = f"{(shares[1] - shares[0]) * 100:+.1f} points"
        yield [f"depth {depth}", *(f"{share:.1%}" for share in shares), points if shares[0] != shares[1] else ""]
    for percent in (50, 95):
        ours_ms, theirs_ms = was.duration_ms(percent) or 0.0, would.duration_ms(percent) or 0.0
        yield [f"job, p{percent}", _time(ours_ms), _time(theirs_ms), _time_apart(theirs_ms - ours_ms)]


def _ranges(found: Replayed) -> Iterator[str]:
    cost, answered = found.cost_usd, found.answered
    if cost.low != cost.high:
        bounds = f"{usd_rounded(cost.low)} to {usd_rounded(cost.high)}"
        yield f"would have cost from {bounds}, by how much is known of these models"
    if _tenths(answered.low) != _tenths(answered.high):
        yield f"would have answered from {_tenths(answered.low)} to {_tenths(answered.high)} jobs, likewise"


def _tasks(found: Replayed) -> Iterator[list[str]]:
    for task, (was, would) in by_cost(found):
        difference = usd_rounded(would.cost_usd - was.cost_usd, is_signed=True)
        yield [task or "-", f"{was.jobs:,}", _cost(was), _cost(would), difference]


def by_cost(found: Replayed) -> list[tuple[str | None, tuple[Figures, Figures]]]:
    """List the task kinds, the most expensive first."""
    return sorted(found.tasks.items(), key=lambda each: (-each[1][0].cost_usd, each[0] or ""))


def _batches(found: Replayed) -> Iterator[str]:
    times = list(found.batches.by_change())
    if times:
        yield ""
        rows = [
            [batch, _at(time.ended_at), _at(time.would_end_at), _time_apart(_moved_ms(time))]
            for batch, time in times[:_MOST_BATCHES]
        ]
        yield from table(["batch", "ended", "would have", "difference"], rows, right={3})
    if len(times) > _MOST_BATCHES:
        yield f"and {len(times) - _MOST_BATCHES:,} batches that move less"


def _asked_more(found: Replayed) -> Iterator[str]:
    notes = found.notes
    for model, calls in sorted(notes.would_ask.items()):
        if calls > _MUCH_MORE * notes.asked[model]:
            was = f"asked {notes.asked[model]:,} times" if notes.asked[model] else "never asked"
            yield f"{model} was {was} and would be asked {_tenths(calls)} times: its limits may not allow that"


def _left_out(question: Question) -> Iterator[str]:
    counts = dict[str, int]()
    for state, count in question.left_out.items():
        counts[_LEFT_OUT[state]] = counts.get(_LEFT_OUT[state], 0) + count
    if counts:
        yield f"left out: {', '.join(f'{count:,} {word}' for word, count in sorted(counts.items()))} jobs"


def _cost(figures: Figures) -> str:
    told = usd_rounded(figures.cost_usd)
    return f"{told} + {_tenths(figures.unknown_costs)} unknown" if figures.unknown_costs else told


def _pair(ours: Decimal | None, theirs: Decimal | None) -> tuple[str, str, str]:
    told = tuple("unknown" if usd is None else usd_rounded(usd) for usd in (ours, theirs))
    return *told, "" if ours is None or theirs is None else usd_rounded(theirs - ours, is_signed=True)  # type: ignore[return-value] # two texts


def _apart(ours: Decimal | None, theirs: Decimal | None) -> str:
    return "" if ours is None or theirs is None else f"{theirs - ours:+.2f}"


def _tenths(count: Decimal) -> str:
    rounded = count.quantize(_TENTH)
    return f"{int(rounded):,}" if rounded == int(rounded) else f"{rounded:,}"


def _signed(count: Decimal) -> str:
    return f"{'+' if count > 0 else '-' if count < 0 else ''}{_tenths(abs(count))}"


def _time(time_ms: float) -> str:
    if time_ms < _MINUTE_MS:
        return milliseconds(round(time_ms))
    return f"{time_ms / _MINUTE_MS:.1f} min" if time_ms < _HOUR_MS else f"{time_ms / _HOUR_MS:.1f} h"


def _time_apart(time_ms: float) -> str:
    return f"{'-' if time_ms < 0 else '+' if time_ms > 0 else ''}{_time(abs(time_ms))}"


def _at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _moved_ms(time: BatchTime) -> float:
    return (time.would_end_at - time.ended_at).total_seconds() * 1000
