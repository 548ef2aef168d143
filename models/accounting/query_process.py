"""Run one query in this process, which ends with the query: a request on stdin, rows on stdout.

The process imports nothing of ours: a person waits for its start. The system enforces the limits, not the engine. A
look at the clock between two steps cannot end one long step.

Each line of the answer has a letter and JSON. The letter is G (ready), C (columns), R (a row), E (the end) or F (a
failure). E has rows or bytes if a bound cut the answer. F has late, memory, wrong or away, and its words.
"""

import json
import math
import os
import re
import select
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any, TypeAlias

MEMORY = 256_000_000  # bytes a query may have, its interpreter's 40 MB among them
ANALYST = "stepdown_analyst"  # the role that reads views, of `stepdown db analyst`
_HEAP = 128_000_000  # of SQLite's own, so that SQLite itself reports the lack of memory
_TEMPORARY = 256_000_000  # bytes a temporary file may have
_LONGEST_CELL = 32_000_000  # bytes; no request the API takes is longer
_LONGEST_PATTERN = 1_000  # the time of LIKE and GLOB grows with its square
_OVER_S = 1.0  # after its time limit the system ends the process, whatever its parent does
_LOWER_PRIORITY = 10
_CONNECT_S = 5
_ROWS_AT_ONCE = 500
_STEPS_BETWEEN_LOOKS = 1_000  # SQLite's own steps: a look at the clock costs nothing beside them

_AWAY = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PERM})
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_ACTING_IN_SQLITE = frozenset({"load_extension", "fts3_tokenizer"})
_TELLING_PRAGMAS = frozenset({"table_info", "table_xinfo", "table_list", "index_list", "index_info"})

_AS_TEXT = ("date", "time", "timetz", "timestamp", "timestamptz", "interval", "json", "jsonb", "uuid")
_LOST = ("08", "57P")  # SQLSTATE: the connection, or the server, went away
# A function that Postgres calls volatile may do anything: read a file, end another's query, run a text as SQL. A query
# with such a function's name anywhere is refused, so that no quoting helps. The functions below only report.
_HARMLESS = [
    *("random", "random_normal", "clock_timestamp", "timeofday", "gen_random_uuid", "uuidv4", "uuidv7"),
    *("pg_relation_size", "pg_table_size", "pg_indexes_size", "pg_total_relation_size", "pg_database_size"),
]
_ACTING_IN_POSTGRES = """
    SELECT min(proname) FROM pg_catalog.pg_proc
    WHERE proname = ANY(%s) AND proname <> ALL(%s) AND (provolatile = 'v' OR proname ~ '^(crosstab|connectby)')
"""
# Passwords of the whole server are in pg_authid. A role that may read pg_authid gives the right up, or is refused.
_RIGHTS = """
    SELECT rolname, rolsuper OR has_table_privilege(oid, 'pg_catalog.pg_authid', 'SELECT'), current_schemas(false),
        (SELECT rolname FROM pg_catalog.pg_roles analyst
         WHERE rolname = %s AND NOT rolsuper AND pg_has_role(me.oid, analyst.oid, 'MEMBER')
         AND NOT has_table_privilege(oid, 'pg_catalog.pg_authid', 'SELECT')
         AND has_table_privilege(oid, to_regclass('v_jobs'), 'SELECT'))
    FROM pg_catalog.pg_roles me WHERE rolname = current_user
"""

_Answer: TypeAlias = tuple[Sequence[str], Iterator[Sequence[Any]]]


class _Failed(Exception):  # noqa: N818 - beyond this process the failure is reported, not raised
    """End the query for a reason, in words."""

    def __init__(self, reason: str, words: str = "") -> None:
        self.reported = [reason, words]
        super().__init__(words)


def main() -> None:
    """Read the request, answer, and end this process at once: its parent may interrupt any point of the end."""
    try:
        _answer(json.loads(sys.stdin.buffer.readline()))
        sys.stdout.buffer.flush()
        os._exit(0)
    except (KeyboardInterrupt, BrokenPipeError):  # the parent has the answer, or went away
        os._exit(1)


def _answer(asked: Mapping[str, Any]) -> None:
    """Bound this process, run the query, and write its rows or the reason of its failure."""
    run = _in_sqlite if "path" in asked else _in_postgres
    try:
        _bound(asked["timeout_s"], ends_at_once="path" in asked)
        with run(asked) as (columns, rows):
            _send(b"C", list(columns))
            _send(b"E", _sent(rows, most_rows=asked["most_rows"], most_bytes=asked["most_bytes"]))
    except _Failed as failure:
        _send(b"F", failure.reported)
    except MemoryError:
        _send(b"F", ["memory", ""])


def _bound(timeout_s: float, *, ends_at_once: bool) -> None:
    """Have the system end this process: by its time, its memory, or the end of its parent, which closes stdin."""
    if sys.platform == "win32":
        return
    import fcntl  # noqa: PLC0415 - Windows has neither
    import resource  # noqa: PLC0415

    processor_s = math.ceil(timeout_s + _OVER_S)
    limits = {resource.RLIMIT_CPU: processor_s, resource.RLIMIT_FSIZE: _TEMPORARY, resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":  # elsewhere the memory of SQLite alone is bounded
        limits[resource.RLIMIT_AS] = MEMORY
    for limit, most in limits.items():
        hard = resource.getrlimit(limit)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (least, least))
    os.nice(_LOWER_PRIORITY)
    # The end of stdin is a signal. The signal ends SQLite inside any function; Postgres first receives a cancel.
    signal.signal(signal.SIGIO, signal.SIG_DFL if ends_at_once else signal.default_int_handler)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:
        sys.exit(1)


def _begin(timeout_s: float) -> None:
    """Send the mark that the query begins, and set the timer that ends the process."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, timeout_s + _OVER_S)
    _send(b"G", None)
    sys.stdout.buffer.flush()


def _send(letter: bytes, value: object) -> None:
    sys.stdout.buffer.writelines((letter, _written(value), b"\n"))


def _sent(rows: Iterator[Sequence[Any]], *, most_rows: int, most_bytes: int) -> str | None:
    """Send rows up to the first bound. Returns the bound that cut the rows, None for all rows."""
    taken = 0
    for count, row in enumerate(rows):
        if most_rows and count == most_rows:
            return "rows"
        line = _written(row)
        taken += len(line)
        if taken > most_bytes:
            if count == 0:
                raise _Failed("wrong", f"a row has more than {most_bytes:,} characters: name fewer columns")
            return "bytes"
        sys.stdout.buffer.writelines((b"R", line, b"\n"))
    return None


def _written(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=_plain, separators=(",", ":")).encode(errors="surrogatepass")


def _plain(cell: object) -> object:
    """Return a cell in a form that JSON has. Each cell but bytes is a number or a text of its engine."""
    if isinstance(cell, bytes):
        return {"bytes": cell.hex()}
    return {"number": str(cell)} if type(cell).__name__ == "Decimal" else str(cell)


@contextmanager
def _in_sqlite(asked: Mapping[str, Any]) -> Iterator[_Answer]:
    timeout_s: float = asked["timeout_s"]
    try:
        with closing(sqlite3.connect(asked["path"], uri=True, timeout=timeout_s)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA mmap_size = 0")
            connection.execute(f"PRAGMA hard_heap_limit = {_HEAP}")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_CELL)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _LONGEST_PATTERN)
            connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            connection.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
            connection.text_factory = lambda text: text.decode(errors="replace")
            connection.set_authorizer(_authorized)
            _begin(timeout_s)
            until = time.monotonic() + timeout_s
            connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_LOOKS)
            rows = connection.execute(asked["sql"])
            yield [column[0] for column in rows.description], rows
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _of_sqlite(error) from None


def _of_sqlite(error: Exception) -> _Failed:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_INTERRUPT:
        return _Failed("late")
    if code in _NO_ROOM:
        return _Failed("wrong", f"it needs a temporary file of more than {_TEMPORARY // 10**6} MB: narrow it")
    if code == sqlite3.SQLITE_TOOBIG:
        return _Failed("wrong", f"a value or the query is longer than {_LONGEST_CELL // 10**6} MB: narrow it")
    return _Failed("away" if code in _AWAY else "wrong", _first_line(error))


def _authorized(action: int, what: str | None, more: str | None, _database: str | None, _view: str | None) -> int:
    """Let SQLite read, and call its built-in functions. SQLite asks this for every step before the first step runs."""
    is_allowed = (
        action in _READING
        or (action == sqlite3.SQLITE_FUNCTION and more not in _ACTING_IN_SQLITE)
        or (action == sqlite3.SQLITE_PRAGMA and what in _TELLING_PRAGMAS)
        or (action == sqlite3.SQLITE_UPDATE and what == "sqlite_master")  # asked, not done, by json_each and its kind
    )
    return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


@contextmanager
def _in_postgres(asked: Mapping[str, Any]) -> Iterator[_Answer]:
    import psycopg  # noqa: PLC0415 - a query of SQLite does not wait for it

    try:
        with _connected(asked) as connection:
            _refuse_acting(connection, asked["sql"])
            _begin(asked["timeout_s"])
            # A stream is sent by the extended protocol, which takes one statement and no second statement behind it.
            cursor = connection.cursor()
            rows = cursor.stream(asked["sql"].encode(), size=_ROWS_AT_ONCE)
            first = next(rows, None)
            yield _columns(connection, asked["sql"], cursor), _chained(first, rows)
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
        raise _Failed("late") from None
    except psycopg.Error as error:
        if error.sqlstate is None and re.search("out of memory|cannot allocate", str(error)):
            raise _Failed("memory") from None
        is_lost = error.sqlstate is None or error.sqlstate.startswith(_LOST)
        raise _Failed("away" if is_lost else "wrong", _first_line(error)) from None


def _connected(asked: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Connect, and begin a transaction that only reads, has its limits, and may not read the server's passwords."""
    import psycopg  # noqa: PLC0415
    from psycopg.types.string import TextLoader  # noqa: PLC0415

    named = {"connect_timeout": _CONNECT_S, "application_name": "stepdown query"}
    connection = psycopg.connect(**{**named, **asked["connect"]}, prepare_threshold=None)
    connection.read_only = True  # a query cannot unset this in a transaction that began so and has read
    for kind in _AS_TEXT:
        connection.adapters.register_loader(kind, TextLoader)
    limit_ms = str(max(1, round(asked["timeout_s"] * 1000)))
    # In the transaction: a pooler lends the server connection to others after that.
    settings = {
        **dict.fromkeys(("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"), limit_ms),
        "default_transaction_read_only": "on",
        "max_parallel_workers_per_gather": "0",
        "timezone": "UTC",
    } | _without_rights(connection)
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, true)", [name, value])
    return closing(connection)


def _without_rights(connection: Any) -> dict[str, str]:
    """Return the settings that drop the right to read every password. Refuses the query if no analyst role is there."""
    name, is_mighty, schemas, role = connection.execute(_RIGHTS, [ANALYST]).fetchone()
    if not is_mighty:
        return {}
    if role is None:
        problem = f"{name} may read every password of this Postgres, and a person's query is not run with that right"
        fix = f"make the role {ANALYST} by `stepdown db analyst --apply`, or name another user in DATABASE_URL"
        raise _Failed("wrong", f"{problem}: {fix}")
    path = ", ".join('"{}"'.format(schema.replace('"', '""')) for schema in schemas)
    return {"search_path": path, "role": role}


def _refuse_acting(connection: Any, sql: str) -> None:
    text = sql.lower()
    if re.search(r"u&\s*[\"']", text):
        raise _Failed("wrong", "write letters as they are: U& with escapes is not read here")
    found = connection.execute(_ACTING_IN_POSTGRES, [re.findall(r"[\w$]+", text), _HARMLESS]).fetchone()
    if found is not None and found[0] is not None:
        raise _Failed("wrong", f"{found[0]} may do more than read, and is not called here")


def _columns(connection: Any, sql: str, cursor: Any) -> list[str]:
    if cursor.description is not None:
        return [column.name for column in cursor.description]
    connection.pgconn.prepare(b"", sql.encode())  # a stream without a row gives no names
    described = connection.pgconn.describe_prepared(b"")
    return [(described.fname(number) or b"").decode() for number in range(described.nfields)]


def _chained(first: Sequence[Any] | None, rest: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    if first is not None:
        yield first
        yield from rest


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    main()
