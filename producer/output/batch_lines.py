"""What the commands print: a batch, its jobs, the receipt. Text in, text out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from decimal import Decimal

from models.chain.chain import short_name
from models.job.answer import Answer
from models.job.progress import CacheUse, ModelLine, Progress
from models.outcome import OPEN_STATES, State
from producer.output.format import bar, milliseconds, money
from producer.output.terminal import terminal_text

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


def not_ended_line(progress: Progress, *, is_told: bool) -> str:
    """Say how many jobs have not ended, and where they are; `is_told`: their rows say it too, else they have none."""
    open_jobs = progress.job_count - progress.finished
    states = ", ".join(f"{progress.states[state]} {state}" for state in OPEN_STATES if progress.states.get(state))
    rows = "the column state tells which" if is_told else "this format leaves them out"
    return f"{open_jobs} of {progress.job_count} jobs have not ended yet ({states}): {rows}"


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


def cache_line(use: CacheUse) -> str:
    """Say how much of a batch's input was read from the provider's cache, and what that saved."""
    share = use.read_tokens / use.input_tokens
    saved = money(abs(use.saved_usd), unknown=use.unknown_costs)
    came_to = "saved" if use.saved_usd >= 0 else "nothing saved yet: to write it cost"
    return f"  cache: {share:.1%} of {use.input_tokens:,} input tokens were read from it, {came_to} {saved}"


def job_line(answer: Answer) -> str:
    """One line for a job of a batch."""
    model = "-" if answer.model is None else f"{short_name(answer.model)} d{answer.fallback_depth}"
    reason = f"  {terminal_text(answer.error)}" if answer.error else ""
    return f"{answer.job_id}  {terminal_text(answer.id)}  {answer.state}  {model}  {money(answer.cost_usd)}{reason}"


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
