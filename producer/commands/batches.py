"""The commands that show batches and jobs: watch, status, ls, results, show, job."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models import errors
from models.outcome import AT_HALF_PRICE
from producer.commands.options import BatchArgument, JsonOption, LinesOption, SomeBatchArgument, TimeoutOption
from producer.commands.options import producer as open_producer
from producer.output.format import counted
from producer.output.terminal import hint, next_step, print_lines, print_whole

if TYPE_CHECKING:
    from producer.client import Batch, Producer

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415


def watch(batch: BatchArgument, timeout_s: TimeoutOption = None) -> None:
    """Follow a batch to its end; Ctrl-C detaches and cancels nothing."""
    with open_producer() as producer:
        follow(producer, producer.batch(batch), timeout_s)


def status(batch: BatchArgument, as_json: JsonOption = False) -> None:
    """Print the state of a batch, with the causes and times of its waiting jobs."""
    from producer.output import batch_lines
    from producer.output.wait_lines import wait_lines, waits_json

    with open_producer() as ours:
        progress = ours.batch(batch).progress()
        is_open = not progress.is_finished
        waits = ours.store.waits.of_batch(progress.batch_id, ours.models) if is_open else []
        throttles = ours.throttles() if is_open else []
        if as_json:
            print_whole(
                json.dumps(json.loads(batch_lines.progress_json(progress)) | waits_json(waits, ours.models, throttles))
            )
        else:
            print_lines(batch_lines.batch_table([progress]))
            print_lines(wait_lines(waits, ours.models, throttles))
            if any(one.reason in AT_HALF_PRICE for one in waits):
                print_lines(_half_price(ours, progress.batch_id))
            order = "watch" if is_open else "show"
            next_step(f"next: stepdown {order} {progress.batch_id}")
        for verdict in ours.store.health.today():
            if verdict.is_alarming:
                hint(f"alarm: {verdict.in_words()}")


def ls(limit: Annotated[int, typer.Option(min=1)] = 20, as_lines: LinesOption = False) -> None:
    """List the batches, the newest first."""
    from producer.output.batch_lines import batch_table, progress_json

    with open_producer() as producer:
        found = list(producer.store.reports.batches(limit=limit))
    if as_lines:
        print_lines(map(progress_json, found), whole=True)
        return
    print_lines(batch_table(found))
    next_step("next: stepdown show BATCH lists its jobs" if found else "no batch yet: stepdown submit FILE")


def results(
    batch: BatchArgument,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="a file; left out, stdout")] = None,
    as_format: Annotated[str, typer.Option("--format", help="jsonl, csv, parquet, anthropic or openai")] = "jsonl",
) -> None:
    """Write the answers, with the input's own columns."""
    from producer.files import results as writing
    from producer.output import batch_lines as showing

    with open_producer() as producer:
        found = producer.batch(batch)
        writing.write_to(output, found.answers(), format=as_format)
        left = found.progress()
        if not left.is_finished:
            hint(showing.not_ended_line(left, is_told=as_format in writing.OWN_FORMATS))


def show(
    batch: SomeBatchArgument = None,
    failed: Annotated[bool, typer.Option("--failed", help="only the failed jobs")] = False,
    held: Annotated[bool, typer.Option("--held", help="only jobs that wait for a person; of all batches too")] = False,
    as_lines: LinesOption = False,
) -> None:
    """List a batch's jobs and its receipt."""
    from producer.output import batch_lines as showing

    if batch is None and not held:
        raise errors.InputError("name a BATCH, or ask for --held of all", source="show")
    with open_producer() as producer:
        found = None if batch is None else producer.batch(batch).id
        reports = producer.store.reports
        answers = reports.held(found) if held else reports.answers(str(found))
        chosen = (answer for answer in answers if not failed or answer.state == "failed")
        if as_lines:
            print_lines(map(showing.job_json, chosen), whole=True)
            return
        is_any = bool(print_lines(showing.job_table(chosen)))
        if found is not None:
            _receipt(producer, found)
        next_step(
            "next: stepdown job JOB tells each call of a job, with reason and cost" if is_any else "no job to show"
        )


def job(job_id: Annotated[str, typer.Argument(metavar="ID")], as_json: JsonOption = False) -> None:
    """Print a job's whole story: every attempt, skip and wait, each with its reason and cost."""
    from producer.story.rows import job_record
    from producer.story.story import story, story_json

    with open_producer() as producer:
        reports = producer.store.reports
        record = job_record(reports.job_id(job_id), reports)
        throttles = [] if as_json or record.job["finished_at"] else producer.throttles()
        lines = [story_json(record)] if as_json else story(record, producer.models, throttles)
        print_lines(lines, whole=as_json)


def follow(producer: "Producer", batch: "Batch", timeout_s: float | None) -> None:
    """Watch a batch to its end, print its receipt, and exit with the code of that end."""
    from producer.output.batch_lines import over_budget_line
    from producer.output.watch import watch as watch_it

    try:
        progress = watch_it(batch.progress, timeout_s=timeout_s)
    except KeyboardInterrupt:
        hint(f"detached; the batch goes on: stepdown watch {batch.id}")
        raise typer.Exit(errors.INTERRUPTED) from None
    _receipt(producer, batch.id)
    if progress.held:
        held = counted(progress.held, "job is", "jobs are")
        hint(f"{held} held until a person decides: stepdown show {batch.id} --held")
    if progress.over_budget:
        hint(over_budget_line(progress))
        raise typer.Exit(errors.MONEY_CAP)
    raise typer.Exit(errors.OK if progress.succeeded == progress.job_count else errors.SOME_FAILED)


def _receipt(producer: "Producer", batch_id: str) -> None:
    from producer.output.batch_lines import cache_line, receipt

    reports = producer.store.reports
    for line in receipt(reports.models(batch_id), reports.depths(batch_id), sys.stderr):
        hint(line)
    if use := reports.cache(batch_id):
        hint(cache_line(use))
    for line in _half_price(producer, batch_id):
        hint(line)


def _half_price(producer: "Producer", batch_id: str) -> Iterator[str]:
    from producer.output.batch_lines import half_price_lines

    if use := producer.store.reports.half_price(batch_id):
        yield from half_price_lines(use)
