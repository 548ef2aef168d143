"""The commands that ask the ledger about money: `stepdown ledger report`, `sql` and `export`."""

import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import InputError
from producer.commands.options import JsonOption, LinesOption, producer, settings
from producer.output.format import counted
from producer.output.terminal import hint, next_step, print_lines, print_whole

if TYPE_CHECKING:
    from models.accounting.adhoc_sql import QueryResult

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

_ROWS_ON_A_SCREEN = 1_000
_LONGEST_QUERY = 1_000_001  # characters of stdin: one more than a query may have
_BYTES_ON_A_SCREEN = 20_000_000  # of a table, whose columns are as wide as their longest cell
_BYTES_IN_A_FILE = 4_000_000_000
_SINCE = "the first UTC day: 2026-11-01, or 7d for seven days ago"
_UNTIL = "the last UTC day, which is within"

CsvOption = Annotated[bool, typer.Option("--csv", help="rows for a spreadsheet, under a header")]
SinceOption = Annotated[str | None, typer.Option(metavar="DAY", help=_SINCE)]
UntilOption = Annotated[str | None, typer.Option(metavar="DAY", help=_UNTIL)]


def report(
    by: Annotated[
        str,
        typer.Option(
            metavar="KEY[,KEY]", help="day, month, endpoint, model, task, batch, outcome, depth, lane or tag.NAME"
        ),
    ] = "model",
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Add up attempts, tokens and cost, to the nano-dollar; unknown costs are counted beside each sum."""
    from producer.output import spending_report as laying_out
    from producer.output.dates import parse_days

    _one_of("report", {"--json": as_json, "--csv": as_csv})
    keys = laying_out.keys_of(by)
    first, last = parse_days(since, until, source="report")
    with producer() as ours:
        found = laying_out.report_of(keys, ours.store.spending.sums(keys, since=first, until=last))
    if as_json:
        print_whole(laying_out.report_json(found))
    elif as_csv:
        _print_csv(laying_out.report_rows(found))
    else:
        print_lines(laying_out.report_table(found))
        next_step("credit: $0.01; share: of the cost; a wider terminal has more columns. Next: --by task")


def sql(
    query: Annotated[str, typer.Argument(metavar="SQL|-", help='one query: "SELECT * FROM v_jobs"; - is stdin')],
    as_json: JsonOption = False,
    as_lines: LinesOption = False,
    as_csv: CsvOption = False,
    timeout_s: Annotated[float, typer.Option(help="seconds after which it is ended, with exit 124")] = 10,
    limit_rows: Annotated[
        int | None,
        typer.Option(min=0, help=f"0 for all; a table ends after {_ROWS_ON_A_SCREEN:,} rows if left out"),
    ] = None,
) -> None:
    """Run one query against the ledger; nothing can be written by it. The views v_... are made to be asked."""
    from models.accounting.adhoc_sql import run_query

    is_table = not _one_of("sql", {"--json": as_json, "--jsonl": as_lines, "--csv": as_csv})
    most = (_ROWS_ON_A_SCREEN if is_table else 0) if limit_rows is None else limit_rows
    most_bytes = _BYTES_ON_A_SCREEN if is_table else _BYTES_IN_A_FILE
    text = sys.stdin.read(_LONGEST_QUERY) if query == "-" else query
    url = settings().database_url.get_secret_value()
    with run_query(url, text, timeout_s=timeout_s, most_rows=most, most_bytes=most_bytes) as found:
        _print_found(found, as_json=as_json, as_lines=as_lines, as_csv=as_csv)
        if found.cut == "rows":
            hint(f"these are the first {most:,} rows; --limit-rows 0 takes all of them")
        elif found.cut is not None:
            more = "--csv and --jsonl take more" if is_table else "ask for the rest by another query"
            hint(f"these are the first {most_bytes // 10**6:,} MB of rows; {more}")


def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="the file; written whole or not at all")],
    as_format: Annotated[str, typer.Option("--format", help="csv or parquet")] = "csv",
    focus: Annotated[
        bool, typer.Option("--focus", help="charges by day, model and meter, as FOCUS 1.2 has them")
    ] = False,
    since: SinceOption = None,
    until: UntilOption = None,
) -> None:
    """Write every attempt, or with --focus every charge, to a file."""
    from models.accounting.exports import ATTEMPTS, FOCUS
    from producer.output.dates import parse_days
    from producer.output.export_file import write

    chosen = FOCUS if focus else ATTEMPTS
    first, last = parse_days(since, until, source="export")
    with producer() as ours:
        rows = ours.store.spending.rows(chosen, since=first, until=last)
        count = write(rows, chosen.fields, path=output, format=as_format)
    hint(f"{counted(count, 'row')} in {output}")


def _one_of(command: str, chosen: dict[str, bool]) -> int:
    if sum(chosen.values()) > 1:
        raise InputError("choose one", source=f"ledger {command}", field=", ".join(chosen))
    return sum(chosen.values())


def _print_found(found: "QueryResult", *, as_json: bool, as_lines: bool, as_csv: bool) -> None:
    from producer.output.table import as_json as written
    from producer.output.table import found_table, json_object, plain

    if as_csv:
        _print_csv(chain([found.columns], (map(plain, row) for row in found.rows)))
    elif as_lines:
        for row in found.rows:
            print_whole(json_object(found.columns, row))
    elif as_json:
        sys.stdout.write(f'{{"columns": {written(list(found.columns))}, "rows": [')
        for number, row in enumerate(found.rows):
            sys.stdout.write(f"{', ' if number else ''}{written(row)}")
        print_whole("]}")
    else:
        print_lines(found_table(found.columns, list(found.rows)))


def _print_csv(rows: Iterable[Iterable[Any]]) -> None:
    from producer.output.export_file import write_csv
    from producer.output.terminal import plain_stdout

    with plain_stdout() as out:
        write_csv(rows, out)
