"""`stepdown job ID`: all that happened to a job, in order, told to somebody who has never seen its code."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from models.chain.chain import short_name
from models.outcome import HALF_PRICE, Outcome, Reason, State
from models.queue.throttles import Throttle
from producer.output.format import duration, money
from producer.output.terminal import terminal_text
from producer.output.wait_lines import over, throttle_line
from producer.story import attempt_sentence, decision_sentence, open_job_sentence
from producer.story.reason_sentence import NOT_RUN, because
from producer.story.rows import STOP, JobRecord, Row, in_turn

_A_DAY_S = 86_400
_MOST_NAMED = 5
_QUEUED_AGAIN = "ended so, and was queued again by a person (stepdown retry)"
_REBOUGHT = "to be bought again: its batch or HOLD_ABOVE_USD allowed that, or a person did (stepdown release)"
_IN_MESSAGE_BATCH = "at half price, if a message batch answers in time"
_QUEUED_OR_LOST = f"{_QUEUED_AGAIN}; or its worker was lost, and another one went on"
_DOUBTS = {
    "truncated": ", with an answer that was cut",
    "unclear": ", with an answer that ended for a reason unknown here",
}
_LOST = "what was decided then was not noted: its worker was lost, or of an earlier version; another one went on"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """An event and its time; None if nobody noted the time."""

    at: datetime | None
    message: str


def story(record: JobRecord, models: Sequence[str], throttles: Sequence[Throttle] = ()) -> Iterator[str]:
    """Tell every attempt, skip, wait and decision with its reason, what the job is now, and what all of it cost.

    `models` is the chain; a rung beyond it, of a job accepted under a longer one, is told by its number.
    `throttles` hold the fleet back now.
    """
    job, batch = record.job, record.batch
    called = "-" if batch is None else f"{batch['name']} ({batch['id']})" if batch["name"] else batch["id"]
    yield terminal_text(f"job {job['id']}  prompt {job['prompt_id']}  batch {called}")
    day = ""
    for event in _events(record, models, throttles):
        today = day if event.at is None else f"{event.at.astimezone(UTC):%Y-%m-%d}"
        if today != day:
            yield f"  {today} (UTC)"
            day = today
        yield _line(event)


def story_json(record: JobRecord) -> str:
    """Write the same as one JSON object, without the prompt."""
    kept = {name: value for name, value in record.job.items() if name not in {"params", "columns"}}
    rows = {name: getattr(record, name) for name in ("attempts", "decisions", "parts", "message_batches")}
    whole = {**kept, **{name: list(map(dict, some)) for name, some in rows.items()}}
    return json.dumps(whole | {"due_in_s": open_job_sentence.due_in_s(record)}, default=_plain)


def _line(event: _Event) -> str:
    # Models, names and error types are other people's words.
    clock = " " * 8 if event.at is None else f"{event.at.astimezone(UTC):%H:%M:%S}"
    return f"  {clock}  {terminal_text(event.message)}"


def _events(record: JobRecord, models: Sequence[str], throttles: Sequence[Throttle]) -> Iterator[_Event]:
    job = record.job
    yield _Event(at=job["created_at"], message=_accepted(record, models))
    if record.parts and all(part["finished_at"] for part in record.parts):
        at = max(part["finished_at"] for part in record.parts)
        yield _Event(at=at, message=f"the last of the {len(record.parts)} answers it is made of was there, or given up")
    before: Row | None = None  # the last attempt
    is_over = is_call = False  # whether what was told last ended the job; whether it was an attempt
    for each in in_turn(record):
        after = each[0] if isinstance(each, list) else each
        if before is not None and is_call and _went_live(before, after):
            yield _Event(at=None, message=f"moved to live calls: {_why_live(before)}")
        elif is_call and attempt_sentence.is_stray(after):
            pass  # its job may have ended
        elif is_over:
            yield _Event(at=None, message=_QUEUED_AGAIN)
        elif before is not None and is_call:
            yield from _gap(before, after, record)
        is_call = not isinstance(each, list)
        if isinstance(each, list):
            yield from (
                _Event(at=at, message=message) for at, message in decision_sentence.sentences(each, before, models)
            )
            is_over = each[-1]["decision"] == STOP
        else:
            if before is not None and before["unknown_at"] is not None and each["reason"] == Reason.REBUY:
                yield _Event(at=None, message=_REBOUGHT)
            yield from _call(each)
            before, is_over = each, each["outcome"] == Outcome.ANSWERED
    yield from _given_up(record, models)
    yield from _standing(record, models, throttles)


def _call(attempt: Row) -> Iterator[_Event]:
    yield _Event(at=attempt["opened_at"], message=attempt_sentence.sentence(attempt))
    if attempt["unknown_at"] is not None:
        message = "its worker was found lost during that call, which may have been billed"
        yield _Event(at=attempt["unknown_at"], message=message)


def _went_live(before: Row, after: Row) -> bool:
    """Return whether a job left its message batch between two rows. Nobody notes that as a decision."""
    is_open = before["outcome"] in {None, Outcome.NOT_RUN, Outcome.LATE}
    is_item = before["message_batch_id"] is not None and not attempt_sentence.is_stray(before)
    has_left = after["lease_token"] != before["lease_token"] and after.get("message_batch_id") is None
    return is_item and has_left and (is_open or after["reason"] == Reason.LATE)


def _why_live(item: Row) -> str:
    is_over = item["outcome"] == Outcome.NOT_RUN and item["error_type"] not in {"canceled", "late"}
    return NOT_RUN.get(item["error_type"], "its message batch ended") if is_over else "the switch time had come"


def _gap(before: Row, after: Row, record: JobRecord) -> Iterator[_Event]:
    """Say so where the walk of an attempt left no word of what was decided, though others of its job did."""
    walks = {row["lease_token"] for row in record.decisions}
    is_noted = not walks or before["lease_token"] in {after["lease_token"], *walks}
    if is_noted or before["unknown_at"] is not None:
        return
    is_cut = before["outcome"] == Outcome.TRUNCATED
    yield _Event(at=None, message=_QUEUED_OR_LOST if is_cut else _LOST)


def _accepted(record: JobRecord, models: Sequence[str]) -> str:
    job, batch = record.job, record.batch
    start = short_name(job["start_model"]) if job["start_model"] else _rung(job["start_rung"], models)
    how = "accepted" if batch is None else f"accepted as one of {batch['job_count']:,} jobs of its batch"
    task = f", task {job['task']}" if job["task"] else ""
    made = [f"made of the answers to {_some([part['prompt_id'] for part in record.parts])}"] if record.parts else []
    return "; ".join([f"{how}{task}", *made, f"to start at {start}{_start_reason(job)}", *_terms(record, models)])


def _start_reason(job: Row) -> str:
    match job["start_reason"]:
        case "asked":
            return ", as it was asked to"
        case "learned":
            return ", which had been the cheapest that will do for jobs like it"
        case "explored":
            return ", to learn whether that will do, as a few jobs are"
        case None:
            return (
                ", the best of its chain"
                if job["start_rung"] == 0
                else ", where its task starts"
                if job["task"]
                else ""
            )
        case other:
            return f" ({other})"


def _terms(record: JobRecord, models: Sequence[str]) -> Iterator[str]:
    """Tell what was asked for it beyond what holds for any job."""
    job, batch = record.job, record.batch
    if job["parent"] is not None:
        yield f"called by {job['parent']}, at depth {job['call_depth']} of the tree {job['tree']}"
    lanes = {_IN_MESSAGE_BATCH: job["lane"] == HALF_PRICE, "urgent, so ahead of all that is not": job["is_urgent"]}
    yield from (lane for lane, is_chosen in lanes.items() if is_chosen)
    if batch is not None and batch["weight"] != 1:
        yield f"its batch has {batch['weight']} times the share of others"
    if job["floor_rung"] < len(models) - 1:
        yield f"nothing below {_rung(job['floor_rung'], models)} will do"
    if job["ceiling_rung"] > 0:
        yield f"nothing above {_rung(job['ceiling_rung'], models)} is to be asked"
    if job["patience_ms"] is not None:
        yield f"waits up to {duration(job['patience_ms'] / 1000)} for a model's limits"
    if job["climb_on"] is not None:
        kinds = job["climb_on"].replace(",", ", ")
        yield f"a better model is asked after an answer that is {kinds}" if kinds else "no answer is asked for again"
    if job["expects"]:
        yield f"its answer is checked ({', '.join(job['expects'])})"
    if not job["rebuys"] and abs((left_s := (job["deadline_at"] - job["created_at"]).total_seconds()) - _A_DAY_S) > 1:
        yield f"to end within {duration(left_s)}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def _given_up(record: JobRecord, models: Sequence[str]) -> Iterator[_Event]:
    """Tell what was given up, of a job whose decisions were not written down yet."""
    if record.decisions:
        return
    for rung, reason in record.job["given_up"].items():
        model = _rung(int(rung), models)
        waited = f"{model} was waited for"
        message = waited if reason in {"waited", "woken"} else f"{model} was given up: {because(reason, {})}"
        yield _Event(at=None, message=message)


def _standing(record: JobRecord, models: Sequence[str], throttles: Sequence[Throttle]) -> Iterator[_Event]:
    job = record.job
    next_rung = _rung(job["rung"], models)
    match job["state"]:
        case State.SUCCEEDED | State.FAILED | State.CANCELLED:
            yield _Event(at=job["finished_at"], message=_end(record))
        case State.WAITING if job["due_at"] is None:
            order = f"stepdown release --job {job['id']}, or stepdown drop --job {job['id']}"
            yield _Event(at=None, message=f"held until a person decides ({job['outcome']}): {order}; {_spent(record)}")
        case State.WAITING | State.QUEUED:
            held = over(models[job["rung"]], throttles) if job["rung"] < len(models) else []
            yield _Event(at=None, message=f"{open_job_sentence.sentence(record, models, held)}; {_spent(record)}")
            yield from (_Event(at=None, message=f"now: {throttle_line(throttle)}") for throttle in held)
        case state:
            yield _Event(at=None, message=f"{state}, at {next_rung}; {_spent(record)}")
    if job["error"]:
        yield _Event(at=None, message=f"kept with it: {job['error']}")


def _end(record: JobRecord) -> str:
    job = record.job
    took = "" if job["finished_at"] is None else _took(job["finished_at"], job["created_at"])
    if job["state"] != State.SUCCEEDED:
        return f"{job['state']} ({job['outcome']}){took}; {_spent(record)}"
    depth = job["fallback_depth"] or 0
    cut = _DOUBTS.get(job["outcome"], "")
    by = f"answered by {job['model_used']}{_after(depth, job)} (fallback depth {depth}){cut}"
    return f"succeeded{took}: {by}; {_spent(record)}"


def _after(depth: int, job: Row) -> str:
    if depth:
        return f" after {depth} model{'s' if depth > 1 else ''} had been given up"
    return ", where it was to start" if job["model_used"] == job["start_model"] else ""


def _took(finished_at: datetime, created_at: datetime) -> str:
    return f" {duration(max(0.0, (finished_at - created_at).total_seconds()))} after it was accepted"


def _spent(record: JobRecord) -> str:
    """Add up what it cost; attempts of unknown cost are counted beside the sum."""
    count = len(record.attempts)
    if not count:
        return "no call was made"
    costs = [row["cost_nano_usd"] for row in record.attempts]
    known = sum((cost for cost in costs if cost is not None), Decimal(0))
    return f"{count} call{'s' if count > 1 else ''}, {money(known, unknown=costs.count(None))} in all"


def _rung(rung: int, models: Sequence[str]) -> str:
    return short_name(models[rung]) if rung < len(models) else f"rung {rung}"


def _plain(value: object) -> str:
    return (
        value.isoformat() if isinstance(value, datetime) else f"{value:f}" if isinstance(value, Decimal) else str(value)
    )
