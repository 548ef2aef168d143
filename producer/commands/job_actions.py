"""The commands that change what was accepted: cancel, retry, release, drop, purge."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import InputError
from models.outcome import State
from producer.commands.options import BatchArgument, JobOption, SomeBatchArgument, producer, settings
from producer.output.dates import parse_seconds
from producer.output.format import counted
from producer.output.terminal import print_line

if TYPE_CHECKING:
    from models.settings import Settings
    from producer.client import Producer


def cancel(batch: BatchArgument) -> None:
    """Cancel a batch's open jobs; says how many calls are billed all the same, and how many may be."""
    with producer() as ours:
        cancelled, in_flight, items = ours.store.job_actions.cancel(ours.batch(batch).id)
    flight = counted(in_flight, "call is in flight: it ends, and is", "calls are in flight: they end, and are")
    bought = counted(items, "item of a message batch may be billed", "items of message batches may be billed")
    print_line(
        f"{counted(cancelled, 'job')} cancelled"
        f"{f'; {flight} billed' if in_flight else ''}{f'; {bought}' if items else ''}"
    )


def retry(
    batch: SomeBatchArgument = None,
    job: JobOption = None,
    failed: Annotated[bool, typer.Option("--failed", help="the failed jobs, and no cancelled ones")] = False,
    truncated: Annotated[bool, typer.Option("--truncated", help="those whose answer was cut at max_tokens")] = False,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="with --truncated: room for the whole answer")] = None,
    max_cost: Annotated[str | None, typer.Option(metavar="USD", help="a new cap for all the batch costs")] = None,
) -> None:
    """Answer ended jobs again: failed and cancelled ones, or as chosen. Their cost so far stays in the ledger."""
    if failed and truncated:
        raise InputError("choose one", source="retry", field="--failed, --truncated")
    if max_tokens is not None and not truncated:
        raise InputError("is for --truncated", source="retry", field="--max-tokens")
    given = settings()
    with producer(given) as ours:
        target = _target(ours, batch, job)
        if max_cost is not None:
            _raise_cap(ours, target, max_cost)
        job_actions, again = ours.store.job_actions, {**_times(given), **target}
        if truncated:
            count = job_actions.retry_truncated(max_tokens=max_tokens, **again)
        else:
            states = [State.FAILED] if failed else [State.FAILED, State.CANCELLED]
            count = job_actions.retry(states=states, **again)
    print_line(f"{counted(count, 'job')} queued again")


def release(batch: SomeBatchArgument = None, job: JobOption = None) -> None:
    """Let held jobs go on. A call of theirs that may have been billed is bought again, and that is recorded."""
    given = settings()
    with producer(given) as ours:
        count = ours.store.job_actions.release(**{**_times(given), **_target(ours, batch, job)})
    print_line(counted(count, "held job goes on", "held jobs go on"))


def drop(batch: SomeBatchArgument = None, job: JobOption = None) -> None:
    """Give held jobs up: they fail as dropped, and nothing more is bought for them."""
    with producer() as ours:
        count = ours.store.job_actions.drop(**_target(ours, batch, job))
    print_line(f"{counted(count, 'held job')} dropped")


def purge(
    older_than: Annotated[str, typer.Option(metavar="AGE", help="such as 30d, 12h, 90m: since the job ended")],
) -> None:
    """Remove prompts and answers of jobs that ended so long ago; the ledger keeps every attempt and its cost."""
    older_than_s, total = parse_seconds(older_than, source="purge", field="--older-than"), 0
    with producer() as ours:
        while count := ours.store.job_actions.purge(older_than_s=older_than_s):
            total += count
    print_line(f"{counted(total, 'job')} purged of prompt and answer; the attempts stay")


def _times(given: "Settings") -> dict[str, Any]:
    return {"deadline_s": given.job_deadline_s, "live_from_s": given.live_from_s()}


def _raise_cap(ours: "Producer", target: Mapping[str, str], given: str) -> None:
    from producer.submit.checked_options import max_cost  # noqa: PLC0415 - prices are not for the other orders

    if "batch_id" not in target:
        raise InputError("is a batch's: name a BATCH", source="retry", field="--max-cost")
    usd = max_cost(given, source="retry")
    if usd is not None:
        ours.store.job_actions.raise_cap(target["batch_id"], max_cost_usd=usd)


def _target(ours: "Producer", batch: str | None, job: str | None) -> Mapping[str, str]:
    if (batch is None) == (job is None):
        raise InputError("name a BATCH, or one job with --job ID", source="stepdown")
    if job is not None:
        return {"job_id": ours.store.reports.job_id(job)}
    return {"batch_id": ours.batch(str(batch)).id}
