"""Runs a person's SQL query in a separate process, which cannot write, and ends the process at its limits."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from signal import Signals
from tempfile import gettempdir
from threading import Event, Thread
from typing import IO, Any
from urllib.parse import quote

from models.accounting.query_process import MEMORY
from models.database.engine import database_url
from models.errors import InputError, LedgerError
from models.text import is_storable

AT_ONCE = 3  # queries of one user on one machine; each may use MEMORY, and wants a core
_QUERIES = frozenset({"select", "with", "values", "table", "explain"})
# The two engines read a comment inside a comment differently. No word is found behind one, so the query is refused.
_FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*(?:(?!/\*|\*/).)*\*/)*([a-z]+)", re.DOTALL | re.IGNORECASE)

_LONGEST_S = 86_400
_LONGEST_SQL = 1_000_000
_MOST_BYTES = 4_000_000_000
_PROGRAM = Path(__file__).with_name("query_process.py")
_START_S = 30  # until a query's own time begins: for an interpreter and a connection
_WAIT_S = 5, 60  # the least and the most that a query waits for others to end
_OVER_S = 0.5  # for the process to report itself that it is late
_END_S = 0.5  # for a cancel to reach Postgres
_LOOK_EVERY_S = 0.05
_LATE = frozenset({"SIGALRM", "SIGXCPU"})


class BusyError(TimeoutError):
    """Other queries have all the places of this machine."""


@dataclass(slots=True, kw_only=True)
class QueryResult:
    """The columns and rows of a query. Two columns may have one name. Rows are read as the caller takes them.

    A cell is None, int, Decimal, float, bool, str, bytes or a list of these. Times are the engine's own text, in UTC.
    After the last row `cut` is "rows" or "bytes" if that bound left rows out.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]
    cut: str | None = None


@dataclass(slots=True, kw_only=True)
class _Running:
    process: subprocess.Popen[bytes]
    timeout_s: float
    until: float
    is_late: bool = False

    def end(self) -> None:
        """Close stdin, which ends the process. Send SIGKILL if the end takes too long."""
        with suppress(BrokenPipeError):  # of a request that the process has not read
            _pipe(self.process.stdin).close()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()


@contextmanager
def run_query(
    url: str,
    sql: str,
    *,
    timeout_s: float,
    most_rows: int = 0,
    most_bytes: int = _MOST_BYTES,
    stop: Event | None = None,
) -> Iterator[QueryResult]:
    """Run one query, which cannot write, against the ledger at `url`. Its rows must be read inside the block.

    `most_rows` 0 is all rows. `stop`, set from any thread, ends the query.
    Raises InputError if the text is no query or the engine refuses the query. Raises TimeoutError at the time limit.
    Raises LedgerError if there is no ledger.
    """
    _check(sql, timeout_s)
    request = {"sql": sql, "timeout_s": timeout_s, "most_rows": most_rows, "most_bytes": most_bytes, **_where(url)}
    stop = stop or Event()
    with _place(timeout_s, stop), _running(request, stop) as running:
        yield _found(running, url)


def read_only_uri(path: Path) -> str:
    """Return the URI that opens a SQLite file for reading only.

    >>> read_only_uri(Path("/tmp/a ledger?.db"))
    'file:/tmp/a%20ledger%3F.db?mode=ro'
    """
    return f"file:{quote(str(path.absolute()))}?mode=ro"


def _check(sql: str, timeout_s: float) -> None:
    if not 0 < timeout_s <= _LONGEST_S:
        raise InputError(f"{timeout_s} should be seconds, up to a day of them", source="sql", field="--timeout-s")
    if len(sql) > _LONGEST_SQL:
        raise _wrong(f"a query has at most {_LONGEST_SQL:,} characters")
    first = _FIRST_WORD.match(sql)
    if first is None or first[1].lower() not in _QUERIES:
        raise _wrong("only a query is run here: begin it with SELECT, WITH, VALUES, TABLE or EXPLAIN")
    if not is_storable(sql):
        raise _wrong("it holds a character that is not text")


def _where(url: str) -> dict[str, Any]:
    where = database_url(url)
    if where.get_backend_name() == "sqlite":
        path = Path(where.database or "")
        if not path.is_file():
            raise LedgerError(f"ledger {path}: there is none yet; the first `stepdown submit` makes it")
        return {"path": read_only_uri(path)}
    _, connect = where.get_dialect()().create_connect_args(where)
    return {"connect": connect}


@contextmanager
def _place(timeout_s: float, stop: Event) -> Iterator[None]:
    """Wait for one of the places of this machine. Raises BusyError if no place gets free."""
    wait_s = max(_WAIT_S[0], min(timeout_s, _WAIT_S[1]))
    until = time.monotonic() + wait_s
    while (lock := _lock()) is None:
        if time.monotonic() > until or stop.wait(_LOOK_EVERY_S):
            raise BusyError(f"sql: {AT_ONCE} other queries run, and none has ended in {wait_s:g} s: ask again later")
    try:
        yield
    finally:
        os.close(lock)


def _lock() -> int | None:
    """Lock a place. Returns the descriptor that holds the lock, None if all places are taken."""
    if sys.platform == "win32":
        return os.open(os.devnull, os.O_RDONLY)
    from fcntl import LOCK_EX, LOCK_NB, flock  # noqa: PLC0415 - Windows has none

    for number in range(AT_ONCE):
        path = Path(gettempdir()) / f"stepdown-query-{os.getuid()}-{number}.lock"
        try:
            lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise LedgerError(f"{path}: cannot be opened ({error.strerror}): set TMPDIR to a folder of yours") from None
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return lock
    return None


@contextmanager
def _running(request: Mapping[str, Any], stop: Event) -> Iterator[_Running]:
    # SQLite needs the standard library only; psycopg may be anywhere. -P: no module of the working folder is read.
    few = ["-I", "-S"] if "path" in request else ["-P"]
    command = [sys.executable, *few, str(_PROGRAM)]
    pipe = subprocess.PIPE
    # A session of its own: Ctrl-C reaches us alone, and we end the query.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        running = _Running(process=process, timeout_s=request["timeout_s"], until=time.monotonic() + _START_S)
        guard = Thread(target=_guard, args=(running, stop), name="query", daemon=True)
        guard.start()
        try:
            with suppress(BrokenPipeError):  # its output has the reason of its end
                _pipe(process.stdin).write(json.dumps(request).encode() + b"\n")
                _pipe(process.stdin).flush()
            yield running
        finally:
            stop.set()
            guard.join()


def _guard(running: _Running, stop: Event) -> None:
    while not stop.wait(_LOOK_EVERY_S):
        if time.monotonic() > running.until:
            running.is_late = True
            break
    running.end()


def _found(running: _Running, url: str) -> QueryResult:
    answer = _answer(running, url)
    next(answer)  # the query has begun: from now on its time counts
    running.until = time.monotonic() + running.timeout_s + _OVER_S
    found = QueryResult(columns=tuple(next(answer)[1]), rows=iter(()))
    found.rows = _rows(found, answer)
    return found


def _rows(found: QueryResult, answer: Iterator[tuple[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for letter, value in answer:
        if letter == "E":
            found.cut = value
            return
        yield tuple(value)


def _answer(running: _Running, url: str) -> Iterator[tuple[str, Any]]:
    """Yield the lines of the process up to its own mark of the end. Raises the failure that the process reports."""
    for line in _pipe(running.process.stdout):
        letter, value = chr(line[0]), json.loads(line[1:], object_hook=_cell)
        if letter == "F":
            reason, words = value
            raise _failure(reason, words, running, url)
        yield letter, value
    code = running.process.wait()
    signal = Signals(-code).name if code < 0 else f"exit {code}"
    if running.is_late or signal in _LATE:
        raise _too_long(running.timeout_s)
    raise _wrong(f"its process ended ({signal}), perhaps for more than {MEMORY // 10**6} MB of memory: narrow it")


def _failure(reason: str, words: str, running: _Running, url: str) -> Exception:
    match reason:
        case "late":
            return _too_long(running.timeout_s)
        case "memory":
            return _wrong(f"it needs more than {MEMORY // 10**6} MB of memory: name fewer columns, or narrow it")
        case "away":
            where = database_url(url)
            is_file = where.get_backend_name() == "sqlite"
            shown = str(where.database) if is_file else where.render_as_string(hide_password=True)
            return LedgerError(f"ledger {shown}: {words}")
    return _wrong(words)


def _cell(tagged: dict[str, str]) -> Any:
    return Decimal(tagged["number"]) if "number" in tagged else bytes.fromhex(tagged["bytes"])


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    if end is None:
        raise RuntimeError("the process has no such pipe")
    return end


def _wrong(problem: str) -> InputError:
    return InputError(problem, source="sql")


def _too_long(timeout_s: float) -> TimeoutError:
    return TimeoutError(f"sql: not done after {timeout_s:g} s: narrow it, or allow more with --timeout-s")
