"""Statements compiled once and run on the driver's own cursor, for the operations that every job makes.

Connection.execute looks the statement up, builds its parameters and wraps its rows anew each time. On SQLite that is
two thirds of a short transaction's CPU. A worker makes hundreds of operations a second, and commits them in groups.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Any, TypeVar

from sqlalchemy import Dialect, Engine, Select
from sqlalchemy.sql.dml import UpdateBase

from models.group_thread import GroupThread, Reply
from models.ledger.database import UNREACHABLE, unreachable

_BEGIN, _END, _UNDO = (f"{word} SAVEPOINT operation" for word in ("", "RELEASE", "ROLLBACK TO"))
# SQLite's driver begins with a write, which a savepoint is not. In Postgres an operation that waits for a lock of
# another transaction leaves its group, before the locks of both can cross.
_FIRST = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SET LOCAL lock_timeout = '100ms'"}
_LOST = ("08", "57")  # the classes of SQL states that end a connection
_FULL = "SQLITE_FULL"
_Result = TypeVar("_Result")
_Operation = tuple[Callable[["Cursor"], Any], Reply[Any]]
_Process = Callable[[Any], Any]
_Statement = UpdateBase | Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    sql: str
    shared: Mapping[str, Any]
    processes: Mapping[str, _Process]
    columns: tuple[tuple[str, _Process | None], ...]

    def named(self, row: Sequence[Any]) -> dict[str, Any]:
        """Return a row of the driver by column."""
        pairs = zip(self.columns, row, strict=True)
        return {name: value if process is None else process(value) for (name, process), value in pairs}


class CompiledSql:
    """Runs an engine's hot statements; shared by all threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._compiled: dict[tuple[int, tuple[str, ...]], _Compiled] = {}

    @contextmanager
    def transaction(self, *, has_savepoints: bool = False) -> Iterator["Cursor"]:
        """Yield a cursor. Commit at the end of the block, roll back if the block fails."""
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            if has_savepoints:
                cursor.execute(_FIRST[self._engine.dialect.name])
            undo = partial(cursor.execute, _UNDO) if has_savepoints else connection.rollback
            yield Cursor(self, cursor, undo)
            connection.commit()
        finally:
            connection.close()  # the pool rolls back every write without a commit

    def read(self, statement: _Statement, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a statement, by column. Raises LedgerError if the database is away."""
        try:
            with self.transaction() as cursor:
                return cursor.all(statement, given)
        except (*UNREACHABLE, self._engine.dialect.loaded_dbapi.Error) as error:
            raise unreachable(error, self._engine.url.render_as_string(hide_password=True)) from error

    def compiled(self, statement: _Statement, given: Mapping[str, Any]) -> _Compiled:
        """Compile the statement for these parameters and columns, once."""
        known = (id(statement), tuple(given))
        found = self._compiled.get(known)
        if found is None:
            found = self._compiled[known] = _compile(statement, list(given), self._engine.dialect)
        return found


class Cursor:
    """The driver's cursor, which takes SQLAlchemy's statements."""

    def __init__(self, prepared: CompiledSql, cursor: Any, undo: Callable[[], object]) -> None:
        self._prepared = prepared
        self._cursor = cursor
        self.run: Callable[[str], object] = cursor.execute  # runs a plain statement
        self.undo = undo  # takes back all writes of this operation so far

    def count(self, statement: UpdateBase, given: Mapping[str, Any]) -> int:
        """Execute a statement. Returns the number of written rows."""
        self._execute(statement, given)
        return int(self._cursor.rowcount)

    def first(self, statement: _Statement, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """Execute a statement. Returns the first row by column, None if there is no row."""
        compiled = self._execute(statement, given)
        row = self._cursor.fetchone()
        return None if row is None else compiled.named(row)

    def all(self, statement: _Statement, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Execute a statement. Returns all rows by column."""
        compiled = self._execute(statement, given)
        return [compiled.named(row) for row in self._cursor.fetchall()]

    def _execute(self, statement: _Statement, given: Mapping[str, Any]) -> _Compiled:
        compiled = self._prepared.compiled(statement, given)
        parameters = {**compiled.shared, **given}
        for name, process in compiled.processes.items():
            parameters[name] = process(parameters[name])
        self._cursor.execute(compiled.sql, parameters)
        return compiled


class GroupCommit:
    """Writes the operations that wait in one transaction, in a thread of its own.

    A commit costs a lock of the whole SQLite file, or a round trip and a flush of Postgres' log. Each operation has a
    savepoint of its own, and its caller gets the result after the commit.
    """

    def __init__(self, engine: Engine, *, error_of: Callable[[Exception], Exception]) -> None:
        self._prepared = CompiledSql(engine)
        self._engine = engine
        self._error_of = error_of  # the error that a caller gets for an error of the driver
        self._group = GroupThread(self._write, name="ledger writer")

    def submit(self, write: Callable[[Cursor], _Result], reply: Reply[_Result]) -> None:
        """Have an operation written. The reply gets the result after the commit, or the operation's error."""
        self._group.put(write, reply)

    def _write(self, group: Sequence[_Operation]) -> None:
        if len(group) == 1 or not self._write_group(group):
            for operation in group:
                self._write_alone(*operation)

    def _write_group(self, group: Sequence[_Operation]) -> bool:
        """Commit a group. Returns False if nothing is written, and each operation may be written alone."""
        ends: list[Callable[[], object]] = []
        try:
            with self._prepared.transaction(has_savepoints=True) as cursor:
                ends = [self._on_savepoint(cursor, *operation) for operation in group]
        except Exception as error:  # noqa: BLE001 - the error belongs to the callers; the thread goes on
            if getattr(error, "sqlite_errorname", "") == _FULL:  # a smaller operation may have room
                return False
            ends = [partial(self._fail, written, error) for _, written in group]
        for end in ends:
            end()
        return True

    def _on_savepoint(
        self, cursor: Cursor, write: Callable[[Cursor], Any], written: Reply[Any]
    ) -> Callable[[], object]:
        """Run an operation of a group. Returns the call that ends the operation after the commit.

        Raises an error after which the transaction cannot go on.
        """
        cursor.run(_BEGIN)
        try:
            result = write(cursor)
        except Exception as error:
            if self._ends_transaction(error):
                raise
            cursor.undo()
            if isinstance(error, self._engine.dialect.loaded_dbapi.OperationalError):
                # No lock in time: the operation waits for the lock alone.
                return Thread(target=self._write_alone, args=(write, written), daemon=True).start
            return partial(self._fail, written, error)
        cursor.run(_END)
        return partial(written.set_result, result)

    def _ends_transaction(self, error: Exception) -> bool:
        driver = self._engine.dialect.loaded_dbapi
        state = getattr(error, "sqlstate", None)
        # SQLite, and a connection that is lost, know no state.
        return isinstance(error, driver.OperationalError) if state is None else state.startswith(_LOST)

    def _write_alone(self, write: Callable[[Cursor], Any], written: Reply[Any]) -> None:
        try:
            with self._prepared.transaction() as cursor:
                result = write(cursor)
        except Exception as error:  # noqa: BLE001 - the error belongs to the caller; the thread goes on
            self._fail(written, error)
        else:
            written.set_result(result)

    def _fail(self, written: Reply[Any], error: Exception) -> None:
        written.set_exception(self._error_of(error))


def _compile(statement: _Statement, columns: list[str], dialect: Dialect) -> _Compiled:
    compiled = statement.compile(dialect=dialect, column_keys=columns)
    names = compiled.bind_names.items()
    processes = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for bind, name in names}
    return _Compiled(
        sql=compiled.string,
        shared=compiled.params,
        processes={name: process for name, process in processes.items() if process is not None},
        columns=tuple(
            (str(column.key), column.type.dialect_impl(dialect).result_processor(dialect, None))
            for column in statement.exported_columns
        ),
    )
