"""All writes to the ledger's database. Each method is one transaction; a job is locked before its attempt."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from sqlalchemy import Connection, Engine, Integer, bindparam, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from models.attempt import OPENING_COLUMNS, Attempt, closing_row, opening_row, opening_values
from models.base import db_now
from models.batch import Batch, batch_row
from models.chain import Span
from models.database import UNREACHABLE, unreachable
from models.errors import KeyConflictError
from models.ids import new_id
from models.job import AnswerRow, Job, answer_row, ending_row, job_row
from models.life import Claim, Closing, Ending, NewBatch, NewJob, Opening, Unsent
from models.outcome import OPEN_STATES, State
from models.prepared import Cursor, Prepared
from models.price import PriceRow, price_row
from models.pricing import Price

_ROWS_AT_ONCE = 1000
_NOW = db_now(0.0)

_CLAIM = (
    update(Job)
    .where(
        Job.id == bindparam("job_id"),
        or_(Job.state == State.QUEUED, (Job.state == State.WAITING) & (Job.due_at <= _NOW)),
    )
    .values(
        state=State.RUNNING,
        lease_token=Job.lease_token + 1,
        lease_until=db_now(bindparam("lease_s")),
        lease_holder=bindparam("holder"),
        deliveries=Job.deliveries + 1,
        due_at=None,
    )
    .returning(
        Job.batch_id,
        Job.prompt_id,
        Job.task,
        Job.lease_token,
        Job.params,
        Job.start_rung,
        Job.floor_rung,
        Job.ceiling_rung,
        Job.rung,
        Job.given_up,
        Job.rounds,
        # Counted, not kept: a worker that died between two attempts must not leave a number behind that is taken.
        select(func.count())
        .where(Attempt.job_id == bindparam("job_id"))  # in here SQLite would take jobs.id for attempts.id
        .scalar_subquery()
        .label("attempt_count"),
        Job.deadline_at,
        db_now(0.0).label("claimed_at"),
    )
)
_IS_OURS = (Job.id == bindparam("job_id")) & (Job.lease_token == bindparam("token")) & (Job.state == State.RUNNING)
_FINISH = update(Job).where(_IS_OURS).values(finished_at=_NOW, lease_until=None)
_PARK = update(Job).where(_IS_OURS).values(due_at=db_now(bindparam("due_in_s")), sent_at=None, lease_until=None)
_OPEN = (
    insert(Attempt)
    .from_select(OPENING_COLUMNS, select(*opening_values()).select_from(Job).where(_IS_OURS).with_for_update())
    .returning(Attempt.id)  # an INSERT from SELECT has no count of rows on Postgres
)
_CLOSE = (
    update(Attempt).where(Attempt.id == bindparam("attempt_id"), Attempt.closed_at.is_(None)).values(closed_at=_NOW)
)
_DUE = (
    select(Job.id, Job.deliveries)
    .where(Job.state == State.WAITING, Job.due_at <= _NOW, Job.sent_at.is_(None), Job.rung == bindparam("at_rung"))
    .order_by(Job.due_at)
    .limit(bindparam("limit", type_=Integer))
)
_QUEUED = (
    select(Job.id, Job.deliveries)
    .where(Job.state == State.QUEUED, Job.sent_at.is_(None), Job.rung == bindparam("at_rung"))
    .order_by(Job.seq)
    .limit(bindparam("limit", type_=Integer))
)
_SENT = (
    update(Job)
    .where(
        Job.id == bindparam("job_id"),
        Job.deliveries == bindparam("known_deliveries"),
        or_(Job.state == State.QUEUED, Job.state == State.WAITING),
    )
    .values(sent_at=_NOW)
)
_KEEP = insert(AnswerRow).values(created_at=_NOW)

_LATEST_PRICE = (
    select(PriceRow.__table__)
    .where(PriceRow.model == bindparam("of_model"))
    .order_by(PriceRow.valid_from.desc())
    .limit(1)
)


class Ledger:
    """The record of every job, attempt, answer and price. Raises LedgerError where it cannot be reached."""

    def __init__(self, engine: Engine, *, worker: str) -> None:
        self._engine = engine
        self._prepared = Prepared(engine)
        self._worker = worker
        self._where = engine.url.render_as_string(hide_password=True)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except UNREACHABLE as error:
            raise unreachable(error, self._where) from error

    @contextmanager
    def _hot(self) -> Iterator[Cursor]:
        """Open one of the transactions that every job makes. A broken constraint is our mistake, and stays bare."""
        driver = self._engine.dialect.loaded_dbapi
        try:
            with self._prepared.transaction() as cursor:
                yield cursor
        except driver.IntegrityError:
            raise
        except (*UNREACHABLE, driver.Error) as error:
            raise unreachable(error, self._where) from error

    def enqueue(self, batch: NewBatch, jobs: Sequence[NewJob]) -> str:
        """Write a batch and its jobs in one transaction; returns the id of the batch that holds them.

        That is an earlier one where its idempotency key and content are the same. Raises KeyConflictError
        where the key is known with other content.
        """
        try:
            with self._transaction() as connection:
                connection.execute(insert(Batch).values(created_at=_NOW, **batch_row(batch, job_count=len(jobs))))
                _insert_jobs(connection, jobs, deadline_s=batch.deadline_s, batch_id=batch.id)
        except IntegrityError:
            earlier = None if batch.key is None else self._batch_with(batch.key)
            if earlier is None:
                raise
            if earlier[1] != batch.content_sha256:
                raise KeyConflictError(str(batch.key), earlier[0]) from None
            return earlier[0]
        return batch.id

    def _batch_with(self, key: str) -> tuple[str, str | None] | None:
        with self._transaction() as connection:
            found = connection.execute(
                select(Batch.id, Batch.content_sha256).where(Batch.idempotency_key == key)
            ).one_or_none()
        return None if found is None else (found[0], found[1])

    def open_single(self, job: NewJob, *, deadline_s: float) -> None:
        """Write a job of no batch: a call made without the queue. Nothing sends it; its caller claims it."""
        with self._transaction() as connection:
            _insert_jobs(connection, [job], deadline_s=deadline_s, batch_id=None)

    def claim(self, job_id: str, *, lease_s: float) -> Claim | None:
        """Take a job that is queued or due. None: somebody else has it, or it is finished."""
        given = {"job_id": job_id, "lease_s": lease_s, "holder": self._worker}
        with self._hot() as cursor:
            row = cursor.first(_CLAIM, given)
        if row is None:
            return None
        return Claim(
            job_id=job_id,
            batch_id=row["batch_id"],
            prompt_id=row["prompt_id"],
            task=row["task"],
            token=row["lease_token"],
            params=row["params"],
            span=Span(start=row["start_rung"], floor=row["floor_rung"], ceiling=row["ceiling_rung"]),
            rung=row["rung"],
            given_up={int(rung): why for rung, why in row["given_up"].items()},
            rounds=row["rounds"],
            attempt_count=row["attempt_count"],
            deadline_s=(row["deadline_at"] - row["claimed_at"]).total_seconds(),
        )

    def open_attempt(self, claim: Claim, opening: Opening) -> bool:
        """Commit an attempt before its request leaves. False: the job is no longer ours; nothing may be sent."""
        with self._hot() as cursor:
            return cursor.first(_OPEN, opening_row(claim, opening, self._worker)) is not None

    def close_attempt(self, closing: Closing) -> None:
        """Write how an attempt ended, while its job goes on."""
        with self._hot() as cursor:
            _close(cursor, closing, is_late=False)

    def finish(self, claim: Claim, ending: Ending, closing: Closing | None) -> bool:
        """Close the attempt, keep the answer and move the job on, in one commit.

        False: the job was no longer ours. Then the attempt is closed as late, still with its cost: the money
        was spent; and the job is left to whoever has it.
        """
        row = ending_row(ending) | {"job_id": claim.job_id, "token": claim.token}
        with self._hot() as cursor:
            if ending.due_in_s is None:
                is_ours = bool(cursor.count(_FINISH, row))
            else:
                is_ours = bool(cursor.count(_PARK, row | {"due_in_s": ending.due_in_s}))
            if closing is not None:
                _close(cursor, closing, is_late=not is_ours)
                if is_ours and ending.message is not None:
                    cursor.count(_KEEP, answer_row(claim, closing, ending))
        return is_ours

    def cancel(self, batch_id: str) -> int:
        """Cancel the open jobs of a batch; returns how many. Calls in flight end, and are billed."""
        with self._transaction() as connection:
            return connection.execute(
                update(Job)
                .where(
                    Job.batch_id == batch_id,
                    Job.state.in_(OPEN_STATES),
                )
                .values(state=State.CANCELLED, outcome="cancelled", finished_at=_NOW)
            ).rowcount

    def unsent(self, rung: int, *, limit: int) -> list[Unsent]:
        """List jobs of one rung that have no message: due ones first, then queued ones in turn over batches."""
        with self._transaction() as connection:
            due = connection.execute(_DUE, {"at_rung": rung, "limit": limit}).all()
            queued = connection.execute(_QUEUED, {"at_rung": rung, "limit": limit - len(due)}).all()
        return [Unsent(id=row.id, rung=rung, deliveries=row.deliveries) for row in (*due, *queued)]

    def mark_sent(self, jobs: Sequence[Unsent]) -> None:
        """Note that messages for these jobs are in the broker; those heard meanwhile are left as they are now.

        It comes after sending: a crash between the two sends twice, which is harmless, and never not at all.
        """
        heard = [{"job_id": job.id, "known_deliveries": job.deliveries} for job in jobs]
        if heard:
            with self._transaction() as connection:
                connection.execute(_SENT, heard)

    def fit_to_chain(self, *, rungs: int) -> int:
        """Bring waiting and queued jobs of a longer chain to this one's last rung; returns how many."""
        last = rungs - 1
        beyond = (Job.rung > last) & Job.state.in_([State.QUEUED, State.WAITING])
        with self._transaction() as connection:
            return connection.execute(update(Job).where(beyond).values(rung=last, sent_at=None)).rowcount

    def record_prices(self, prices: Sequence[Price]) -> None:
        """Add a dated row for each model whose rates are new; what was written stays."""
        with self._transaction() as connection:
            for price in prices:
                latest = connection.execute(_LATEST_PRICE, {"of_model": price.model}).mappings().first()
                row = price_row(price)
                if latest is None or any(latest[name] != value for name, value in row.items()):
                    connection.execute(insert(PriceRow).values(id=new_id(), valid_from=_NOW, **row))


def _insert_jobs(connection: Connection, jobs: Sequence[NewJob], *, deadline_s: float, batch_id: str | None) -> None:
    # The statement is compiled once and the rows go to the driver as they are: half the time of 50,000 prompts.
    columns = job_row(batch_id, jobs[0]).keys()
    times = {
        "created_at": _NOW,
        "deadline_at": db_now(deadline_s),
        "sent_at": _NOW if batch_id is None else None,  # a job of no batch is its caller's: no clock may send it
    }
    statement = insert(Job).values(**times, **{name: bindparam(name) for name in columns})
    compiled = statement.compile(dialect=connection.dialect)
    shared = {name: value for name, value in compiled.params.items() if name not in columns}
    rows = iter(jobs)
    while part := [shared | job_row(batch_id, job) for job in islice(rows, _ROWS_AT_ONCE)]:
        connection.exec_driver_sql(compiled.string, part)


def _close(cursor: Cursor, closing: Closing, *, is_late: bool) -> None:
    cursor.count(_CLOSE, closing_row(closing, is_late=is_late) | {"attempt_id": closing.attempt_id})
