"""`stepdown whatif`: what recorded jobs would have cost under another chain, beside what they did; nothing is spent."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import InputError, SettingsError, UnpricedModelError
from producer.commands.options import JsonOption, producer, settings
from producer.output.terminal import hint, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.money.price_book import PriceBook
    from models.reports.job_history import Scope
    from models.settings import Settings
    from producer.client import Producer
    from producer.whatif.routes import Plan

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

_SINCE = "7d"


def whatif(
    chain: Annotated[
        str | None, typer.Option(metavar="MODEL,MODEL,...", help="the chain, primary first; left out, MODEL_CHAIN")
    ] = None,
    starts: Annotated[
        str | None, typer.Option(metavar="TASK:MODEL,...", help="where tasks start, *:MODEL all others; or TASK_STARTS")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="jobs that ended from this UTC day on: 2026-11-01, or 7d (usual)")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="the last UTC day, which is within")] = None,
    task: Annotated[str | None, typer.Option(metavar="KIND", help="only jobs of this task kind")] = None,
    batch: Annotated[str | None, typer.Option(metavar="BATCH", help="only its jobs, whenever they ended")] = None,
    allow_unpriced: Annotated[bool, typer.Option(help="take models without a price; their cost is unknown")] = False,
    as_json: JsonOption = False,
) -> None:
    """Replay recorded jobs under another chain or start: cost, depth and times beside what happened."""
    from models.money.price_book import PriceBook, context_window
    from producer.whatif import lines as laying_out
    from producer.whatif.json import as_json as as_json_object
    from producer.whatif.replayed import Replayer

    given = settings()
    models, rungs = _asked(given, chain, starts)
    with producer(given) as ours:
        scope = _scope(ours, since, until, task, batch)
        book = PriceBook(given.price_overrides, ours.books.prices.dated())
        _require_prices(book, models, allow_unpriced=allow_unpriced)
        tallies = ours.books.records.tallies(scope)
        plan = _plan(given, models, rungs, was=tallies.chain(given.chain.models))
        found = Replayer(plan, tallies, book, context_window).replay(ours.books.records.jobs(scope))
        left_out = ours.books.records.left_out(scope)
    question = laying_out.Question(plan=plan, scope=scope, left_out=left_out)
    for line in laying_out.warnings(question, today=datetime.now(UTC).date()):
        hint(line)
    if as_json:
        say(json.dumps(as_json_object(found, question)))
        return
    for line in laying_out.lines(found, question):
        say(line)


def _asked(given: "Settings", chain: str | None, starts: str | None) -> tuple[tuple[str, ...], "Mapping[str, int]"]:
    from models.chain.chain import parse_chain, parse_starts

    try:
        models = given.chain.models if chain is None else parse_chain(chain)
    except SettingsError as error:
        raise _wrong(error, "--chain") from None
    if starts is not None:
        try:
            return models, parse_starts(starts, models)
        except SettingsError as error:
            raise _wrong(error, "--starts") from None
    usual = {task: given.chain.models[rung] for task, rung in given.chain.starts.items()}
    for name, model in usual.items():
        if model not in models:
            hint(f"TASK_STARTS has {name} start with {model}, which is not in this chain: it starts with {models[0]}")
    return models, {name: models.index(model) for name, model in usual.items() if model in models}


def _wrong(error: SettingsError, option: str) -> InputError:
    mistake = error.mistakes[0]
    fix = mistake.fix.replace("MODEL_CHAIN", "the chain")
    return InputError(f"{mistake.value!r}: {fix}", source="whatif", field=option)


def _scope(ours: "Producer", since: str | None, until: str | None, task: str | None, batch: str | None) -> "Scope":
    from models.reports.job_history import Scope
    from producer.output.dates import parse_days

    found = None if batch is None else ours.books.reports.batch_id(batch)
    if task is not None and ("\0" in task or task.encode(errors="ignore").decode() != task):
        raise InputError(f"{task!r} is no task kind's name", source="whatif", field="--task")
    usual = _SINCE if since is None and until is None and found is None else since
    first, last = parse_days(usual, until, source="whatif")
    return Scope(since=first, until=last, task=task, batch_id=found)


def _require_prices(book: "PriceBook", models: tuple[str, ...], *, allow_unpriced: bool) -> None:
    unpriced = book.unpriced(models)
    if unpriced and not allow_unpriced:
        raise UnpricedModelError(unpriced)


def _plan(given: "Settings", models: tuple[str, ...], rungs: "Mapping[str, int]", *, was: tuple[str, ...]) -> "Plan":
    from producer.whatif.routes import Plan

    climbs: frozenset[Any] = given.climbs
    return Plan(models=models, starts=rungs, climbs=frozenset(map(str, climbs)), was=was)
