"""Opens the ledger's database: SQLite in a file, or Postgres."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from models.errors import LedgerError, Mistake, SettingsError

_FIX = "write sqlite:///path/to/ledger.db or postgresql://user:password@host:5432/name"
_ENCODE = "percent-encode the password and the user: @ is %40, / is %2F"
_CONNECTIONS = 8  # a pool of 500 would have 500 threads fight for one SQLite write lock, or fill Postgres
_WAIT_S = 60
UNREACHABLE = (DBAPIError, NoConnectionError)  # what SQLAlchemy raises where the database is away or busy for too long


def open_database(url: str) -> Engine:
    """Connect lazily to the ledger; SQLite makes its folder and its file, and waits 30 s for another writer.

    Raises SettingsError for a URL that is neither SQLite nor Postgres, LedgerError for a file that cannot be made.
    """
    where = database_url(url)
    if where.get_backend_name() == "sqlite":
        _make_private(Path(where.database or ""))
        # The driver's own BEGIN is deferred: two that both read before they write then fail at once, without waiting.
        connect: dict[str, Any] = {"timeout": 30, "check_same_thread": False, "isolation_level": "IMMEDIATE"}
        options: dict[str, Any] = {"connect_args": connect, "paramstyle": "named"}
    else:
        options = {"connect_args": {"connect_timeout": 5}, "pool_pre_ping": True}
    # Errors are logged and published: a prompt or an answer must not be in them.
    pool: dict[str, Any] = {"pool_size": _CONNECTIONS, "max_overflow": 0, "pool_timeout": _WAIT_S}
    engine = create_engine(where, hide_parameters=True, **pool, **options)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


@contextmanager
def opened_if_there(url: str) -> Iterator[Engine | None]:
    """Open a ledger for a block; None where it is a SQLite file that nobody has made yet, and none is made."""
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
    """Read DATABASE_URL; `postgresql://` means psycopg 3. The password is never shown in an error."""
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
    """Tell a URL whose password could be read as its host, its port, its database or an option, and then be shown."""
    if where.drivername == "sqlite" and not where.host:
        return False
    before_host = where.username is not None or where.password is not None
    is_cut = url.count("@") > (1 if before_host else 0)
    return is_cut or any(re.search("pass|secret|scram_", name) for name in where.query)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Commit at the end of the block, roll back where it fails. Raises LedgerError where the database is away.

    A broken constraint is the caller's business, and stays as it is.
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
    """Lend a connection that nothing is written through. Raises LedgerError where the database is away."""
    try:
        with engine.connect() as connection:
            yield connection
    except UNREACHABLE as error:
        raise unreachable(error, engine.url.render_as_string(hide_password=True)) from error


def unreachable(error: Exception, where: str) -> LedgerError:
    """Say in one line what the driver said in many, whether or not SQLAlchemy has wrapped it."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    said = str(cause).strip().splitlines() or [type(error).__name__]
    return LedgerError(f"ledger {where}: {said[0]}")


def _wrong(shown: str, fix: str) -> SettingsError:
    return SettingsError([Mistake(variable="DATABASE_URL", value=shown, fix=fix)])


def _make_private(path: Path) -> None:
    """Make the file for its owner only: it holds prompts and answers. SQLite gives -wal and -shm the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise LedgerError(
            f"ledger {path}: cannot be made ({error.strerror}): name a file in a folder of yours"
        ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON")
