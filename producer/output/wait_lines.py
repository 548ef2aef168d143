"""The causes of waiting of a batch's open jobs, and each throttle of the fleet, as sentences."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from models.outcome import AT_HALF_PRICE, HALF_PRICE, IN_BATCH, MOVED
from models.queue.throttles import Throttle
from models.rung_name import DEFAULT_ENDPOINT, endpoint_of
from producer.output.format import duration

if TYPE_CHECKING:
    from models.reports.waits import Waits

from collections.abc import Callable, Mapping
from datetime import UTC

from models.queue.throttles import Reason

_KINDS = {"requests": "requests", "input": "input tokens", "output": "output tokens"}
_BROKEN = {
    "overloaded": "is overloaded",
    "server_error": "answers with errors of the API",
    "timed_out": "does not answer in time",
    "unreachable": "cannot be reached",
    "missing": "is a name that the API does not know",
    "slow": "takes far longer than usual",
}
_HOLDERS = {
    "circuit_open": "the open circuit breaker ({kind})",
    "endpoint_out": "the outage of a whole endpoint",
    "key_paused": "the pause of this key",
    "full": "our own limit of {limit} calls in flight",
    "ramp": "the ramp limit of this key",
}
_WAITS = {
    "full": "a free call to {it} (our own limit of calls in flight)",
    "limited": "{it}'s limits",
    "rate_limited": "{it}'s limits, used up by the API's word",
    "ramp_limited": "the end of the key's ramp limit",
    "circuit_open": "a probe that finds {it} well",
    "key_paused": "the end of the key's pause",
    "unauthorized": "the end of the key's pause: the API refused the key",
    "spend_limit": "the end of the key's pause: its money at the provider is used up",
    "worker_stopped": "another worker",
    "over_budget": "money under the caps",
    "over_today": "the caps of the next day",
    "reserved": "money that calls in flight reserve",
    "parts": "the answers of other jobs",
    HALF_PRICE: "a place in a message batch, at half price",
    IN_BATCH: "its message batch, at half price",
    MOVED: "a live call, as the message batch gave no answer",
}


def throttle_line(throttle: Throttle) -> str:
    """Return one throttle as a sentence without its end: which model, why, since when, until when."""
    return _LINES[throttle.reason](throttle, " and ".join(throttle.models))


def held_by(throttle: Throttle) -> str:
    """Return the holder of jobs that have no message yet."""
    if throttle.reason != "limited":
        return _HOLDERS[throttle.reason].format(kind=throttle.kind, limit=throttle.limit)
    is_closed = throttle.kind == "retry-after"
    return "the API's retry-after" if is_closed else f"used-up {_limit(throttle)}{_a_minute(throttle.limit)}"


def throttle_json(throttle: Throttle) -> dict[str, Any]:
    """Lay one throttle out for a program; seconds are from the reading on."""
    return {
        "reason": throttle.reason,
        "models": list(throttle.models),
        "kind": throttle.kind or None,
        "since": throttle.since.isoformat(),
        "for_s": round(throttle.for_s, 3),
        "next_in_s": None if throttle.left_s is None else round(throttle.left_s, 3),
        "limit": throttle.limit,
        "in_flight": throttle.in_flight,
    }


def over(model: str, throttles: Sequence[Throttle]) -> list[Throttle]:
    """Return the throttles that hold a model back."""
    return [throttle for throttle in throttles if model in throttle.models]


def waited_for(reason: str, it: str, *, limit: str | None = None, per_minute: float | None = None) -> str:
    """Return what a job waits for that waits with this outcome; a word nobody knows is shown as it is.

    >>> waited_for("limited", "opus", limit="output", per_minute=8000), waited_for("overloaded", "opus")
    ("opus's output tokens (8,000 a minute)", 'another round through the chain (overloaded)')
    """
    if reason == "limited" and limit in _KINDS:
        return f"{it}'s {_KINDS[limit]}{_a_minute(per_minute)}"
    if reason == "limited" and limit == "retry-after":
        return f"the end of the API's retry-after for {it}"
    return _WAITS.get(reason, "another round through the chain ({reason})").format(it=it, reason=reason)


def _limit(throttle: Throttle) -> str:
    return _KINDS.get(throttle.kind, "limits")


def _a_minute(limit: float | None) -> str:
    return "" if limit is None else f" ({limit:,.0f} a minute)"


def _since(throttle: Throttle) -> str:
    is_today = throttle.since.date() == throttle.read_at.date()
    at = throttle.since.astimezone(UTC).strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S")
    return f"since {at} UTC (for {duration(throttle.for_s)})"


def _in(throttle: Throttle) -> str:
    return "at once" if not throttle.left_s else f"in {duration(throttle.left_s)}"


def _circuit_open(throttle: Throttle, names: str) -> str:
    broken = _BROKEN.get(throttle.kind, f"is out of rotation ({throttle.kind})")
    probes = f"one probe at a time, the next {_in(throttle)}"
    return f"{names} {broken} {_since(throttle)}: {probes}; its jobs step down or wait"


def _endpoint_out(throttle: Throttle, _names: str) -> str:
    endpoint, probes = endpoint_of(throttle.models[0]), f"one probe at a time, the next {_in(throttle)}"
    return f"endpoint {endpoint} is out, with all its models, {_since(throttle)}: {probes}; its jobs step down or wait"


def _key_paused(throttle: Throttle, _names: str) -> str:
    endpoint = endpoint_of(throttle.models[0])
    refused = "the API refuses this key" if endpoint == DEFAULT_ENDPOINT else f"endpoint {endpoint} refuses its key"
    jobs = "all jobs wait" if endpoint == DEFAULT_ENDPOINT else "its jobs wait or step down"
    return f"{refused} {_since(throttle)}: one probe at a time, the next {_in(throttle)}; {jobs}"


def _full(throttle: Throttle, names: str) -> str:
    calls = f"{throttle.in_flight} of {throttle.limit} calls are in flight"
    return f"our own limit of calls in flight holds {names} {_since(throttle)}: {calls}; jobs wait"


def _limited(throttle: Throttle, names: str) -> str:
    since, soon, come = _since(throttle), _in(throttle), "jobs wait or step down"
    if throttle.kind == "retry-after":
        return f"the API takes no call to {names} {since}: the next {soon}, by its retry-after; {come}"
    fits = "" if throttle.until is None else f"; a usual call fits {soon}"
    limit = f"{_limit(throttle)} for {names}{_a_minute(throttle.limit)}"
    return f"this key's {limit} are used up {since}: {come}{fits}"


def _ramp(throttle: Throttle, _names: str) -> str:
    speed = f"calls leave at {throttle.speed or 0:.0%} of their speed"
    return f"the API limits how fast this key's traffic grows {_since(throttle)}: {speed}, at all of it {_in(throttle)}"


_LINES: Mapping[Reason, Callable[[Throttle, str], str]] = {
    "circuit_open": _circuit_open,
    "endpoint_out": _endpoint_out,
    "key_paused": _key_paused,
    "full": _full,
    "limited": _limited,
    "ramp": _ramp,
}


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
            "under_way_s": None if one.under_way_s is None else round(one.under_way_s, 3),
        }
        for one in found
    ]
    return {"waits": waits, "throttles": [throttle_json(throttle) for throttle in throttles]}


def _line(waits: "Waits", models: Sequence[str], held: Sequence[Throttle]) -> str:
    model, count, is_one = _model(waits.rung, models), f"{waits.jobs:,}", waits.jobs == 1
    match waits.stage:
        case "waiting" if waits.reason in AT_HALF_PRICE:
            return f"{count} {_at_half_price(waits, model)}; to live calls {_due(waits)}"
        case "waiting":
            about = _model(waits.about, models)
            cause = waited_for(waits.reason, about, limit=waits.limit, per_minute=waits.per_minute)
            then = "" if waits.about == waits.rung else f", then for {model}"
            return f"{count} {'waits' if is_one else 'wait'} for {cause}{then}: {_due(waits)}"
        case "queued":
            holders = " and ".join(held_by(throttle) for throttle in held)
            reason = f"held by {holders}" if holders else "the dispatcher tops the queue up"
            return f"{count} {'is' if is_one else 'are'} queued for {model} and not sent yet: {reason}"
        case "sent":
            return f"{count} {'is' if is_one else 'are'} in the queue of {model} until a worker is free"
        case "running":
            return f"{count} {'runs' if is_one else 'run'} at {model}"


def _at_half_price(waits: "Waits", model: str) -> str:
    if waits.reason == HALF_PRICE:
        return f"{'waits' if waits.jobs == 1 else 'wait'} for a place in a message batch of {model}, at half price"
    age = "not created yet" if waits.under_way_s is None else f"the oldest for {duration(waits.under_way_s)}"
    return f"{'is' if waits.jobs == 1 else 'are'} under way at half price in message batches of {model}, {age}"


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
