"""The standing of an open job as one sentence: the cause of its wait, its time, and the throttle behind it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from models.chain.chain import short_name
from models.outcome import HALF_PRICE, IN_BATCH, WAITS_FOR_PARTS, State
from models.queue.throttles import Throttle
from producer.output.format import duration
from producer.output.wait_lines import held_by, waited_for
from producer.story.reason_sentence import Figures, number
from producer.story.rows import JobRecord, Row

_HALTS = frozenset({"park", "wait"})  # decisions that end a walk until a time


def sentence(record: JobRecord, models: Sequence[str], held: Sequence[Throttle]) -> str:
    """Return where a queued job stands, or a waiting job with a due time; `held` are the throttles of its model."""
    job = record.job
    rung = short_name(models[job["rung"]]) if job["rung"] < len(models) else f"rung {job['rung']}"
    if job["state"] == State.QUEUED:
        return f"queued, at {rung}: {_queued(job, held)}"
    cause, left_s = _cause(record, rung), _left_s(job["due_at"], record.now)
    if not left_s:
        return f"waits for {cause}: due now, {_queued(job, held)}, then {rung}"
    if job["outcome"] == HALF_PRICE:
        return f"waits for a place in a message batch, at half price, {_switches(job['due_at'], record.now)}"
    if job["outcome"] == IN_BATCH and record.message_batches:
        return _batched(record.message_batches[-1], record.now)
    until = f"{job['due_at'].astimezone(UTC):%Y-%m-%d %H:%M:%S} (in {duration(left_s)})"
    most = "at most " if job["outcome"] == WAITS_FOR_PARTS else ""
    return f"waits for {cause}, {most}until {until}, then {rung}"


def _batched(batch: Row, now: datetime) -> str:
    switches = _switches(batch["switch_at"], now)
    if batch["sent_at"] is None:
        return f"in a message batch, at half price, that is not created yet, {switches}"
    age = f"under way for {duration((now - batch['sent_at']).total_seconds())}"
    name = batch["provider_id"] or "whose id is not known yet"
    return f"in the message batch {name}, at half price, {age}, {switches}"


def _switches(at: datetime, now: datetime) -> str:
    left_s = _left_s(at, now)
    soon = f"in {duration(left_s)}" if left_s else "now"
    return f"to live calls at {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} ({soon}) at the latest"


def due_in_s(record: JobRecord) -> float | None:
    """Return the seconds until a waiting job is due, 0 once it is; None if it waits for no time."""
    job = record.job
    return _left_s(job["due_at"], record.now) if job["state"] == State.WAITING and job["due_at"] else None


def _queued(job: Row, held: Sequence[Throttle]) -> str:
    if job["sent_at"] is not None:
        return "its message is in the queue, and the next free worker takes it"
    if held:
        return f"not sent yet, held by {' and '.join(held_by(throttle) for throttle in held)}"
    return "not sent yet, the dispatcher sends it in its turn"


def _cause(record: JobRecord, rung: str) -> str:
    """Return what the job waits for, by the decision that parked it; its outcome alone if none was noted."""
    last = max(record.decisions, key=lambda row: (row["lease_token"], row["number"]), default=None)
    outcome = str(record.job["outcome"])
    if last is None or last["decision"] not in _HALTS:
        return waited_for(outcome, rung)
    details: Figures = last["details"] if isinstance(last["details"], dict) else {}
    limit = details.get("limit")
    per_minute = number(details, "per_minute")
    return waited_for(
        outcome, short_name(last["model"]), limit=limit if isinstance(limit, str) else None, per_minute=per_minute
    )


def _left_s(due_at: datetime, now: datetime) -> float:
    return round(max(0.0, (due_at - now).total_seconds()), 3)
