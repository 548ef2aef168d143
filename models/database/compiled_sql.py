"""Statements compiled once and run on the driver's own cursor, for the operations that every job makes.

Connection.execute looks the statement up, builds its parameters and wraps its rows anew each time. On SQLite that is
two thirds of a short transaction's CPU. A worker makes hundreds of operations a second, and commits them in groups.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Dialect, Engine, Select
from sqlalchemy.sql.dml import UpdateBase

from models.database.engine import UNREACHABLE, unreachable

# SQLite's driver begins with a write, which a savepoint is not. In Postgres an operation that waits for a lock of
# another transaction leaves its group, before the locks of both can cross.
_FIRST = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SET LOCAL lock_timeout = '100ms'"}
_Process = Callable[[Any], Any]
_Statement = UpdateBase | Select[*tuple[Any, ...]]


class UndoneError(Exception):
    """An operation of a group without savepoints takes back its writes."""


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
    def transaction(
        self, *, of_group: bool = False, is_single: bool = False, last: Callable[["Cursor"], object] | None = None
    ) -> Iterator["Cursor"]:
        """Yield a cursor. Commit at the end of the block, after `last`; roll back if the block fails."""
        connection: Any = self._engine.raw_connection()
        has_own = is_single and self._engine.dialect.name == "postgresql" and not connection.info.get("limits")
        try:
            if has_own:
                connection.driver_connection.autocommit = True
            cursor = connection.cursor()
            if of_group:
                cursor.execute(_FIRST[self._engine.dialect.name])
            found = Cursor(self, cursor, _cannot_undo if of_group else connection.rollback)
            yield found
            if last is not None:
                last(found)
            connection.commit()
        finally:
            if has_own and not connection.driver_connection.closed:
                connection.driver_connection.autocommit = False
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
        self.take_back = undo
        self.changes: dict[str, Counter[str]] = {}  # of counts, by batch; written before the commit

    def undo(self) -> None:
        """Take back all writes of this operation so far."""
        self.take_back()
        self.changes.clear()

    def note(self, batch_id: str, **changes: Any) -> None:
        """Add changes to the counts of a batch."""
        found = self.changes.setdefault(batch_id, Counter())
        for name, change in changes.items():  # a third of the time of Counter.update
            found[name] += change

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


def _cannot_undo() -> None:
    raise UndoneError
