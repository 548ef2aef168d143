"""`stepdown chain`: the models, and the start of each task kind. `stepdown whatif`: jobs under another chain."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from models.errors import (
    UNPRICED,
    UNREACHABLE,
    InputError,
    LedgerError,
    SettingsError,
    UnpricedModelError,
)
from producer.commands.options import AllowUnpricedOption, JsonOption, WholeSummaries, producer, settings
from producer.output.terminal import hint, next_step, print_lines, print_whole

if TYPE_CHECKING:
    from models.chain.best_start import WeighedStart
    from models.reports.job_history import Scope
    from models.reports.what_if import Plan
    from models.settings import Settings
    from producer.client import Producer
    from producer.costs.chain_table import Kind, Rung

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

chain = typer.Typer(cls=WholeSummaries, help="The models in order, and the starts of task kinds.", no_args_is_help=True)
_USUAL_DAYS = "7d"


@chain.command()
def show(as_json: JsonOption = False) -> None:
    """Show each model with price, window, limit group and end, and the start of each task kind with the reason."""
    from producer.costs.chain_table import chain_json, chain_lines

    given = settings()
    rungs, kinds = _rungs(given), _kinds(given)
    if as_json:
        print_whole(json.dumps(chain_json(rungs, kinds)))
        return
    print_lines(chain_lines(rungs, kinds))
    hint("input and output in USD per million tokens, window in tokens")
    next_step("rung: a model's place in the chain; jobs start on 0, or where their task starts")
    next_step("next: stepdown whatif --chain MODEL,... compares it with another chain")


@chain.command()
def suggest(as_json: JsonOption = False) -> None:
    """Name models that cost less: exit 4 if the ledger is away, 5 if a rung has no price."""
    from models.chain.retirements import LIST, retirements
    from models.reports.cheaper_models import USED_DAYS
    from producer.costs.price_check import chain_costs, known_to
    from producer.costs.suggestion_table import suggested_chain, suggestion_json, suggestion_lines

    given, now = settings(), datetime.now(UTC)
    known, ends_known = known_to(given, now=now, with_uses=True), retirements() is not None
    rungs, since = chain_costs(given, known, now=now), (now - timedelta(days=USED_DAYS)).date()
    if as_json:
        print_whole(json.dumps({**suggestion_json(rungs, since, ends_known=ends_known), "why_not": known.why_not}))
    else:
        print_lines(suggestion_lines(rungs, since))
        if (chain := suggested_chain(rungs)) != given.chain.models:
            next_step(f"next: stepdown whatif --chain {','.join(chain)} compares recorded jobs")
    if not ends_known:
        hint(f"nobody knows here which models end: {LIST} cannot be read")
    if known.why_not is not None:
        hint(f"by list rates alone, without the ledger: {known.why_not}")
    if known.why_not is not None or any(rung.cost_usd is None for rung in rungs):
        raise typer.Exit(UNREACHABLE if known.why_not is not None else UNPRICED)


def _rungs(given: "Settings") -> "list[Rung]":
    from models.chain.retirements import retirements
    from models.money.price_book import context_window
    from models.rung_name import model_of
    from producer.costs.chain_table import Rung
    from producer.costs.price_check import book_of

    now, ends = datetime.now(UTC), retirements() or {}
    book, why_not = book_of(given, now=now)
    if why_not is not None:
        hint(f"without prices set in the ledger: {why_not}")
    return [
        Rung(
            model=model,
            price=book.price(model, at=now),
            window=context_window(model),
            limit_group=given.chain.group_of(model),
            retires=ends.get(model_of(model)),
        )
        for model in given.chain.models
    ]


def _kinds(given: "Settings") -> "list[Kind]":
    learned = _learned(given) if given.chain.autos else {}
    return [_kind(task, given, learned.get(task, ())) for task in given.chain.starts]


def _kind(task: str, given: "Settings", weighed: "tuple[WeighedStart, ...]") -> "Kind":
    from models.chain.best_start import picked
    from producer.costs.chain_table import Kind

    span, start = given.chain.span(task=task), picked(weighed)
    return Kind(
        task=task,
        start=span.start if start is None else start,
        floor=span.floor,
        ceiling=span.ceiling,
        is_auto=task in given.chain.autos,
        weighed=weighed,
    )


def _learned(given: "Settings") -> "dict[str, tuple[WeighedStart, ...]]":
    from models.reports.learned_starts import starts_there

    try:
        with starts_there(given) as starts:
            if starts is None:
                return {}
            return {
                task: starts.weighed(task, given.chain.span(task=task), given, given.climbs)[1]
                for task in given.chain.autos
            }
    except LedgerError as error:
        hint(f"nothing is learned from the ledger: {error}")
        return {}


def whatif(
    chain: Annotated[
        str | None, typer.Option(metavar="MODEL,MODEL,...", help="the chain, primary first; else MODEL_CHAIN")
    ] = None,
    starts: Annotated[
        str | None,
        typer.Option(metavar="TASK:MODEL,...", help="starts of task kinds, *:MODEL all others; else TASK_STARTS"),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="jobs that ended from this UTC day on: 2026-11-01, or 7d (usual)")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="the last UTC day, included")] = None,
    task: Annotated[str | None, typer.Option(metavar="KIND", help="only jobs of this task kind")] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="BATCH", help="only jobs of this batch, whatever their day")
    ] = None,
    allow_unpriced: AllowUnpricedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare recorded jobs with the same jobs under another chain or start: cost, fallback depth and acceptance."""
    from models.reports.what_if import WhatIf
    from producer.costs.whatif_table import Question, whatif_json, whatif_lines

    given = settings()
    plan = _plan(given, chain, starts)
    with producer(given) as ours:
        scope = _scope(ours, since, until, task, batch)
        prices = given.price_book(ours.store.price_list.dated())
        unpriced = prices.unpriced(plan.models)
        if unpriced and not allow_unpriced:
            raise UnpricedModelError(unpriced)
        history = ours.store.job_history
        found = WhatIf(plan, history.records(), prices).compare(history.jobs(scope))
        question = Question(plan=plan, scope=scope, left_out=history.left_out(scope))
    _warn_of_ends(plan.models)
    lines = [json.dumps(whatif_json(found, question))] if as_json else whatif_lines(found, question)
    print_lines(lines, whole=as_json)


def _plan(given: "Settings", chain: str | None, starts: str | None) -> "Plan":
    from models.chain.chain import parse_chain, parse_starts
    from models.reports.what_if import Plan

    option = "--chain"
    try:
        models = given.chain.models if chain is None else parse_chain(chain)
        option = "--starts"
        rungs = _usual_starts(given, models) if starts is None else parse_starts(starts, models)
    except SettingsError as error:
        mistake = error.mistakes[0]
        fix = mistake.fix.replace("MODEL_CHAIN", "the chain")
        raise InputError(f"{mistake.value!r}: {fix}", source="whatif", field=option) from None
    kept = given.chain.autos if starts is None else frozenset[str]()
    climbs = frozenset(map(str, given.climbs))
    return Plan(models=models, was=given.chain.models, starts=rungs, kept=kept, climbs=climbs)


def _usual_starts(given: "Settings", models: tuple[str, ...]) -> dict[str, int]:
    usual = {task: given.chain.models[rung] for task, rung in given.chain.starts.items()}
    for task, model in usual.items():
        if model not in models:
            hint(f"TASK_STARTS has {task} start with {model}, which is not in this chain: it starts with {models[0]}")
    return {task: models.index(model) for task, model in usual.items() if model in models}


def _scope(ours: "Producer", since: str | None, until: str | None, task: str | None, batch: str | None) -> "Scope":
    from models.reports.job_history import Scope
    from producer.output.dates import parse_days

    found = None if batch is None else ours.store.reports.batch_id(batch)
    if task is not None and ("\0" in task or task.encode(errors="ignore").decode() != task):
        raise InputError(f"{task!r} is no task kind's name", source="whatif", field="--task")
    usual = _USUAL_DAYS if since is None and until is None and found is None else since
    first, last = parse_days(usual, until, source="whatif")
    return Scope(since=first, until=last, task=task, batch_id=found)


def _warn_of_ends(models: tuple[str, ...]) -> None:
    from models.chain.retirements import retirements

    today, ends = datetime.now(UTC).date(), retirements() or {}
    for model in models:
        if day := ends.get(model):
            hint(f"{model} {'was' if day <= today else 'is to be'} retired on {day}")
