"""Statements compiled once and run on the driver's own cursor, for the transactions that every job makes.

Connection.execute looks the statement up, builds its parameters and wraps its rows anew each time. On SQLite that is
two thirds of a short transaction's CPU. A worker makes hundreds of transactions a second.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Dialect, Engine, Select
from sqlalchemy.sql.dml import UpdateBase

_Process = Callable[[Any], Any]
_Statement = UpdateBase | Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    sql: str
    shared: Mapping[str, Any]
    processes: Mapping[str, _Process]
    columns: tuple[tuple[str, _Process | None], ...]


class CompiledSql:
    """Runs an engine's hot statements; shared by all threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._compiled: dict[tuple[int, tuple[str, ...]], _Compiled] = {}

    @contextmanager
    def transaction(self) -> Iterator["Cursor"]:
        """Yield a cursor. Commit at the end of the block, roll back if the block fails."""
        connection = self._engine.raw_connection()
        try:
            yield Cursor(self, connection.cursor(), connection.rollback)
            connection.commit()
        finally:
            connection.close()  # the pool rolls back every write without a commit

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
        self.undo = undo  # takes back all writes of this transaction so far

    def count(self, statement: UpdateBase, given: Mapping[str, Any]) -> int:
        """Execute a statement. Returns the number of written rows."""
        self._execute(statement, given)
        return int(self._cursor.rowcount)

    def first(self, statement: _Statement, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """Execute a statement. Returns the first row by column, None if there is no row."""
        compiled = self._execute(statement, given)
        row = self._cursor.fetchone()
        if row is None:
            return None
        return {
            name: value if process is None else process(value)
            for (name, process), value in zip(compiled.columns, row, strict=True)
        }

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
