"""Words for the open jobs of a batch: what they wait for, and when the next and the last of them go on."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from models.throttles import Throttle
from producer.throttle_lines import held_by, over, throttle_json, throttle_line, waited_for
from producer.words import duration

if TYPE_CHECKING:
    from models.waits import Waits


def wait_lines(found: "Sequence[Waits]", models: Sequence[str], throttles: Sequence[Throttle]) -> Iterator[str]:
    """Return a line for each group of open jobs, then a line for each throttle that holds one of the groups."""
    holding: list[Throttle] = []
    for waits in found:
        held = over(_model(waits.rung, models), throttles)
        holding += [throttle for throttle in held if waits.stage != "running" and throttle not in holding]
        yield f"  {_line(waits, models, held)}"
    yield from (f"  now: {throttle_line(throttle)}" for throttle in holding)


def waits_json(
    found: "Sequence[Waits]", models: Sequence[str], throttles: Sequence[Throttle]
) -> dict[str, list[dict[str, Any]]]:
    """Lay the same out for a program. A job that is due has 0 seconds left, never a time that is past."""
    waits = [
        {
            "stage": one.stage,
            "model": _model(one.rung, models),
            "jobs": one.jobs,
            "reason": one.reason or None,
            "about": _model(one.about, models) if one.reason else None,
            "limit": one.limit,
            "per_minute": one.per_minute,
            "due_now": one.due,
            "next_in_s": None if one.next_in_s is None else round(one.next_in_s, 3),
            "last_in_s": None if one.last_in_s is None else round(one.last_in_s, 3),
        }
        for one in found
    ]
    return {"waits": waits, "throttles": [throttle_json(throttle) for throttle in throttles]}


def _line(waits: "Waits", models: Sequence[str], held: Sequence[Throttle]) -> str:
    model, count, is_one = _model(waits.rung, models), f"{waits.jobs:,}", waits.jobs == 1
    match waits.stage:
        case "waiting":
            about = _model(waits.about, models)
            cause = waited_for(waits.reason, about, limit=waits.limit, per_minute=waits.per_minute)
            then = "" if waits.about == waits.rung else f", then for {model}"
            return f"{count} {'waits' if is_one else 'wait'} for {cause}{then}: {_due(waits)}"
        case "queued":
            holders = " and ".join(held_by(throttle) for throttle in held)
            why = f"held by {holders}" if holders else "the dispatcher tops the queue up"
            return f"{count} {'is' if is_one else 'are'} queued for {model} and not sent yet: {why}"
        case "sent":
            return f"{count} {'is' if is_one else 'are'} in the queue of {model} until a worker is free"
        case "running":
            return f"{count} {'runs' if is_one else 'run'} at {model}"


def _due(waits: "Waits") -> str:
    if waits.due == waits.jobs or waits.next_in_s is None or waits.last_in_s is None:
        return "due now"
    last = f"the last in {duration(waits.last_in_s)}"
    if waits.due:
        return f"{waits.due:,} due now, {last}"
    soon = f"in {duration(waits.next_in_s)}"
    return soon if waits.jobs == 1 else f"the next {soon}, {last}"


def _model(rung: int, models: Sequence[str]) -> str:
    return models[rung] if rung < len(models) else f"rung {rung}"
