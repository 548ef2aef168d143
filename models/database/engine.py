"""Opens the ledger's database: SQLite in a file, or Postgres."""

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Executable, RowMapping, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from models.errors import LedgerError, LedgerGoneError, Mistake, SettingsError

_FIX = "write sqlite:///path/to/ledger.db or postgresql://user:password@host:5432/name"
_ENCODE = "percent-encode the password and the user: @ is %40, / is %2F"
CONNECTIONS = 8  # a pool of 500 would have 500 threads fight for one SQLite write lock, or fill Postgres
WORKER = "worker"
# A host that is cut off keeps its locks until Postgres misses the host. Every wait for a lock is longer than that.
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_LIMITS = {"lock_timeout": "60s", "idle_in_transaction_session_timeout": "10min"}  # a submission may be read slowly
_WORKER_LIMITS = {"lock_timeout": "15s", "idle_in_transaction_session_timeout": "10s"}
_WAIT_S = 60
UNREACHABLE = (DBAPIError, NoConnectionError)  # SQLAlchemy raises these if the database is away or busy for too long


def open_database(url: str, *, connections: int = CONNECTIONS, kind: str = "command") -> Engine:
    """Connect lazily to the ledger. SQLite makes its folder and its file, and waits 30 s for another writer.

    `kind` names this process to Postgres. Transactions of a worker also end earlier than those of others.
    Raises SettingsError for a URL that is neither SQLite nor Postgres, LedgerError for a file that cannot be made.
    Each use raises LedgerGoneError once the file of SQLite was removed or replaced.
    """
    where = database_url(url)
    is_sqlite = where.get_backend_name() == "sqlite"
    if is_sqlite:
        _make_private(Path(where.database or ""))
        # The driver's own BEGIN is deferred: of two transactions that read before they write, one then fails at once.
        connect: dict[str, Any] = {"timeout": 30, "check_same_thread": False, "isolation_level": "IMMEDIATE"}
        options: dict[str, Any] = {"connect_args": connect, "paramstyle": "named"}
    else:
        # PgBouncer refuses an `options` parameter, so there is none here.
        named = {} if "application_name" in where.query else {"application_name": f"stepdown {kind}"}
        connect = {"connect_timeout": 5, "tcp_user_timeout": 20_000, **_KEEPALIVE, **named}
        options = {"connect_args": connect, "pool_pre_ping": True}
    # Errors are logged and published: a prompt or an answer must not be in them.
    pool: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_timeout": _WAIT_S}
    engine = create_engine(where, hide_parameters=True, **pool, **options)
    if is_sqlite:
        _watch_file(engine, Path(where.database or ""))
    else:
        event.listen(engine, "connect", partial(_prepare_postgres, _WORKER_LIMITS if kind == WORKER else _LIMITS))
        event.listen(engine, "checkout", _limit_in_pooler)
    return engine


@contextmanager
def opened_if_there(url: str) -> Iterator[Engine | None]:
    """Open a ledger for a block. Yields None if its SQLite file does not exist yet, and makes no file."""
    where = database_url(url)
    if where.get_backend_name() == "sqlite" and not Path(where.database or "").exists():
        yield None
        return
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


def database_url(url: str) -> URL:
    """Read DATABASE_URL; `postgresql://` means psycopg 3. No error shows the password."""
    try:
        where = make_url(url)
    except (ArgumentError, ValueError):  # the second for a port that is no number
        raise _wrong("(hidden)", _FIX) from None
    if _is_torn(url, where):
        raise _wrong("(hidden)", f"{_FIX}, and {_ENCODE}")
    if where.drivername in {"postgresql", "postgres"}:
        where = where.set(drivername="postgresql+psycopg")
    is_file = where.database not in {None, "", ":memory:"} and not where.host and not where.query
    if where.drivername != "postgresql+psycopg" and not (where.drivername == "sqlite" and is_file):
        raise _wrong(where.render_as_string(hide_password=True), _FIX)
    return where


def _is_torn(url: str, where: URL) -> bool:
    """Return whether a part of the password may stand in the host, port, database or options of a URL."""
    if where.drivername == "sqlite" and not where.host:
        return False
    before_host = where.username is not None or where.password is not None
    is_cut = url.count("@") > (1 if before_host else 0)
    return is_cut or any(re.search("pass|secret|scram_", name) for name in where.query)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Commit at the end of the block, roll back if it fails. Raises LedgerError if the database is away.

    The error of a broken constraint goes to the caller unchanged.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except IntegrityError:
        raise
    except UNREACHABLE as error:
        raise unreachable(error, engine.url.render_as_string(hide_password=True)) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Yield a connection for reading alone, each statement by itself. Raises LedgerError if the database is away.

    A rollback at the end costs a round trip. The driver also forgets all prepared statements with each rollback.
    """
    try:
        with engine.connect() as connection:
            if may_autocommit(connection):
                connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection
    except UNREACHABLE as error:
        raise unreachable(error, engine.url.render_as_string(hide_password=True)) from error


class LedgerPart:
    """Reads or writes of one subject, over one engine. Each method raises LedgerError if the ledger is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _rows(self, statement: Executable) -> Sequence[RowMapping]:
        with reading(self._engine) as connection:
            return connection.execute(statement).mappings().all()


def unreachable(error: Exception, where: str) -> LedgerError:
    """Return an error of the driver as one line, whether or not SQLAlchemy has wrapped the error."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    message = str(cause).strip().splitlines() or [type(error).__name__]
    return LedgerError(f"ledger {where}: {message[0]}")


def _wrong(shown: str, fix: str) -> SettingsError:
    return SettingsError([Mistake(variable="DATABASE_URL", value=shown, fix=fix)])


def _make_private(path: Path) -> None:
    """Make the file, which holds prompts and answers, for its owner only. SQLite gives -wal and -shm the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise LedgerError(
            f"ledger {path}: cannot be made ({error.strerror}): name a file in a folder of yours"
        ) from None


def _watch_file(engine: Engine, path: Path) -> None:
    """Refuse each use of a file that was removed or replaced: all writes to the opened file are lost.

    A connection to SQLite goes on writing to a removed file, and a new connection would make an empty file.
    """
    opened, log = _identity(path), path.with_name(f"{path.name}-wal")
    gone: list[Path] = []  # for good: a new connection would find nothing amiss

    def look(*_given: Any) -> None:
        if _identity(path) != opened:
            gone.append(path)
        if gone:
            raise LedgerGoneError(gone[0])

    def look_with_log(_connection: Any, record: Any, _proxy: Any) -> None:
        if record.info.get("log") not in {None, _identity(log)}:
            gone.append(log)
        look()

    def note_log(_connection: Any, record: Any) -> None:
        # This connection or an earlier one made the log. Nobody may remove the log while the connection lives.
        if record.info.get("log") is None:
            record.info["log"] = _identity(log)

    event.listen(engine, "do_connect", look)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "checkout", look_with_log)
    event.listen(engine, "checkin", note_log)


def _identity(path: Path) -> tuple[int, int] | None:
    with suppress(FileNotFoundError, NotADirectoryError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON")


def _prepare_postgres(limits: dict[str, str], connection: Any, record: Any) -> None:
    """Set the limits of a session that is ours alone. Behind a pooler each transaction sets the limits for itself.

    A pooler, such as PgBouncer, reports a process id of its own, and gives each transaction another session. Neither
    our settings nor our prepared statements may stay in such a session.
    """
    is_ours = connection.execute("SELECT pg_backend_pid()").fetchone()[0] == connection.info.backend_pid
    if is_ours:
        of_server = {f"tcp_{name}": str(value) for name, value in _KEEPALIVE.items()}
        connection.execute("; ".join(f"SET {name} = '{value}'" for name, value in {**limits, **of_server}.items()))
    else:
        connection.prepare_threshold = None
        record.info["limits"] = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in limits.items())
    connection.commit()


def may_autocommit(connection: Any) -> bool:
    """Return whether a connection may run each statement by itself. SQLite's reads always do."""
    return connection.dialect.name == "postgresql" and not connection.info.get("limits")


def _limit_in_pooler(connection: Any, record: Any, _proxy: object) -> None:
    if limits := record.info.get("limits"):
        connection.execute(limits)  # this begins the transaction that follows
