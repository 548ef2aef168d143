"""Writes a batch: a small one in one transaction, a large one in parts, unseen until the last part."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Compiled, Connection, Dialect, Engine, Float, bindparam, delete, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from models.database.engine import reading, transaction
from models.errors import KeyConflictError, LedgerError
from models.job.map_reduce import NewStep
from models.job.values import NewBatch, NewJob, batch_scope
from models.ledger.batch_counts import COUNTED_FROM, begin
from models.ledger.steps import lay_out
from models.outcome import FINAL_STATES
from models.schema.batch import ARRIVING, LEAVING, Batch, batch_row
from models.schema.budget import BudgetRow, budget_row
from models.schema.columns import db_now
from models.schema.job import OWN_COLUMNS, Job, JobRow, job_row

_MOST_AT_ONCE = 50_000  # rows of one transaction: two seconds or three of SQLite's only write lock
_CHARACTERS_AT_ONCE = 50_000_000  # of their text: about as long
_ROWS_OF_A_PART = 5000
_CHARACTERS_OF_A_PART = 8_000_000
_PATIENCE_S = 300.0  # for a ledger that is busy or away between two parts
_AGAIN_S = 1.0
_LOST_S = 900.0  # a batch without a new part for so long is not arriving any more
_NOW = db_now(0.0)
_LEAST_COPIED = 100  # rows; fewer take one round trip less by INSERT
_MARK = {"sqlite": "?", "postgresql": "%s"}  # of a parameter


class BatchWriter:
    """Writes batches. Raises LedgerError if the ledger is away, or stays busy for too long.

    The rows of a large batch whose submission crashed are seen by nobody and never run. `forget_lost` removes them.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        most_at_once: int = _MOST_AT_ONCE,
        rows_of_a_part: int = _ROWS_OF_A_PART,
        patience_s: float = _PATIENCE_S,
        counted_from: int = COUNTED_FROM,
    ) -> None:
        self._engine = engine
        self._counted_from = counted_from
        self._most_at_once = most_at_once
        self._rows_of_a_part = rows_of_a_part
        self._patience_s = patience_s

    def enqueue_rows(
        self, batch: NewBatch, rows: Iterable[JobRow], *, count: int, characters: int = 0, steps: Sequence[NewStep] = ()
    ) -> str:
        """Write a batch, `count` rows of `job_row`, and their places. Returns the id of the batch that holds the rows.

        That is an earlier batch if its idempotency key and content are the same. Raises KeyConflictError if the key
        belongs to other content. Many or long rows (`characters` in all) are written in parts, so that other writes fit
        between. No job of the batch runs before the last part is there.
        """
        if earlier := self._earlier(batch):
            return earlier
        try:
            if count <= self._most_at_once and characters <= _CHARACTERS_AT_ONCE:
                self._write_whole(batch, rows, count, steps)
            else:
                self._write_parts(batch, rows, count, steps)
        except IntegrityError:
            if earlier := self._earlier(batch):
                return earlier
            raise
        return batch.id

    def open_single(self, job: NewJob, *, deadline_s: float) -> None:
        """Write a job of no batch: a call made without the queue. No message is sent; the caller claims the job."""
        with transaction(self._engine) as connection:
            _Deadlines(deadline_s).insert(connection, [job_row(None, job)], is_sent=True)

    def forget_lost(self, *, older_than_s: float = _LOST_S) -> int:
        """Remove the rest of each batch whose producer is gone. Returns the number of batches."""
        lost = select(Batch.id).where(
            Batch.idempotency_key.is_(None),  # as `_begin` sets it: an index helps, and every served batch has a key
            (Batch.job_count == LEAVING) | ((Batch.job_count == ARRIVING) & (Batch.created_at < db_now(-older_than_s))),
        )
        with reading(self._engine) as connection:
            found = connection.scalars(lost).all()
        for batch_id in found:
            self._remove(batch_id)
        return len(found)

    def _earlier(self, batch: NewBatch) -> str | None:
        if batch.key is None:
            return None
        known = select(Batch.id, Batch.content_sha256).where(Batch.idempotency_key == batch.key)
        with reading(self._engine) as connection:
            found = connection.execute(known).one_or_none()
        if found is not None and found[1] != batch.content_sha256:
            raise KeyConflictError(batch.key, found[0])
        return None if found is None else str(found[0])

    def _write_whole(self, batch: NewBatch, rows: Iterable[JobRow], count: int, steps: Sequence[NewStep]) -> None:
        deadlines = _Deadlines(batch.deadline_s)
        with transaction(self._engine) as connection:
            connection.execute(insert(Batch).values(created_at=_NOW, **batch_row(batch, job_count=count)))
            _insert_cap(connection, batch)
            for part in _parts(rows, self._rows_of_a_part):
                deadlines.insert(connection, part)
            if count >= self._counted_from:
                begin(connection, batch.id, has_ended=deadlines.has_ended)
            if steps:
                lay_out(connection, batch.id, steps)

    def _write_parts(self, batch: NewBatch, rows: Iterable[JobRow], count: int, steps: Sequence[NewStep]) -> None:
        self.forget_lost()
        deadlines = _Deadlines(batch.deadline_s)
        try:
            self._patiently(lambda: self._begin(batch), is_done=lambda: self._is_there(Batch.id == batch.id))
            for part in _parts(rows, self._rows_of_a_part):
                first = part[0].id
                add = partial(self._add, batch.id, part, deadlines)
                self._patiently(add, is_done=partial(self._is_there, Job.id == first))
            whole = (Batch.id == batch.id) & (Batch.job_count == count)
            self._patiently(
                lambda: self._complete(batch, count, steps, has_ended=deadlines.has_ended),
                is_done=lambda: self._is_there(whole),
            )
        except BaseException:  # Ctrl-C too
            with suppress(LedgerError):
                self._remove(batch.id)
            raise

    def _begin(self, batch: NewBatch) -> bool:
        unseen = batch_row(batch, job_count=ARRIVING) | {"idempotency_key": None, "content_sha256": None}
        with transaction(self._engine) as connection:
            connection.execute(insert(Batch).values(created_at=_NOW, **unseen))
            _insert_cap(connection, batch)
        return True

    def _add(self, batch_id: str, part: list[JobRow], deadlines: "_Deadlines") -> bool:
        with transaction(self._engine) as connection:
            is_ours = _touched(connection, batch_id)
            if is_ours:
                deadlines.insert(connection, part)
        return is_ours

    def _complete(self, batch: NewBatch, count: int, steps: Sequence[NewStep], *, has_ended: bool) -> bool:
        known = {"idempotency_key": batch.key, "content_sha256": batch.content_sha256}
        with transaction(self._engine) as connection:
            is_ours = _touched(connection, batch.id, job_count=count, **known)
            if is_ours and count >= self._counted_from:
                begin(connection, batch.id, has_ended=has_ended)
            if is_ours and steps:
                lay_out(connection, batch.id, steps)
        return is_ours

    def _remove(self, batch_id: str) -> None:
        ours = (Batch.id == batch_id) & Batch.job_count.in_([ARRIVING, LEAVING])
        with transaction(self._engine) as connection:  # from here on the producer cannot add to the batch
            is_there = connection.execute(update(Batch).where(ours).values(job_count=LEAVING)).rowcount
        some = select(Job.id).where(Job.batch_id == batch_id).limit(_ROWS_OF_A_PART)
        while is_there:
            with transaction(self._engine) as connection:
                ids = connection.scalars(some).all()
                connection.execute(delete(Job).where(Job.id.in_(ids)))
                if not ids:
                    connection.execute(delete(BudgetRow).where(BudgetRow.scope == batch_scope(batch_id)))
                    connection.execute(delete(Batch).where(ours))
                    return

    def _is_there(self, condition: Any) -> bool:
        with reading(self._engine) as connection:
            return connection.execute(select(1).where(condition)).first() is not None

    def _patiently(self, step: Callable[[], bool], *, is_done: Callable[[], bool]) -> None:
        """Repeat a step while the ledger is busy. `is_done` checks a commit whose end is unknown."""
        until = monotonic() + self._patience_s
        while not self._took(step, is_last=monotonic() > until):
            sleep(_AGAIN_S)
            with suppress(LedgerError):
                if is_done():
                    return

    def _took(self, step: Callable[[], bool], *, is_last: bool) -> bool:
        try:
            is_ours = step()
        except LedgerError:
            if is_last:
                raise
            return False
        if not is_ours:
            raise LedgerError("the batch was taken for lost while nothing was added to it: submit it again")
        return True


class _Deadlines:
    """Inserts rows with one deadline for all: deadlines that grow with each row would stand for the order of rows."""

    def __init__(self, usual_s: float) -> None:
        self._usual_s = usual_s
        self._at: dict[float, Any] = {}
        self.has_ended = False  # whether a row is of a job that was refused

    def insert(self, connection: Connection, rows: Sequence[JobRow], *, is_sent: bool = False) -> None:
        """Write rows. The driver gets no NULL and no name, each of which costs more time than a value."""
        shared = {id(row.shared): row.shared for row in rows}  # many rows have the same object
        asked = {kind.get("deadline_s", self._usual_s) for kind in shared.values()}
        now = self._look(connection, asked | {kind["due_s"] for kind in shared.values() if "due_s" in kind})
        # A job of no batch is its caller's: no dispatcher may send the job.
        times = {"created_at": now, "sent_at": now} if is_sent else {"created_at": now}
        dated = {known: self._dated(kind, times) for known, kind in shared.items()}
        values = {known: (*kind.values(),) for known, kind in dated.items()}
        names = {known: ((*OWN_COLUMNS[:-1], *kind), (*OWN_COLUMNS, *kind)) for known, kind in dated.items()}
        alike: defaultdict[tuple[str, ...], list[tuple[Any, ...]]] = defaultdict(list)
        for row in rows:
            known, has_prefix = id(row.shared), row.prefix is not None  # the prefix is the last column of its own
            alike[names[known][has_prefix]].append(row[: -1 if has_prefix else -2] + values[known])
        for named, found in alike.items():
            _write(connection, named, found)

    def _look(self, connection: Connection, moments: Iterable[float]) -> Any:
        """Return the time by the database's clock, and keep the moments that are not known yet."""
        new = [in_s for in_s in moments if in_s not in self._at]
        asked = _moments_of(connection.dialect, len(new) + 1)
        seconds = {f"s{place}": in_s for place, in_s in enumerate([0.0, *new])}
        now, *found = connection.exec_driver_sql(asked.string, seconds).one()
        self._at.update(zip(new, found, strict=True))
        return now

    def _dated(self, shared: Mapping[str, Any], times: Mapping[str, Any]) -> dict[str, Any]:
        dated = {**shared, **times}
        dated["deadline_at"] = self._at[dated.pop("deadline_s", self._usual_s)]
        if "due_s" in dated:
            dated["due_at"] = self._at[dated.pop("due_s")]
        if dated["state"] not in FINAL_STATES:
            return dated
        self.has_ended = True
        return dated | {"finished_at": times["created_at"]}


@lru_cache(maxsize=8)
def _moments_of(dialect: Dialect, count: int) -> Compiled:
    return select(*(db_now(bindparam(f"s{place}", type_=Float)) for place in range(count))).compile(dialect=dialect)


def _write(connection: Connection, names: Sequence[str], values: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows of the same columns; Postgres copies many rows in a fraction of the time."""
    named, dialect = ", ".join(names), connection.dialect
    if dialect.name == "sqlite" or len(values) < _LEAST_COPIED:
        marks = ", ".join([_MARK[dialect.name]] * len(names))
        connection.exec_driver_sql(f"INSERT INTO jobs ({named}) VALUES ({marks})", [*values])  # noqa: S608 - our own names
        return
    cursor: Any = connection.connection.cursor()
    copying, driver = f"COPY jobs ({named}) FROM STDIN", dialect.loaded_dbapi
    try:
        with cursor.copy(copying) as copy:
            for row in values:
                copy.write_row(row)
    except driver.Error as error:  # as SQLAlchemy wraps the errors of its own statements
        raise DBAPIError.instance(copying, None, error, driver.Error, hide_parameters=True, dialect=dialect) from error


def _parts(rows: Iterable[JobRow], most: int) -> Iterator[list[JobRow]]:
    """Cut rows into parts that are held in memory, and written, at once."""
    part: list[JobRow] = []
    characters = 0
    for row in rows:
        part.append(row)
        characters += len(row.params) + len(row.columns)
        if len(part) >= most or characters >= _CHARACTERS_OF_A_PART:
            yield part
            part, characters = [], 0
    if part:
        yield part


def _insert_cap(connection: Connection, batch: NewBatch) -> None:
    if batch.max_cost_usd is not None:
        connection.execute(insert(BudgetRow).values(budget_row(batch_scope(batch.id), batch.max_cost_usd)))


def _touched(connection: Connection, batch_id: str, **values: Any) -> bool:
    """Note that a producer still adds to a batch. Returns False if the batch is no longer arriving."""
    arriving = (Batch.id == batch_id) & (Batch.job_count == ARRIVING)
    return bool(connection.execute(update(Batch).where(arriving).values(created_at=_NOW, **values)).rowcount)
