"""All writes to the ledger's database. Each method is one operation; a job is locked before its attempt."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Engine, bindparam, insert, select
from sqlalchemy.dialects import postgresql

from models.database.compiled_sql import Cursor
from models.database.engine import UNREACHABLE, reading, transaction, unreachable
from models.database.group_commit import GroupCommit
from models.database.group_thread import Reply
from models.errors import LedgerError
from models.ids import new_id
from models.job.map_reduce import NewStep
from models.job.values import Claim, Closing, Ending, NewBatch, NewJob, Opening, OverCap, SpooledReply, Unsent
from models.ledger.batch_counts import COUNTED_FROM
from models.ledger.batches import BatchWriter
from models.ledger.budgets import over_cap, reserve
from models.ledger.claims import CLAIM, claim_of, enqueue_one
from models.ledger.job_ends import JobEnds
from models.ledger.outbox import MARK_SENT, sent_row
from models.money.pricing import Price
from models.outcome import State
from models.schema.attempt import OPENING_COLUMNS, Attempt, opening_row, opening_values
from models.schema.columns import db_now
from models.schema.job import AnswerRow, Job, JobRow, job_row
from models.schema.price import PriceRow, price_row

T = TypeVar("T")
_TICK = timedelta(milliseconds=1)  # the resolution of SQLite's clock
_NOW = db_now(0.0)

_IS_OURS = (Job.id == bindparam("job_id")) & (Job.lease_token == bindparam("token")) & (Job.state == State.RUNNING)
_OPEN = (
    insert(Attempt)
    .from_select(OPENING_COLUMNS, select(*opening_values()).select_from(Job).where(_IS_OURS).with_for_update())
    .returning(Attempt.opened_at)
)

_LATEST_PRICE = (
    select(PriceRow.__table__)
    .where(PriceRow.model == bindparam("of_model"), PriceRow.is_override.is_(False))
    .order_by(PriceRow.valid_from.desc())
    .limit(1)
)


class Ledger(BatchWriter):
    """The record of every job, attempt, answer and price. Raises LedgerError if the database cannot be reached."""

    def __init__(self, engine: Engine, *, worker: str, counted_from: int = COUNTED_FROM) -> None:
        super().__init__(engine, counted_from=counted_from)
        self.ends = JobEnds(engine, worker=worker)
        self._writer = GroupCommit(engine, error_of=self._error_of, last=self.ends.count)
        self.worker = worker
        self._where = engine.url.render_as_string(hide_password=True)

    def _error_of(self, error: Exception) -> Exception:
        """Return LedgerError for an error of the driver. A broken constraint, our mistake, stays bare."""
        driver = self._engine.dialect.loaded_dbapi
        if isinstance(error, driver.IntegrityError) or not isinstance(error, (*UNREACHABLE, driver.Error)):
            return error
        away = unreachable(error, self._where)
        away.__cause__ = error
        return away

    def enqueue(self, batch: NewBatch, jobs: Sequence[NewJob], steps: Sequence[NewStep] = ()) -> str:
        """Write a batch, its jobs and their places, as `enqueue_rows` does. Returns the id of their batch."""
        return self.enqueue_rows(batch, (job_row(batch.id, job) for job in jobs), count=len(jobs), steps=steps)

    def submit(self, write: Callable[[Cursor], T], reply: Reply[T]) -> None:
        """Have an operation of another writer written with the operations that wait now."""
        self._writer.submit(write, reply)

    def submit_one(self, batch: NewBatch, row: JobRow, reply: Reply[str]) -> None:
        """Have a batch of one queued job written, as `enqueue_rows` does."""
        self._writer.submit(partial(enqueue_one, batch=batch, row=row, dialect=self._engine.dialect.name), reply)

    def submit_sent(self, jobs: Sequence[Unsent]) -> None:
        """Have the jobs marked as sent, as `Outbox.mark_sent` does. After an error each job is sent once more."""

        def marked(cursor: Cursor) -> None:
            for job in jobs:
                cursor.count(MARK_SENT, sent_row(job))

        self._writer.submit(marked, Future())

    def look(self) -> None:
        """Raise LedgerGoneError if the opened file of SQLite was removed or replaced."""
        if self._engine.dialect.name == "sqlite":
            with reading(self._engine):
                return

    def claim(self, job_id: str, *, lease_s: float) -> Claim | None:
        """Take a job that is queued or due. Returns None if another worker has the job, or the job is finished."""
        reply: Future[Claim | None] = Future()
        self.submit_claim(job_id, reply, lease_s=lease_s)
        return reply.result()

    def open_attempt(self, claim: Claim, opening: Opening) -> bool | OverCap:
        """Commit an attempt and its reservations before its request leaves.

        Returns False if the job is no longer ours, OverCap if a cap has no room. Then nothing is written or sent.
        """
        reply: Future[bool | OverCap] = Future()
        self.submit_open(claim, opening, reply)
        return reply.result()

    def over_cap(self, opening: Opening) -> OverCap | None:
        """Return a cap that has no room for an attempt, whatever the calls in flight cost. Nothing is written."""
        reply: Future[OverCap | None] = Future()
        self.submit_over_cap(opening, reply)
        return reply.result()

    def close_attempt(self, claim: Claim, closing: Closing) -> None:
        """Write the end of an attempt, while its job goes on."""
        reply: Future[None] = Future()
        self.submit_close(claim, closing, reply)
        reply.result()

    def finish(self, claim: Claim, ending: Ending, closing: Closing | None) -> Ending | None:
        """Close the attempt, keep the answer and move the job on, in one commit.

        Returns the ending as written, None if the job is no longer ours. Then the attempt is closed as late, still with
        its cost: the money is spent. The job stays with its new owner.
        """
        reply: Future[Ending | None] = Future()
        self.submit_finish(claim, ending, closing, reply)
        return reply.result()

    def submit_claim(self, job_id: str, reply: Reply[Claim | None], *, lease_s: float) -> None:
        """Have a `claim` written with the operations that wait now. The reply gets the result after the commit."""
        given = {"job_id": job_id, "lease_s": lease_s, "holder": self.worker}

        def claimed(cursor: Cursor) -> Claim | None:
            row = cursor.first(CLAIM, given)
            if row is None:
                return None
            if row["counted"] is None:
                self.ends.leave_uncounted(row["batch_id"])
            return claim_of(job_id, row)

        self._writer.submit(claimed, reply, is_single=True)

    def submit_open(self, claim: Claim, opening: Opening, reply: Reply[bool | OverCap]) -> None:
        """Have an `open_attempt` written."""
        given = opening_row(claim, opening, self.worker)

        def opened(cursor: Cursor) -> bool | OverCap:
            row = cursor.first(_OPEN, given)
            if row is None:
                return False
            over = reserve(cursor, opening, opened_at=row["opened_at"])
            if over is not None:
                cursor.undo()
            else:
                self.ends.note(cursor, claim.batch_id, attempts=1)
            return over or True

        self._writer.submit(opened, reply, is_single=not opening.caps and not self.ends.is_counted(claim.batch_id))

    def submit_over_cap(self, opening: Opening, reply: Reply[OverCap | None]) -> None:
        """Have an `over_cap` read."""
        self._writer.submit(lambda cursor: over_cap(cursor, opening), reply)

    def submit_close(self, _claim: Claim, closing: Closing, reply: Reply[None]) -> None:
        """Have a `close_attempt` written."""
        self._writer.submit(partial(self.ends.close, closing=closing, is_late=False), reply)

    def submit_finish(self, claim: Claim, ending: Ending, closing: Closing | None, reply: Reply[Ending | None]) -> None:
        """Have a `finish` written."""
        write = partial(self.ends.finish, job_id=claim.job_id, token=claim.token, ending=ending, closing=closing)
        self._writer.submit(write, reply)

    def replay(self, kept: SpooledReply) -> bool:
        """Write the result of a call from the spool. Returns False if the ledger has the result already.

        A job that is held for the sake of this reply goes on.
        """
        attempt_id = kept.closing.attempt_id
        has_answer = select(AnswerRow.job_id).where(AnswerRow.attempt_id == attempt_id).exists()
        with transaction(self._engine) as connection:
            found = connection.execute(select(Attempt.closed_at, has_answer).where(Attempt.id == attempt_id)).first()
        if found is None:
            raise LedgerError(f"ledger {self._where}: has no attempt {attempt_id}: is it another ledger?")
        closed_at, is_answer = found
        # A truncated answer is closed before its climb, and may become its job's answer only after that.
        is_good = kept.ending is not None and kept.ending.state is State.SUCCEEDED
        may_answer = is_good and not is_answer
        if closed_at is not None and not may_answer:
            return False
        reply: Future[None] = Future()
        self._writer.submit(partial(self.ends.replay, kept=kept), reply)
        reply.result()
        return True

    def record_prices(self, prices: Sequence[Price]) -> None:
        """Add a dated row for each model whose rates are new. Earlier rows stay."""
        with transaction(self._engine) as connection:
            for price in prices:
                latest = connection.execute(_LATEST_PRICE, {"of_model": price.model}).mappings().first()
                row = price_row(price)
                if latest is None or any(latest[name] != value for name, value in row.items()):
                    now = connection.execute(select(_NOW)).scalar_one()
                    at = now if latest is None else max(now, latest["valid_from"] + _TICK)
                    new = postgresql.insert(PriceRow).values(id=new_id(), valid_from=at, **row)
                    connection.execute(new.on_conflict_do_nothing())  # workers that start together find the same prices
