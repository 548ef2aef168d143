"""Group commit: the operations that wait are written in one transaction, each with an end of its own."""

from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Engine

from models.database.compiled_sql import CompiledSql, Cursor
from models.database.group_thread import GroupThread, Reply

_BEGIN, _END, _UNDO = (f"{word} SAVEPOINT operation" for word in ("", "RELEASE", "ROLLBACK TO"))
_LOST = ("08", "57")  # the classes of SQL states that end a connection
_FULL = "SQLITE_FULL"
_Result = TypeVar("_Result")
_End = Callable[[], object]


class _Operation(NamedTuple):
    write: Callable[[Cursor], Any]
    reply: Reply[Any]
    is_single: bool  # makes one statement, which needs no BEGIN and no COMMIT


class GroupCommit:
    """Writes the operations that wait in one transaction, in a thread of its own.

    A commit costs a lock of the whole SQLite file, or a round trip and a flush of Postgres' log. The caller of each
    operation gets the result after the commit. If an operation fails, the whole group is written once more. Each
    operation then has a savepoint of its own.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        error_of: Callable[[Exception], Exception],
        last: Callable[[Cursor], object] | None = None,
    ) -> None:
        self._last = last  # runs before each commit
        self._prepared = CompiledSql(engine)
        self._engine = engine
        self._error_of = error_of  # the error that a caller gets for an error of the driver
        self._group = GroupThread(self._write, name="ledger writer")

    def submit(self, write: Callable[[Cursor], _Result], reply: Reply[_Result], *, is_single: bool = False) -> None:
        """Have an operation written. The reply gets the result after the commit, or the operation's error.

        `is_single` is True for an operation that makes one statement only.
        """
        self._group.put(_Operation(write, reply, is_single), reply)

    def _write(self, waiting: Sequence[tuple[_Operation, Reply[Any]]]) -> None:
        group = [operation for operation, _ in waiting]
        if len(group) == 1 or not (self._write_group(group, _plainly) or self._write_group(group, self._on_savepoint)):
            for operation in group:
                self._write_alone(operation)

    def _write_group(self, group: Sequence[_Operation], write: Callable[[Cursor, _Operation], _End]) -> bool:
        """Commit a group. Returns False if nothing is written, and each operation may be written in another way."""
        ends: list[_End] = []
        try:
            with self._prepared.transaction(of_group=True, last=self._last) as cursor:
                ends = [write(cursor, operation) for operation in group]
        except Exception as error:  # noqa: BLE001 - the error belongs to the callers; the thread goes on
            is_full = getattr(error, "sqlite_errorname", "") == _FULL  # a smaller operation may have room
            if is_full or not self._ends_transaction(error):  # or no lock in time for the counts of all
                return False
            ends = [partial(self._fail, operation.reply, error) for operation in group]
        for end in ends:
            end()
        return True

    def _on_savepoint(self, cursor: Cursor, operation: _Operation) -> _End:
        """Run an operation of a group. Returns the call that ends the operation after the commit.

        Raises an error after which the transaction cannot go on.
        """
        cursor.run(_BEGIN)
        cursor.take_back = partial(cursor.run, _UNDO)
        earlier, cursor.changes = cursor.changes, {}
        try:
            result = operation.write(cursor)
        except Exception as error:
            if self._ends_transaction(error):
                raise
            cursor.undo()
            cursor.changes = earlier
            if isinstance(error, self._engine.dialect.loaded_dbapi.OperationalError):
                # No lock in time: the operation waits for the lock alone.
                return Thread(target=self._write_alone, args=(operation,), daemon=True).start
            return partial(self._fail, operation.reply, error)
        cursor.run(_END)
        made, cursor.changes = cursor.changes, earlier
        for batch_id, changes in made.items():
            cursor.note(batch_id, **changes)
        return partial(operation.reply.set_result, result)

    def _ends_transaction(self, error: Exception) -> bool:
        driver = self._engine.dialect.loaded_dbapi
        state = getattr(error, "sqlstate", None)
        # SQLite, and a connection that is lost, know no state.
        return isinstance(error, driver.OperationalError) if state is None else state.startswith(_LOST)

    def _write_alone(self, operation: _Operation) -> None:
        try:
            with self._prepared.transaction(is_single=operation.is_single, last=self._last) as cursor:
                result = operation.write(cursor)
        except Exception as error:  # noqa: BLE001 - the error belongs to the caller; the thread goes on
            self._fail(operation.reply, error)
        else:
            operation.reply.set_result(result)

    def _fail(self, written: Reply[Any], error: Exception) -> None:
        written.set_exception(self._error_of(error))


def _plainly(cursor: Cursor, operation: _Operation) -> _End:
    return partial(operation.reply.set_result, operation.write(cursor))
