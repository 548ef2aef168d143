"""What the commands print: a batch, its jobs, a job's whole story, the receipt. Text in, text out."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from models.answer import Answer
from models.chain import short_name
from models.outcome import State
from models.progress import ModelLine, Progress
from producer.terminal import terminal_text
from producer.words import bar, milliseconds, money

_HEAD = f"  {'model':<16}{'depth':>6}{'attempts':>10}{'ok':>6}{'failed':>8}{'p50':>9}  {'cost':>12}"


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
            "attempts": progress.attempts,
            "cost_usd": f"{progress.cost_usd:f}",
            "unknown_costs": progress.unknown_costs,
            "max_cost_usd": None if progress.cap_usd is None else f"{progress.cap_usd:f}",
        }
    )


def progress_line(progress: Progress) -> str:
    """One line: id, name, age, jobs by state, money."""
    states = ", ".join(f"{progress.states[state]} {state}" for state in State if progress.states.get(state))
    states += f" ({progress.held} held until a person decides)" if progress.held else ""
    name = f"  {terminal_text(progress.name)}" if progress.name else ""
    states += f" ({progress.over_budget} over budget)" if progress.over_budget else ""
    cost = money(progress.cost_usd, unknown=progress.unknown_costs)
    cost += "" if progress.cap_usd is None else f" of at most {money(progress.cap_usd)}"
    made = progress.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    return f"{progress.batch_id}{name}  {made}  {states} of {progress.job_count}  {cost}"


def over_budget_line(progress: Progress) -> str:
    """Say how many jobs the cap stopped, and how to go on."""
    count = progress.over_budget
    if progress.cap_usd is None:
        return f"{count} jobs are over budget: a cap of the day, a task or a tag is used up (stepdown show says which)"
    spent = f"{money(progress.cost_usd)} of {money(progress.cap_usd)} are spent"
    spent += f", {money(progress.reserved_usd)} more may be" if progress.reserved_usd else ""
    return f"{count} jobs are over budget ({spent}): stepdown retry {progress.batch_id} --failed --max-cost USD goes on"


def receipt(lines: Sequence[ModelLine], depths: Mapping[int, int]) -> Iterator[str]:
    """Lay out the receipt: a line for each model and depth, the sum, and how deep the answers came from."""
    yield _HEAD
    for line in lines:
        cost = money(line.cost_usd, unknown=line.unknown_costs)
        yield (
            f"  {short_name(line.model):<16}{line.fallback_depth:>6}{line.attempts:>10}{line.answered:>6}"
            f"{line.failed:>8}{milliseconds(line.p50_ms):>9}  {cost:>12}"
        )
    total = sum((line.cost_usd for line in lines), Decimal(0))
    unknown = sum(line.unknown_costs for line in lines)
    attempts, answered = sum(line.attempts for line in lines), sum(line.answered for line in lines)
    failed = sum(line.failed for line in lines)
    yield (f"  {'total':<16}{'':>6}{attempts:>10}{answered:>6}{failed:>8}{'':>9}  {money(total, unknown=unknown):>12}")
    if not_ended := attempts - answered - failed:
        yield f"  {not_ended} attempts have not ended, or their worker was killed: what they cost is not known"
    finished = sum(depths.values())
    for depth, count in depths.items():
        share = count / finished
        yield f"  fallback depth {depth:>3}  {bar(share, width=30)}{count:>7}{share:>8.1%}"


def job_line(answer: Answer) -> str:
    """One line for a job of a batch."""
    model = "-" if answer.model is None else f"{short_name(answer.model)} d{answer.fallback_depth}"
    why = f"  {terminal_text(answer.error)}" if answer.error else ""
    return f"{answer.job_id}  {terminal_text(answer.id)}  {answer.state}  {model}  {money(answer.cost_usd)}{why}"


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


def story(job: Mapping[str, Any], attempts: Iterable[Mapping[str, Any]], models: Sequence[str]) -> Iterator[str]:
    """Tell all that happened to a job: every attempt with its reason, what was given up, what it waits for.

    `models` is the chain; a rung beyond it, of a job accepted under a longer one, is told by its number.
    """
    yield f"job {job['id']}  prompt {terminal_text(job['prompt_id'])}  batch {job['batch_id'] or '-'}"
    yield f"  {_clock(job['created_at'])}  accepted, to start at {_rung(job['start_rung'], models)}"
    for attempt in attempts:
        yield f"  {terminal_text(_attempt(attempt))}"  # models and error types are the API's words
    for rung, why in job["given_up"].items():
        yield f"            {_rung(int(rung), models)} {'was waited for' if why == 'waited' else f'given up: {why}'}"
    yield f"  {_standing(job, models)}"
    if job["error"]:
        yield f"            {terminal_text(job['error'])}"


def story_json(job: Mapping[str, Any], attempts: Iterable[Mapping[str, Any]]) -> str:
    """Write the same as one JSON object, without the prompt."""
    kept = {name: value for name, value in job.items() if name not in {"params", "columns"}}
    return json.dumps({**kept, "attempts": [dict(attempt) for attempt in attempts]}, default=_plain)


def _attempt(attempt: Mapping[str, Any]) -> str:
    model, served = attempt["requested_model"], attempt["served_model"]
    by = f" by {short_name(served)}" if served and served != model else ""
    status = "" if attempt["http_status"] is None else f" {attempt['http_status']}"
    kind = " ".join(word for word in (attempt["error_type"], attempt["error_code"]) if word)
    tokens = "" if attempt["output_tokens"] is None else f"  {_tokens(attempt)}"
    return (
        f"{_clock(attempt['opened_at'])}  {attempt['attempt_no']}. {attempt['reason']} on {short_name(model)} "
        f"d{attempt['fallback_depth']}: {attempt['outcome'] or 'open'}{by}{status}{f' {kind}' if kind else ''} "
        f"in {milliseconds(attempt['latency_ms'])}{tokens}  {money(attempt['cost_nano_usd'])} "
        f"({attempt['cost_status']})"
    )


def _tokens(attempt: Mapping[str, Any]) -> str:
    cached = (attempt["cache_read_tokens"] or 0) + (attempt["cache_write_5m_tokens"] or 0)
    cached += attempt["cache_write_1h_tokens"] or 0
    beside = f" + {cached} cached" if cached else ""
    return f"{attempt['input_tokens']}{beside} in, {attempt['output_tokens']} out"


def _standing(job: Mapping[str, Any], models: Sequence[str]) -> str:
    match job["state"]:
        case State.SUCCEEDED:
            return f"{_clock(job['finished_at'])}  succeeded: {job['model_used']} at depth {job['fallback_depth']}"
        case State.WAITING if job["due_at"] is None:
            return f"held until a person decides ({job['outcome']}): stepdown release or drop, with --job {job['id']}"
        case State.WAITING:
            return f"waits until {_clock(job['due_at'])} ({job['outcome']}), then {_rung(job['rung'], models)}"
        case State.FAILED | State.CANCELLED:
            return f"{_clock(job['finished_at'])}  {job['state']} ({job['outcome']})"
        case state:
            return f"{state}, at {_rung(job['rung'], models)}"


def _rung(rung: int, models: Sequence[str]) -> str:
    return short_name(models[rung]) if rung < len(models) else f"rung {rung}"


def _clock(at: datetime | None) -> str:
    return "--:--:--" if at is None else at.astimezone(UTC).strftime("%H:%M:%S")


def _plain(value: object) -> str:
    return (
        value.isoformat() if isinstance(value, datetime) else f"{value:f}" if isinstance(value, Decimal) else str(value)
    )
