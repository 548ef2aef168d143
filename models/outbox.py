"""Which jobs should have a message in their rung's queue, and which of them have none."""

from collections.abc import Sequence

from sqlalchemy import Engine, Integer, bindparam, or_, select, update

from models.base import db_now
from models.database import transaction
from models.job import Job
from models.life import Unsent
from models.outcome import State

_NOW = db_now(0.0)
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
_UNSEND = (
    update(Job)
    .where(Job.id == bindparam("job_id"), or_(Job.state == State.QUEUED, Job.state == State.WAITING))
    .values(sent_at=None)
)
_FORGET_LOST = (
    update(Job)
    .where(
        Job.rung == bindparam("at_rung"),
        or_(Job.state == State.QUEUED, (Job.state == State.WAITING) & (Job.due_at <= _NOW)),
        Job.sent_at < db_now(bindparam("ago_s")),
    )
    .values(sent_at=None)
)


class Outbox:
    """Lists what is to be sent, and notes what was. Raises LedgerError where the ledger is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def unsent(self, rung: int, *, limit: int) -> list[Unsent]:
        """List jobs of one rung that have no message: due ones first, then queued ones in turn over batches."""
        with transaction(self._engine) as connection:
            due = connection.execute(_DUE, {"at_rung": rung, "limit": limit}).all()
            queued = connection.execute(_QUEUED, {"at_rung": rung, "limit": limit - len(due)}).all()
        return [Unsent(id=row.id, rung=rung, deliveries=row.deliveries) for row in (*due, *queued)]

    def mark_sent(self, jobs: Sequence[Unsent]) -> None:
        """Note that messages for these jobs are in the broker; those heard meanwhile are left as they are now.

        It comes after sending: a crash between the two sends twice, which is harmless, and never not at all.
        """
        heard = [{"job_id": job.id, "known_deliveries": job.deliveries} for job in jobs]
        if heard:
            with transaction(self._engine) as connection:
                connection.execute(_SENT, heard)

    def unsend(self, job_id: str) -> None:
        """Note that a job's message was heard and not heeded: the clock sends another."""
        with transaction(self._engine) as connection:
            connection.execute(_UNSEND, {"job_id": job_id})

    def forget_lost(self, rung: int, *, older_than_s: float) -> int:
        """Note that the messages sent so long ago are lost; returns how many. For a queue that is empty."""
        with transaction(self._engine) as connection:
            return connection.execute(_FORGET_LOST, {"at_rung": rung, "ago_s": -older_than_s}).rowcount

    def fit_to_chain(self, *, rungs: int) -> int:
        """Bring waiting and queued jobs of a longer chain to this one's last rung; returns how many."""
        last = rungs - 1
        beyond = (Job.rung > last) & Job.state.in_([State.QUEUED, State.WAITING])
        with transaction(self._engine) as connection:
            return connection.execute(update(Job).where(beyond).values(rung=last, sent_at=None)).rowcount
