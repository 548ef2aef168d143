"""The commands that keep the ledger right: db upgrade and analyst, ledger reprice and rebuild."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.commands.options import JsonOption, producer, settings
from producer.output.format import counted, money
from producer.output.terminal import hint, print_line, print_lines, print_whole

if TYPE_CHECKING:
    from models.accounting.repricing import Repriced, Scope

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_ZERO = Decimal(0)
_TITLES = ("model", "attempts", "corrected", "change of cost", "were unknown", "cost of these", "still unknown")


def upgrade() -> None:
    """Bring the ledger's schema to this version's."""
    from migrations import run
    from models.database.engine import open_database

    engine = open_database(settings().database_url.get_secret_value())
    run.upgrade(engine)
    print_line(f"{engine.url.render_as_string(hide_password=True)} is at revision {run.revisions(engine)[0]}")
    engine.dispose()


def analyst(
    role: Annotated[str, typer.Option(help="what the role is called")] = "stepdown_analyst",
    apply: Annotated[bool, typer.Option("--apply", help="run the SQL instead of printing it")] = False,
) -> None:
    """Print the SQL for a Postgres role that may read the views only; for a SQLite file, its read-only URI."""
    from migrations.run import ensure_schema
    from models.accounting.adhoc_sql import read_only_uri
    from models.accounting.analyst_role import analyst_sql, make_analyst
    from models.database.engine import database_url, open_database
    from models.errors import InputError

    if not _NAME.fullmatch(role):
        raise InputError(f"{role!r} should be small letters, digits and _", source="db analyst", field="--role")
    url = settings().database_url.get_secret_value()
    where = database_url(url)
    if where.get_backend_name() == "sqlite":
        print_line(read_only_uri(Path(where.database or "")))
        hint("A file has no roles: each person who can open the file can read every prompt and answer.")
        hint("Give an analyst an export instead: stepdown ledger export -o attempts.csv")
        return
    engine = open_database(url)
    ensure_schema(engine)
    if apply:
        make_analyst(engine, role)
        print_line(f"{role} may read the views of {engine.url.render_as_string(hide_password=True)}, and nothing else")
    else:
        sys.stdout.write(analyst_sql(engine, role))
    engine.dispose()


def rebuild() -> None:
    """Add every finished day up anew, from its attempts; the answers stay what they are, and are right meanwhile."""
    from migrations.run import ensure_schema
    from models.accounting.daily_rollup import Rollup
    from models.database.engine import open_database

    engine = open_database(settings().database_url.get_secret_value())
    try:
        ensure_schema(engine)
        days = Rollup(engine).rebuild()
    finally:
        engine.dispose()
    between = f", {days[0]} to {days[-1]}" if days else ""
    print_line(f"{counted(len(days), 'day')} added up{between}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The corrections of a model's attempts: the attempts read, those corrected, and the change of their cost.

    `found` are those among them whose cost was unknown, `found_usd` what they cost; `unknown` stay unknown.
    """

    attempts: int = 0
    corrected: int = 0
    difference_usd: Decimal = _ZERO
    found: int = 0
    found_usd: Decimal = _ZERO
    unknown: int = 0


def reprice(
    since: Annotated[str, typer.Option(metavar="DAY", help="attempts opened from this UTC day on")],
    until: Annotated[str | None, typer.Option(metavar="DAY", help="up to this UTC day, which is included")] = None,
    model: Annotated[str | None, typer.Option(help="only those this model answered")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="tell what would change, and write nothing")] = False,
    as_json: JsonOption = False,
) -> None:
    """Price past attempts anew, each by the price book of its own day; a cost that changes is a row beside them."""
    from producer.output.table import table

    scope, given = _scope(since, until, model), settings()
    tallies: dict[str, Tally] = {}
    with producer(given) as ours:
        book = given.price_book(ours.store.price_list.dated())
        for step in ours.store.repricing.run(scope, book, is_dry=dry_run):
            add(tallies, step)
        without_usage = ours.store.repricing.without_usage(scope)
    if as_json:
        print_whole(json.dumps(_as_json(tallies, without_usage, is_dry=dry_run)))
        return
    rows = [_row(name, tally) for name, tally in (*sorted(tallies.items()), ("total", _total(tallies)))]
    print_lines(table(_TITLES, rows, right=range(1, len(_TITLES)), folds={0}))
    if without_usage:
        hint(f"{counted(without_usage, 'more stays', 'more stay')} unknown: open, or of unknown usage")
    if dry_run:
        hint("nothing was written: this was a dry run")


def add(tallies: dict[str, Tally], step: "Sequence[Repriced]") -> None:
    """Add a step's attempts to their models' tallies."""
    from producer.output.terminal import terminal_text

    for one in step:
        name = terminal_text(one.model)
        tallies[name] = _with(tallies.get(name, Tally()), one)


def _with(tally: Tally, one: "Repriced") -> Tally:
    cost, was, is_found = one.cost_usd, one.was_usd, one.was_usd is None and one.change is not None
    return replace(
        tally,
        attempts=tally.attempts + 1,
        corrected=tally.corrected + (one.change is not None),
        difference_usd=tally.difference_usd + (_ZERO if was is None or cost is None else cost - was),
        found=tally.found + is_found,
        found_usd=tally.found_usd + (cost if is_found and cost is not None else _ZERO),
        unknown=tally.unknown + (cost is None),
    )


def _total(tallies: Mapping[str, Tally]) -> Tally:
    each = [asdict(tally) for tally in tallies.values()]
    return Tally(**{name: sum((one[name] for one in each), start) for name, start in asdict(Tally()).items()})


def _row(name: str, tally: Tally) -> list[str]:
    change, found = money(tally.difference_usd, is_signed=True), money(tally.found_usd)
    return [
        name,
        f"{tally.attempts:,}",
        f"{tally.corrected:,}",
        change,
        f"{tally.found:,}",
        found,
        f"{tally.unknown:,}",
    ]


def _as_json(tallies: Mapping[str, Tally], without_usage: int, *, is_dry: bool) -> dict[str, Any]:
    models = [{"model": name, **_texts(tally)} for name, tally in sorted(tallies.items())]
    return {"is_dry_run": is_dry, **_texts(_total(tallies)), "without_usage": without_usage, "models": models}


def _texts(tally: Tally) -> dict[str, Any]:
    return {name: f"{value:.9f}" if isinstance(value, Decimal) else value for name, value in asdict(tally).items()}


def _scope(since: str, until: str | None, model: str | None) -> "Scope":
    from models.accounting.repricing import Scope
    from producer.output.dates import midnight_of, parse_day, require_order

    first = parse_day(since, source="reprice", field="--since")
    last = None if until is None else parse_day(until, source="reprice", field="--until")
    require_order(first, last, source="reprice")
    return Scope(
        since=midnight_of(first),
        before=None if last is None else midnight_of(last + timedelta(days=1)),
        model=model,
    )
