"""`stepdown submit`: reads the file, enqueues its prompts, and adds hints to the id of the batch."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import NOTHING_QUEUED, InputError
from models.outcome import OnUnknown, State
from producer.commands.batches import follow
from producer.commands.options import (
    AllowUnpricedOption,
    MaxCostOption,
    OnUnknownOption,
    RetryFailedOption,
    TimeoutOption,
    UrgentOption,
    WeightOption,
    takes_mapping,
    takes_read_options,
    takes_terms,
)
from producer.commands.options import producer as open_producer
from producer.commands.options import settings as read_settings
from producer.output.terminal import hint, print_line

if TYPE_CHECKING:
    from models.job.task_kinds import JobTerms
    from models.settings import Settings
    from producer.client import Batch, Producer
    from producer.files.prompts import PromptFile
    from producer.files.record_to_prompt import ReadOptions
    from producer.map_reduce.documents import Documents

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

_MOST_NAMED = 3
_MANY = 10_000  # prompts: from here on people want to know how fast it was


@takes_terms
@takes_mapping
@takes_read_options
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
    allow_unpriced: AllowUnpricedOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="wait for the answers, then exit 0 or 1")] = False,
    timeout_s: TimeoutOption = None,
    *,
    form: "ReadOptions",
    terms: "JobTerms | None" = None,
    mapping: "dict[str, Any] | None" = None,
) -> None:
    """Enqueue a file of prompts as one batch, or of documents with --map; prints its id."""
    if retry_failed and key is None:
        raise InputError("is for a batch that a --key knows; give one", source="submit", field="--retry-failed")
    _require_one_lane(terms, urgent=urgent)
    given = read_settings()
    labels: dict[str, Any] = {"task": task, "name": name, "key": key, "tags": tags(tag or [])}
    money: dict[str, Any] = {"allow_unpriced": allow_unpriced, "max_cost_usd": max_cost}
    lane: dict[str, Any] = {"urgent": urgent, "weight": weight, "on_unknown": choice(on_unknown)}
    form = replace(form, models=given.chain.models)
    with opened_either(file, form, mapping=mapping, skip_bad=skip_bad) as prompts, open_producer(given) as producer:
        batch = submitted(producer, prompts, terms=terms, **labels, **money, **lane)
        again = retried(producer, batch, given, terms) if retry_failed else None
        about: dict[str, Any] = {"ignored": prompts.ignored_models, "notes": prompts.notes, "retried": again}
        about |= {"task": None if mapping else task, "starts": given.chain.starts}
        _accepted(batch, hints(batch, key, **about))
        if watch:
            follow(producer, batch, timeout_s)


def _require_one_lane(terms: "JobTerms | None", *, urgent: bool) -> None:
    if urgent and terms is not None and terms.half_price:
        problem = "an urgent job never waits for a message batch; give one"
        raise InputError(problem, source="submit", field="--urgent, --half-price")


@contextmanager
def opened_either(
    source: str, form: "ReadOptions", *, mapping: dict[str, Any] | None, skip_bad: bool, end: str = NOTHING_QUEUED
) -> "Iterator[PromptFile | Documents]":
    """Open prompts, or read documents if some `mapping` to map them are given; `end` is the last line of a refusal."""
    import gc

    from producer.files.prompts import opened_prompts

    if mapping is not None:
        yield _documents(source, form, mapping, skip_bad=skip_bad)
        return
    gc.disable()  # nothing that is read is part of a cycle, and the search for cycles takes time
    with opened_prompts(source, form, skips_bad=skip_bad, end=end) as prompts:
        yield prompts


def submitted(producer: "Producer", read: "PromptFile | Documents", *, task: str | None, **more: Any) -> "Batch":
    """Submit a file of prompts, or documents."""
    from producer.files.prompts import PromptFile

    if isinstance(read, PromptFile):
        return producer.submit(read, task=task, **more)
    return producer.summarize(read.documents, **read.mapping_for(task), **more)


def _documents(source: str, form: "ReadOptions", mapping: dict[str, Any], *, skip_bad: bool) -> "Documents":
    from producer.map_reduce.documents import Documents, read_documents

    if form.template is not None:
        raise InputError("and --map are both the template; give one", source=source, field="--template")
    bound = {} if form.max_tokens is None else {"max_tokens": form.max_tokens}
    return Documents(documents=read_documents(source, form, skip_bad=skip_bad), mapping=mapping | bound)


def retried(producer: "Producer", batch: "Batch", settings: "Settings", terms: "JobTerms | None") -> int:
    """Queue the failed jobs of a known batch again, with a new deadline; returns how many."""
    if batch.is_new:
        return 0
    deadline_s = (terms and terms.deadline_s) or settings.job_deadline_s
    times: dict[str, Any] = {"deadline_s": deadline_s, "live_from_s": settings.live_from_s(deadline_s)}
    return producer.store.job_actions.retry(**times, states=[State.FAILED], batch_id=batch.id)


def tags(pairs: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE pairs."""
    read_tags: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"{pair!r} should be NAME=VALUE", source="submit", field="--tag")
        read_tags[name] = value
    return read_tags


def choice(on_unknown: str | None) -> OnUnknown | None:
    """Read --on-unknown. Returns None if HOLD_ABOVE_USD decides."""
    if on_unknown is None:
        return None
    try:
        return OnUnknown(on_unknown)
    except ValueError:
        message = f"{on_unknown!r} should be {' or '.join(OnUnknown)}"
        raise InputError(message, source="submit", field="--on-unknown") from None


def hints(
    batch: "Batch",
    key: str | None,
    *,
    task: str | None = None,
    starts: Collection[str] = (),
    ignored: Collection[str] = (),
    notes: Collection[str] = (),
    retried: int | None = None,
) -> Iterator[str]:
    """Yield the hints on a batch: a known key, an unknown task, jobs that are not sent yet, notes on the file.

    `starts` are the tasks of TASK_STARTS; without any, a task is a label and no mistake. `ignored` are the models that
    lines of another vendor name and the chain lacks. `retried` counts the failed jobs that are queued again; None
    without --retry-failed.
    """
    yield from notes
    if batch.accepted >= _MANY:
        rate = f"{batch.accepted / batch.took_s:,.0f}/s"
        yield f"{batch.accepted:,} prompts were read and accepted in {batch.took_s:.1f} s ({rate})"
    if not batch.is_new:
        again = f"its {retried} failed jobs are queued again" if retried else "nothing is bought again"
        none_failed = ", none of them has failed" if retried == 0 else ""
        yield f"the same prompts were submitted under {key!r} before{none_failed}: {again}"
    if ignored:
        from reprlib import repr as shown

        named = ", ".join(shown(name) for name in sorted(ignored)[:_MOST_NAMED])
        more = f" and {len(ignored) - _MOST_NAMED} more" if len(ignored) > _MOST_NAMED else ""
        yield f"the lines name {named}{more}: not in MODEL_CHAIN, so ignored; the chain names the models that answer"
    if task is not None and starts and task not in starts:
        yield f"TASK_STARTS has no task {task!r}, so these start on the primary; it has {', '.join(map(repr, starts))}"
    if batch.short_of_time is not None:
        yield batch.short_of_time
    if batch.not_sent is not None:
        yield f"accepted and kept, but not sent yet ({batch.not_sent}); a worker will pick it up when it is there"


def _accepted(batch: "Batch", hints: Iterable[str]) -> None:
    print_line(batch.id, at_once=True)  # a program behind a pipe can use the id while we watch
    for line in hints:
        hint(line)
