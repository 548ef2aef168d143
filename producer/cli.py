"""`stepdown`: reads the command line, calls the one function for it, and turns its end into an exit code."""

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models import errors
from producer import estimate, orders, prices, processes, questions, rebuild, reprice
from producer.analyst import analyst
from producer.chain import chain
from producer.exits import hear_all
from producer.options import (
    BatchArgument,
    JsonOption,
    LinesOption,
    MaxCostOption,
    OnUnknownOption,
    RetryFailedOption,
    SomeBatchArgument,
    TimeoutOption,
    UrgentOption,
    WeightOption,
    hint,
    print_version,
    say,
)
from producer.options import producer as open_producer
from producer.options import settings as read_settings
from producer.reconcile.command import reconcile
from producer.status import status
from producer.submit_options import takes_form, takes_terms, takes_ways
from producer.terminal import prepare_streams
from producer.whatif.command import whatif

if TYPE_CHECKING:
    from models.kinds import JobTerms
    from producer.client import Batch, Producer
    from producer.files.shapes import Form

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

app = typer.Typer(
    name="stepdown",
    help="A queue that answers prompts with the cheapest model that will do, and keeps an exact receipt.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would take half the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)
db = typer.Typer(help="The ledger's schema.", no_args_is_help=True)
app.add_typer(db, name="db")
db.command()(analyst)
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
ledger = typer.Typer(help="What everything cost.", no_args_is_help=True)
app.add_typer(ledger, name="ledger")
for question in (questions.report, questions.sql, questions.export):
    ledger.command()(question)
for review in (reprice.reprice, reconcile, rebuild.rebuild):
    ledger.command()(review)
app.add_typer(prices.prices, name="prices")
app.add_typer(chain, name="chain")


@app.callback()
def _any_command(
    _version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="print the version, and end")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run one command. Exit codes: 0 all succeeded, 1 some failed, 2 usage, 3 money cap, 4 unreachable, 5 no price."""
    prepare_streams()
    hear_all()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except (errors.StepdownError, TimeoutError) as error:
        sys.stderr.write(f"stepdown: {error}\n")
        sys.exit(errors.exit_code(error))
    except KeyboardInterrupt:
        sys.exit(errors.INTERRUPTED)
    except (SystemExit, BrokenPipeError) as end:
        # `stepdown results ... | head` is not an error, though Click would end it with 1 and Python with 120.
        if isinstance(end, SystemExit) and not isinstance(end.__context__, BrokenPipeError):
            raise
        sys.stdout = sys.stderr
        sys.exit(errors.OK)
    except OSError as error:  # whatever a command writes elsewhere says itself what is wrong with it
        sys.stdout = sys.stderr
        sys.stderr.write(f"stepdown: what it has to say cannot be written ({error.strerror})\n")
        sys.exit(errors.USAGE)


@app.command()
@takes_terms
@takes_ways
@takes_form
def submit(  # noqa: PLR0913, PLR0917 - each is an option
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="JSONL, text, CSV, Parquet, vendors' batches; - is stdin")
    ],
    task: Annotated[str | None, typer.Option(help="task kind: where in the chain it starts (TASK_STARTS)")] = None,
    name: Annotated[str | None, typer.Option(help="what people call the batch")] = None,
    key: Annotated[str | None, typer.Option(help="the same prompts under one key are bought once")] = None,
    retry_failed: RetryFailedOption = False,
    tag: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="kept with the batch; repeatable")] = None,
    max_cost: MaxCostOption = None,
    on_unknown: OnUnknownOption = None,
    urgent: UrgentOption = False,
    weight: WeightOption = 1,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="leave bad lines out, and list them")] = False,
    allow_unpriced: Annotated[bool, typer.Option(help="take models without a price; their cost is unknown")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="wait for the answers, then exit 0 or 1")] = False,
    timeout_s: TimeoutOption = None,
    *,
    form: "Form",
    terms: "JobTerms | None" = None,
    ways: "dict[str, Any] | None" = None,
) -> None:
    """Enqueue a file of prompts as one batch, or of documents with --map; prints its id."""
    from producer import submit as submitting

    if retry_failed and key is None:
        raise errors.InputError("is for a batch that a --key knows; give one", source="submit", field="--retry-failed")
    settings = read_settings()
    labels: dict[str, Any] = {"task": task, "name": name, "key": key, "tags": submitting.tags(tag or [])}
    money: dict[str, Any] = {"allow_unpriced": allow_unpriced, "max_cost_usd": max_cost}
    lane: dict[str, Any] = {"urgent": urgent, "weight": weight, "on_unknown": submitting.choice(on_unknown)}
    read_as: dict[str, Any] = {"form": replace(form, models=settings.chain.models), "ways": ways, "skip_bad": skip_bad}
    with submitting.opened_either(file, **read_as) as prompts, open_producer(settings) as producer:
        batch = submitting.submitted(producer, prompts, terms=terms, **labels, **money, **lane)
        retried = submitting.retried(producer, batch, settings, terms) if retry_failed else None
        told: dict[str, Any] = {"unheeded": prompts.unheeded_models, "notes": prompts.notes, "retried": retried}
        told |= {"task": None if ways else task, "starts": settings.chain.starts}
        _accepted(batch, submitting.hints(batch, key, **told))
        if watch:
            _watch(producer, batch, timeout_s)


@app.command()
def watch(batch: BatchArgument, timeout_s: TimeoutOption = None) -> None:
    """Follow a batch to its end; Ctrl-C detaches and cancels nothing."""
    with open_producer() as producer:
        _watch(producer, producer.batch(batch), timeout_s)


app.command()(status)


@app.command()
def ls(limit: Annotated[int, typer.Option(min=1)] = 20, as_lines: LinesOption = False) -> None:
    """List the batches, the newest first."""
    from producer import show as showing

    with open_producer() as producer:
        for progress in producer.books.reports.batches(limit=limit):
            say(showing.progress_json(progress) if as_lines else showing.progress_line(progress))


@app.command()
def results(
    batch: BatchArgument,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="a file; left out, stdout")] = None,
    as_format: Annotated[str, typer.Option("--format", help="jsonl, csv, parquet, anthropic or openai")] = "jsonl",
) -> None:
    """Write the answers, with the input's own columns."""
    from producer import show as showing
    from producer.files import results as writing

    with open_producer() as producer:
        found = producer.batch(batch)
        writing.write_to(output, found.answers(), format=as_format)
        left = found.progress()
        if not left.is_finished:
            hint(showing.not_ended_line(left, is_told=as_format in writing.OWN_FORMATS))


@app.command()
def show(
    batch: SomeBatchArgument = None,
    failed: Annotated[bool, typer.Option("--failed", help="only the failed jobs")] = False,
    held: Annotated[bool, typer.Option("--held", help="only jobs that wait for a person; of all batches too")] = False,
    as_lines: LinesOption = False,
) -> None:
    """List a batch's jobs and its receipt."""
    from producer import show as showing

    if batch is None and not held:
        raise errors.InputError("name a BATCH, or ask for --held of all", source="show")
    with open_producer() as producer:
        found = None if batch is None else producer.batch(batch).id
        for answer in producer.books.reports.held(found) if held else producer.books.reports.answers(str(found)):
            if not failed or answer.state == "failed":
                say(showing.job_json(answer) if as_lines else showing.job_line(answer))
        if found is not None and not as_lines:
            _receipt(producer, found)


@app.command()
def job(job_id: Annotated[str, typer.Argument(metavar="ID")], as_json: JsonOption = False) -> None:
    """Tell a job's whole story: every attempt, skip and wait, each with its reason and cost."""
    from producer.story.job import story, story_json
    from producer.story.told import told_of

    with open_producer() as producer:
        reports = producer.books.reports
        told = told_of(reports.job_id(job_id), reports)
        throttles = [] if as_json or told.job["finished_at"] else producer.throttles()
        for line in [story_json(told)] if as_json else story(told, producer.models, throttles):
            say(line)


@app.command()
def doctor(
    worker: Annotated[bool, typer.Option("--worker", help="only whether a worker of this machine claims jobs")] = False,
    as_lines: LinesOption = False,
) -> None:
    """Check key, prices, ledger, disk, broker, workers, throttles and API; each finding says what would be right."""
    import json
    from dataclasses import asdict

    if worker:
        from producer.claims import examine_worker as examine
    else:
        from producer.doctor import examine

    verdicts = []
    for finding in examine(read_settings()):
        verdicts.append(finding)
        line = f"{finding.verdict:<5} {finding.what:<8} {finding.said}"
        say(json.dumps(asdict(finding)) if as_lines else line)
    failed = {finding.what for finding in verdicts if finding.verdict == "fail"}
    if failed:
        raise typer.Exit(errors.UNREACHABLE if failed & {"broker", "ledger", "worker"} else errors.USAGE)


@db.command()
def upgrade() -> None:
    """Bring the ledger's schema to this version's."""
    from migrations import run
    from models.database import open_database

    engine = open_database(read_settings().database_url.get_secret_value())
    run.upgrade(engine)
    say(f"{engine.url.render_as_string(hide_password=True)} is at revision {run.revisions(engine)[0]}")
    engine.dispose()


def _accepted(batch: "Batch", hints: Iterable[str]) -> None:
    say(batch.id, at_once=True)  # whoever reads it through a pipe can act on it while we watch
    for line in hints:
        hint(line)


def _watch(producer: "Producer", batch: "Batch", timeout_s: float | None) -> None:
    from producer.show import over_budget_line
    from producer.watch import watch as follow

    try:
        progress = follow(batch.progress, timeout_s=timeout_s)
    except KeyboardInterrupt:
        hint(f"detached; the batch goes on: stepdown watch {batch.id}")
        raise typer.Exit(errors.INTERRUPTED) from None
    _receipt(producer, batch.id)
    if progress.held:
        hint(f"{progress.held} jobs are held until a person decides: stepdown show {batch.id} --held")
    if progress.over_budget:
        hint(over_budget_line(progress))
        raise typer.Exit(errors.MONEY_CAP)
    raise typer.Exit(errors.OK if progress.succeeded == progress.job_count else errors.SOME_FAILED)


def _receipt(producer: "Producer", batch_id: str) -> None:
    from producer.show import cache_line, receipt

    reports = producer.books.reports
    for line in receipt(reports.models(batch_id), reports.depths(batch_id)):
        hint(line)
    if use := reports.cache(batch_id):
        hint(cache_line(use))


# After the commands above, so that --help lists them in the order of a job's life.
for order in (orders.cancel, orders.retry, orders.release, orders.drop, orders.purge, estimate.estimate, whatif):
    app.command()(order)
for process in (processes.flower, processes.serve, processes.demo, processes.mcp):
    app.command()(process)
app.command(context_settings=_PASS_ON)(processes.worker)
app.command(context_settings=_PASS_ON)(processes.simulate)
