"""What a replay found, for programs."""

from decimal import Decimal
from typing import Any

from models.money.pricing import NANO_USD
from producer.whatif.assumptions import NOT_REPLAYED, said
from producer.whatif.came_to import BatchTime, Figures
from producer.whatif.lines import Question, by_cost
from producer.whatif.replayed import Replayed


def as_json(found: Replayed, question: Question) -> dict[str, Any]:
    """Lay it out for programs: money and expected counts are texts, so that no reader makes floats of them."""
    plan, scope = question.plan, question.scope
    return {
        "chain": list(plan.models),
        "starts": {task: plan.models[rung] for task, rung in plan.starts.items()},
        "chain_in_force": list(plan.was),
        "since": None if scope.since is None else str(scope.since),
        "until": None if scope.until is None else str(scope.until),
        "task": scope.task,
        "batch": scope.batch_id,
        "happened": _figures(found.happened),
        "would": {
            **_figures(found.would),
            "low_usd": _nano(found.cost_usd.low),
            "high_usd": _nano(found.cost_usd.high),
            "answered_low": _count(found.answered.low),
            "answered_high": _count(found.answered.high),
        },
        "difference_usd": _nano(found.would.cost_usd - found.happened.cost_usd),
        "tasks": [
            {"task": task, "happened": _figures(happened), "would": _figures(would)}
            for task, (happened, would) in by_cost(found)
        ],
        "batches": [_batch_json(batch, time) for batch, time in found.batches.by_change()],
        "replayed_as_it_was_usd": _nano(found.as_it_was.cost_usd),
        "replayed_by_averages_usd": _nano(found.by_averages.cost_usd),
        "left_out": dict(question.left_out),
        "assumptions": [
            {**assumed._asdict(), "jobs": count, "said": said(assumed, found)}
            for assumed, count in found.notes.jobs.items()
        ],
        "not_replayed": list(NOT_REPLAYED),
    }


def _figures(figures: Figures) -> dict[str, Any]:
    each = figures.per_answer_usd
    return {
        "jobs": figures.jobs,
        "answered": _count(figures.answered),
        "failed": _count(figures.failed),
        "attempts": _count(figures.attempts),
        "cost_usd": _nano(figures.cost_usd),
        "unknown_costs": _count(figures.unknown_costs),
        "cost_per_answer_usd": None if each is None else _nano(each),
        "mean_depth": None if figures.mean_depth is None else f"{figures.mean_depth:.4f}",
        "depths": {str(depth): _count(count) for depth, count in sorted(figures.depths.items())},
        "p50_ms": figures.duration_ms(50),
        "p95_ms": figures.duration_ms(95),
    }


def _batch_json(batch: str, time: BatchTime) -> dict[str, Any]:
    return {"batch": batch, "ended_at": time.ended_at.isoformat(), "would_end_at": time.would_end_at.isoformat()}


def _nano(usd: Decimal) -> str:
    return f"{usd.quantize(NANO_USD):f}"


def _count(count: Decimal) -> str:
    return f"{count.quantize(Decimal('0.0001')).normalize():f}"
