"""`stepdown prices`: what models cost, whether that is right, and setting it from a day on."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import InputError
from producer.commands.options import JsonOption, WholeSummaries, producer, settings
from producer.output.terminal import hint, next_step, print_line, print_lines, print_whole

if TYPE_CHECKING:
    from models.money.pricing import Price
    from producer.costs.price_check import Known
    from producer.costs.price_table import Listed

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

_WRONG, _LEDGER_AWAY = 1, 4
_Rate = Annotated[str | None, typer.Option(metavar="USD", help="per million tokens; left out, it follows from --input")]
_ABOVE = "TOKENS:INPUT:OUTPUT[:CACHE_READ[:WRITE_5M[:WRITE_1H]]]"

prices = typer.Typer(cls=WholeSummaries, help="What models cost, and since when.", no_args_is_help=True)


@prices.command("list")
def list_prices(
    show_all: Annotated[bool, typer.Option("--all", help="every dated row of the ledger's price list")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show today's rates of each model of the chain, and where they come from."""
    from producer.costs.price_table import price_json, price_table

    listed = _every_row() if show_all else _chain()
    if as_json:
        print_whole(json.dumps({"prices": [price_json(one) for one in listed]}))
        return
    print_lines(price_table(listed))
    hint("all rates in USD per million tokens")
    next_step("next: stepdown prices check compares them with the price book")


@prices.command()
def check(as_json: JsonOption = False) -> None:
    """Compare prices with the price book: exit 1 where one differs, is missing or old, or a model is about to end."""
    from producer.costs.price_check import age_of_prices, chain_costs, wrong_prices
    from producer.costs.suggestion_table import one_line

    given, now = settings(), datetime.now(UTC)
    known = _known(given, now, with_uses=True)
    cheaper = one_line(chain_costs(given, known, now=now))
    found = list(wrong_prices(given, known, now=now))
    if as_json:
        findings = [
            {"kind": one.kind, "model": one.model, "message": one.message, "amounts": _figures(one.amounts)}
            for one in found
        ]
        age = age_of_prices(now)
        print_whole(json.dumps({"is_ok": not found, "age": age, "cheaper": cheaper, "findings": findings}))
    else:
        for one in found:
            print_line(one.message)
        if not found:
            where = "" if known.why_not is None else " that could be looked at"
            print_line(f"every price{where} is as the price book has it")
        hint(age_of_prices(now))
        if cheaper is not None:  # news, and no fault: the exit code is that of the prices
            hint(cheaper)
    if found or known.why_not is not None:
        raise typer.Exit(_WRONG if found else _LEDGER_AWAY)


@prices.command("set")
def set_prices(  # noqa: PLR0913, PLR0917 - each is an option
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="its id, as the API names it")] = None,
    paid_in: Annotated[str | None, typer.Option("--input", metavar="USD", help="per million tokens")] = None,
    paid_out: Annotated[str | None, typer.Option("--output", metavar="USD", help="per million tokens")] = None,
    cache_read: _Rate = None,
    cache_write_5m: _Rate = None,
    cache_write_1h: _Rate = None,
    above: Annotated[
        list[str] | None, typer.Option(metavar=_ABOVE, help="for prompts above so many tokens; repeatable")
    ] = None,
    day: Annotated[str | None, typer.Option("--from", metavar="DAY", help="a UTC day; left out, today")] = None,
    file: Annotated[Path | None, typer.Option(help="a TOML file of [[price]] entries, instead of all others")] = None,
) -> None:
    """Set what a model costs from a day on, in the place of the price book; or many, from a TOML file."""
    from producer.costs.parse_prices import price_from_options, prices_from_file

    today = datetime.now(UTC).date()
    rates = {
        "input": paid_in,
        "output": paid_out,
        "cache_read": cache_read,
        "cache_write_5m": cache_write_5m,
        "cache_write_1h": cache_write_1h,
    }
    is_by_hand = any([model, day, above, *(figure is not None for figure in rates.values())])
    if (file is None) != is_by_hand:
        raise InputError("name a MODEL with --input and --output, or a --file", source="prices set")
    if file is not None:
        _set(prices_from_file(file, today=today))
    else:
        _set([price_from_options(model or "", rates, above=above or [], day=day, today=today)])


def _set(chosen: "list[Price]") -> None:
    from producer.output.format import rate
    from producer.output.terminal import terminal_text

    given, today = settings(), datetime.now(UTC).date()
    with producer(given) as ours:
        written = ours.store.price_list.set(chosen)
    for price in written:
        print_line(
            f"{terminal_text(price.model)} {rate(price.rates.input)} in, {rate(price.rates.output)} out from "
            f"{price.valid_from} on ({price.source})"
        )
    for model in sorted({price.model for price in written} & set(given.price_overrides)):
        hint(f"MODEL_COSTS names {terminal_text(model)} and wins: take it out there for this price to count")
    begun = [price.valid_from for price in written if price.valid_from is not None and price.valid_from <= today]
    if begun:
        hint(f"attempts that were made already keep their cost: `stepdown ledger reprice --since {min(begun)}`")


def _known(given: Any, now: datetime, *, with_uses: bool = False) -> "Known":
    from producer.costs.price_check import known_to

    known = known_to(given, now=now, with_uses=with_uses)
    if known.why_not is not None:
        hint(f"without what the ledger knows of prices: {known.why_not}")
    return known


def _chain() -> "list[Listed]":
    from producer.costs.price_table import Listed

    given, now = settings(), datetime.now(UTC)
    book = given.price_book(_known(given, now).dated)
    return [
        Listed(model=model, price=book.price(model, at=now), batch=book.price(model, at=now, service_tier="batch"))
        for model in given.chain.models
    ]


def _every_row() -> "list[Listed]":
    from producer.costs.price_table import Listed

    with producer() as ours:
        return [
            Listed(model=price.model, price=price, is_override=is_set) for price, is_set in ours.store.price_list.all()
        ]


def _figures(amounts: Any) -> dict[str, dict[str, str]]:
    from producer.output.format import rate

    return {label: {"ours": rate(ours), "listed": rate(listed)} for label, (ours, listed) in amounts.items()}
