"""Runs one SQL query of a person's over a connection that cannot write, and ends it at a time limit."""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.types.string import TextLoader
from sqlalchemy import URL

from models.database import database_url, unreachable
from models.errors import InputError, LedgerError

_QUERIES = frozenset({"select", "with", "values", "table", "explain"})
# A comment inside a comment is read differently by the two engines: behind it no word is found, and it is refused.
_FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*(?:(?!/\*|\*/).)*\*/)*([a-z]+)", re.DOTALL | re.IGNORECASE)

_LONGEST_S = 86_400
_LONGEST_CELL = 100_000_000  # bytes; the largest request the API takes is a third of it
_STEPS_BETWEEN_LOOKS = 1_000  # SQLite's own steps: a look at the clock is nothing beside them
_AWAY = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PERM})
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_ACTING_IN_SQLITE = frozenset({"load_extension", "fts3_tokenizer"})
_TELLING_PRAGMAS = frozenset({"table_info", "table_xinfo", "table_list", "index_list", "index_info"})

_ROWS_AT_ONCE = 500
_AS_TEXT = ("date", "time", "timetz", "timestamp", "timestamptz", "interval", "json", "jsonb", "uuid")
_LOST = ("08", "57P")  # SQLSTATE: the connection, or the server, went away
# What Postgres calls volatile may do anything: read a file, end another's query, run a text as SQL. A query with such a
# function's name anywhere is refused, so that no quoting hides it; these do nothing but tell.
_HARMLESS = [
    *("random", "random_normal", "clock_timestamp", "timeofday", "gen_random_uuid", "uuidv4", "uuidv7"),
    *("pg_relation_size", "pg_table_size", "pg_indexes_size", "pg_total_relation_size", "pg_database_size"),
]
_ACTING_IN_POSTGRES = """
    SELECT min(proname) FROM pg_catalog.pg_proc
    WHERE proname = ANY(%s) AND proname <> ALL(%s) AND (provolatile = 'v' OR proname ~ '^(crosstab|connectby)')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a query found: its columns' names, two of which may be the same, and its rows, read as they are taken.

    A cell is None, int, Decimal, float, bool, str, bytes or a list of these; times are the engine's own text, in UTC.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def asked(url: str, sql: str, *, timeout_s: float) -> Iterator[Found]:
    """Run one query against the ledger at `url`, whose rows are to be read inside the block; it cannot write.

    Raises InputError for what is no query, or for what the engine says against it; TimeoutError; and LedgerError
    where there is no ledger.
    """
    _check(sql, timeout_s)
    where = database_url(url)
    run = _in_sqlite if where.get_backend_name() == "sqlite" else _in_postgres
    with run(where, sql, timeout_s) as found:
        yield found


def read_only_uri(path: Path) -> str:
    """Name a SQLite file as who may only read it opens it.

    >>> read_only_uri(Path("/tmp/a ledger?.db"))
    'file:/tmp/a%20ledger%3F.db?mode=ro'
    """
    return f"file:{quote(str(path.absolute()))}?mode=ro"


def _check(sql: str, timeout_s: float) -> None:
    if not 0 < timeout_s <= _LONGEST_S:
        raise InputError(f"{timeout_s} should be seconds, up to a day of them", source="sql", field="--timeout-s")
    first = _FIRST_WORD.match(sql)
    if first is None or first[1].lower() not in _QUERIES:
        raise _wrong("only a query is run here: begin it with SELECT, WITH, VALUES, TABLE or EXPLAIN")
    if "\0" in sql or sql.encode(errors="ignore").decode() != sql:
        raise _wrong("it holds a character that is not text")


@contextmanager
def _in_sqlite(where: URL, sql: str, timeout_s: float) -> Iterator[Found]:
    path = Path(where.database or "")
    if not path.is_file():
        raise LedgerError(f"ledger {path}: there is none yet; the first `stepdown submit` makes it")
    until = time.monotonic() + timeout_s
    try:
        with closing(sqlite3.connect(read_only_uri(path), uri=True, timeout=timeout_s)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_CELL)
            connection.text_factory = lambda text: text.decode(errors="replace")
            connection.set_authorizer(_authorized)
            connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_LOOKS)
            rows = connection.execute(sql)
            yield Found(columns=tuple(column[0] for column in rows.description), rows=rows)
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_INTERRUPT:  # by Ctrl-C too, which the driver takes for the handler's yes
            raise _too_long(timeout_s) if time.monotonic() > until else KeyboardInterrupt from None
        raise unreachable(error, str(path)) if code in _AWAY else _wrong(_first_line(error)) from None


def _authorized(action: int, what: str | None, more: str | None, _database: str | None, _view: str | None) -> int:
    """Let SQLite read, and call what it has built in; it asks this of every step before it runs any."""
    is_allowed = (
        action in _READING
        or (action == sqlite3.SQLITE_FUNCTION and more not in _ACTING_IN_SQLITE)
        or (action == sqlite3.SQLITE_PRAGMA and what in _TELLING_PRAGMAS)
        or (action == sqlite3.SQLITE_UPDATE and what == "sqlite_master")  # asked, not done, by json_each and its kind
    )
    return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


@contextmanager
def _in_postgres(where: URL, sql: str, timeout_s: float) -> Iterator[Found]:
    shown = where.render_as_string(hide_password=True)
    try:
        with _connected(where, timeout_s) as connection:
            _refuse_acting(connection, sql)
            # A stream is sent by the extended protocol, which takes one statement and no second one behind it.
            cursor = connection.cursor()
            rows = cursor.stream(sql.encode(), size=_ROWS_AT_ONCE)
            first = next(rows, None)
            yield Found(columns=_columns(connection, sql, cursor), rows=_chained(first, rows))
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
        raise _too_long(timeout_s) from None
    except psycopg.Error as error:
        is_lost = error.sqlstate is None or error.sqlstate.startswith(_LOST)
        raise unreachable(error, shown) if is_lost else _wrong(_first_line(error)) from None


@contextmanager
def _connected(where: URL, timeout_s: float) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    _, given = where.get_dialect()().create_connect_args(where)
    limit_ms = max(1, round(timeout_s * 1000))
    settings = {
        "default_transaction_read_only": "on",
        "statement_timeout": limit_ms,
        "lock_timeout": limit_ms,
        "idle_in_transaction_session_timeout": limit_ms,
        "timezone": "UTC",
    }
    options = " ".join([given.pop("options", ""), *(f"-c {name}={value}" for name, value in settings.items())])
    with closing(psycopg.connect(**given, options=options, connect_timeout=5)) as connection:
        connection.read_only = True  # what a transaction begun as such has read by cannot be unset in it
        for kind in _AS_TEXT:
            connection.adapters.register_loader(kind, TextLoader)
        yield connection


def _refuse_acting(connection: psycopg.Connection[tuple[Any, ...]], sql: str) -> None:
    text = sql.lower()
    if re.search(r"u&\s*[\"']", text):
        raise _wrong("write letters as they are: U& with escapes is not read here")
    found = connection.execute(_ACTING_IN_POSTGRES, [re.findall(r"[\w$]+", text), _HARMLESS]).fetchone()
    if found is not None and found[0] is not None:
        raise _wrong(f"{found[0]} may do more than read, and is not called here")


def _columns(
    connection: psycopg.Connection[tuple[Any, ...]], sql: str, cursor: psycopg.Cursor[tuple[Any, ...]]
) -> tuple[str, ...]:
    if cursor.description is not None:
        return tuple(column.name for column in cursor.description)
    connection.pgconn.prepare(b"", sql.encode())  # a stream without a row tells no names
    described = connection.pgconn.describe_prepared(b"")
    return tuple((described.fname(number) or b"").decode() for number in range(described.nfields))


def _chained(first: tuple[Any, ...] | None, rest: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    if first is not None:
        yield first
        yield from rest


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _wrong(problem: str) -> InputError:
    return InputError(problem, source="sql")


def _too_long(timeout_s: float) -> TimeoutError:
    return TimeoutError(f"sql: not done after {timeout_s:g} s: narrow it, or allow more with --timeout-s")
