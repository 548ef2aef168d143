"""`stepdown chain`: the models in order, and where each task kind starts, with what was learned of it."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from models.errors import LedgerError
from producer.commands.options import JsonOption, settings
from producer.output.terminal import hint, say

if TYPE_CHECKING:
    from models.chain.best_start import Weighed
    from models.settings import Settings
    from producer.costs.chain_table import Kind, Rung

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

chain = typer.Typer(help="The models in order, and where jobs start.", no_args_is_help=True)


@chain.command()
def show(as_json: JsonOption = False) -> None:
    """Show each model with price, window, limit group and end, and where each task kind starts and why."""
    from producer.costs.chain_table import chain_json, chain_lines

    given = settings()
    rungs, kinds = _rungs(given), _kinds(given)
    if as_json:
        say(json.dumps(chain_json(rungs, kinds)))
        return
    for line in chain_lines(rungs, kinds):
        say(line)
    hint("in USD per million tokens")


def _rungs(given: "Settings") -> "list[Rung]":
    from models.chain.retirements import retirements
    from models.money.price_book import context_window
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
            retires=ends.get(model),
        )
        for model in given.chain.models
    ]


def _kinds(given: "Settings") -> "list[Kind]":
    learned = _learned(given) if given.chain.autos else {}
    return [_kind(task, given, learned.get(task, ())) for task in given.chain.starts]


def _kind(task: str, given: "Settings", weighed: "tuple[Weighed, ...]") -> "Kind":
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


def _learned(given: "Settings") -> "dict[str, tuple[Weighed, ...]]":
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
