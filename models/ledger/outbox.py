"""The jobs that should have a message in their queue, and the jobs among them that have no message."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, TextClause, bindparam, or_, select, text, update

from models.database.engine import LedgerPart, reading, transaction
from models.job.values import Unsent
from models.outcome import State
from models.queue.fair_share import FairShare
from models.queue.queue_window import Due
from models.queue.redis_keys import Lane
from models.schema.columns import UTCDateTime, db_now, now
from models.schema.job import FREE_JOB, QUEUED, SENT, THROTTLED, WAITING, Job, free_jobs

_IS_WHOLE = "batches.job_count > 0"  # false for a large batch of which parts are still being written
_LANE = "is_urgent = :is_urgent AND rung = :rung"


_NOW = db_now(0.0)
_IS_OPEN = "state IN ('queued', 'waiting')"
MARK_SENT = (
    update(Job)
    .where(
        Job.id == FREE_JOB,  # a job that is being claimed needs no mark, and a job that a lost host holds is sent again
        Job.deliveries == bindparam("known_deliveries"),
        or_(Job.state == State.QUEUED, Job.state == State.WAITING),
    )
    .values(sent_at=_NOW)
)
_ALL_SENT = text(f"UPDATE jobs SET sent_at = clock_timestamp() WHERE {free_jobs('deliveries', _IS_OPEN)}")  # noqa: S608
_UNSEND = (
    update(Job)
    .where(Job.id == bindparam("job_id"), or_(Job.state == State.QUEUED, Job.state == State.WAITING))
    .values(sent_at=None)
)
_OF_LANE = "is_urgent = :for_urgent AND (is_urgent = :yes OR rung = :at_rung)"
_LOST = (
    select(Job.id)
    .where(text(SENT), text(_OF_LANE), or_(Job.state == State.QUEUED, Job.due_at <= _NOW))
    .where(Job.sent_at < db_now(bindparam("ago_s")))
    .with_for_update(skip_locked=True)
    .correlate(None)
)
_FORGET_LOST = update(Job).where(Job.id.in_(_LOST)).values(sent_at=None)
# Each part has the words of an index: every tick runs this query, which must not scan the finished jobs.
_BEYOND = text(f"""
    SELECT id FROM jobs WHERE {QUEUED} AND is_urgent IN (:yes, :no) AND rung > :last
    UNION ALL SELECT id FROM jobs WHERE {WAITING} AND is_urgent IN (:yes, :no) AND rung > :last
    UNION ALL SELECT id FROM jobs WHERE {SENT} AND rung > :last
""")  # noqa: S608 - of our own words
_BRING = update(Job).where(Job.id == bindparam("job_id"), Job.state.in_([State.QUEUED, State.WAITING]))
# A job whose own calls failed for more than a few rounds fails by itself, and keeps its backoff.
_IS_DENIED = "outcome IN ('circuit_open', 'limited', 'full', 'rate_limited', 'key_paused') OR rounds <= :most_rounds"
# A job that gave no rung up may go to any of its rungs. All other jobs wait for their own model.
_MAY_GO = "rung = :rung OR (given_up = '{}' AND outcome <> 'full' AND ceiling_rung <= :rung AND floor_rung >= :rung)"
_DUE = (
    text(f"""
    SELECT COUNT(*) AS jobs, MIN(due_at) AS oldest FROM (
        SELECT due_at FROM jobs WHERE {WAITING} AND is_urgent = :is_urgent AND rung = :rung AND due_at <= :now
        LIMIT :most
    ) AS due
""")  # noqa: S608 - of our own words
    .bindparams(bindparam("now", type_=UTCDateTime()))
    .columns(oldest=UTCDateTime())
)
_SOON_S = 2.0  # a job that is due as soon is left alone
_MOST_ROUNDS = 5


class Candidate(NamedTuple):
    """A job, and its place in its batch's line: the earlier deadline, then begun jobs, then the order within."""

    deadline_at: datetime
    is_new: bool
    place: Any
    id: str
    deliveries: int


def _statement(sql: str) -> TextClause:
    statement = text(sql)
    return statement.bindparams(bindparam("now", type_=UTCDateTime())) if ":now" in sql else statement


def _batches(unsent: str, condition: str = "") -> TextClause:
    # The query goes from batch to batch in the index. A batch of a million costs as much as one of ten.
    return _statement(f"""
        WITH RECURSIVE line (batch_id) AS (
            SELECT min(batch_id) FROM jobs WHERE {unsent} AND {_LANE}
            UNION ALL
            SELECT (SELECT min(batch_id) FROM jobs WHERE {unsent} AND {_LANE} AND batch_id > line.batch_id)
            FROM line WHERE line.batch_id IS NOT NULL
        )
        SELECT batches.id, batches.weight
        FROM line JOIN batches ON batches.id = line.batch_id AND {_IS_WHOLE} {condition}
    """)  # noqa: S608 - of our own words


_QUEUED_BATCHES = _batches(QUEUED)
_DUE_BATCHES = _batches(
    WAITING,
    f"WHERE (SELECT min(due_at) FROM jobs WHERE {WAITING} AND {_LANE} AND batch_id = line.batch_id) <= :now",  # noqa: S608
)
_QUEUED_OF = _statement(f"""
    SELECT id, deliveries, deadline_at, seq FROM jobs WHERE {QUEUED} AND {_LANE} AND batch_id = :batch_id
    ORDER BY deadline_at, seq LIMIT :count
""").columns(deadline_at=UTCDateTime())  # noqa: S608
_DUE_OF = _statement(f"""
    SELECT id, deliveries, deadline_at, due_at FROM jobs
    WHERE {WAITING} AND {_LANE} AND batch_id = :batch_id AND due_at <= :now
    ORDER BY due_at LIMIT :count
""").columns(deadline_at=UTCDateTime())  # noqa: S608
_URGENT = _statement(f"""
    SELECT id, rung, deliveries, deadline_at, seq FROM jobs WHERE {QUEUED} AND is_urgent = :is_urgent
        AND (batch_id IS NULL OR EXISTS (SELECT 1 FROM batches WHERE id = batch_id AND {_IS_WHOLE}))
    UNION ALL
    SELECT id, rung, deliveries, deadline_at, 0 FROM jobs WHERE {WAITING} AND is_urgent = :is_urgent AND due_at <= :now
    ORDER BY deadline_at, seq LIMIT :count
""")  # noqa: S608


class Candidates:
    """Finds the jobs of one rung that are not urgent, at one moment of the database's clock."""

    def __init__(self, connection: Connection, rung: int, now: datetime) -> None:
        self._connection = connection
        self._at = {"rung": rung, "is_urgent": False, "now": now}
        self._queued = self._weights(_QUEUED_BATCHES)
        self._due = self._weights(_DUE_BATCHES)
        self.weights = self._queued | self._due

    def of(self, batch_id: str, count: int) -> Sequence[Candidate]:
        """List the first jobs of a batch. Of the due jobs, only those due the longest are considered."""
        given = self._at | {"batch_id": batch_id, "count": count}
        line: list[Candidate] = []
        if batch_id in self._due:
            line += [Candidate(at, False, due, id_, received) for id_, received, at, due in self._rows(_DUE_OF, given)]
        if batch_id in self._queued:
            line += [
                Candidate(at, True, seq, id_, received) for id_, received, at, seq in self._rows(_QUEUED_OF, given)
            ]
        return sorted(line)[:count]

    def _weights(self, statement: TextClause) -> dict[str, int]:
        return {row.id: row.weight for row in self._rows(statement, self._at)}

    def _rows(self, statement: Any, given: dict[str, Any]) -> Sequence[Any]:
        return self._connection.execute(statement, given).all()


def urgent(connection: Connection, now: datetime, *, limit: int) -> list[Unsent]:
    """List urgent jobs of every rung, the earliest deadline first."""
    rows = connection.execute(_URGENT, {"is_urgent": True, "now": now, "count": limit}).all()
    return [Unsent(id=row.id, rung=row.rung, deliveries=row.deliveries, is_urgent=True) for row in rows]


def _wake(is_one_of: str) -> TextClause:
    chosen = is_one_of.format(f"""
        SELECT id FROM jobs WHERE {THROTTLED} AND due_at > :soon AND ({_IS_DENIED}) AND ({_MAY_GO})
        ORDER BY due_at LIMIT :count
    """)  # noqa: S608 - of our own words
    # A wait that is cut short has not used up the job's patience.
    given_up = """given_up = replace(given_up, '"waited"', '"woken"')"""
    statement = text(f"UPDATE jobs SET due_at = :now, {given_up} WHERE state = 'waiting' AND id {chosen}")  # noqa: S608
    return statement.bindparams(bindparam("now", type_=UTCDateTime()), bindparam("soon", type_=UTCDateTime()))


# Postgres chooses an array once. A subquery with locks may run again for each row, beyond its limit.
_WAKE = {"sqlite": _wake("IN ({})"), "postgresql": _wake("= ANY(ARRAY({} FOR UPDATE SKIP LOCKED))")}


class Outbox(LedgerPart):
    """Lists the jobs to be sent, and records the sent ones. Raises LedgerError if the ledger is away."""

    def unsent(self, rung: int, *, limit: int, shares: FairShare | None = None) -> list[Unsent]:
        """List jobs of one rung that have no message and are not urgent, in the order of sending.

        Batches take turns by weight, from their passes in `shares`, and are charged there. Within a batch the earlier
        deadline goes first, then begun jobs that are due, then the order of submission.
        """
        with reading(self._engine) as connection:
            candidates = Candidates(connection, rung, now(connection))
            chosen = _chosen(candidates, limit, shares or FairShare())
        return [Unsent(id=one.id, rung=rung, deliveries=one.deliveries) for one in chosen]

    def urgent(self, *, limit: int) -> list[Unsent]:
        """List urgent jobs of every rung that have no message, the earliest deadline first."""
        with reading(self._engine) as connection:
            return urgent(connection, now(connection), limit=limit)

    def mark_sent(self, jobs: Sequence[Unsent]) -> None:
        """Record that messages for these jobs are in the broker. Jobs received meanwhile stay unchanged.

        The record comes after sending: a crash between the two sends twice, which is harmless, and never not at all.
        """
        if not jobs:
            return
        with transaction(self._engine) as connection:
            if connection.dialect.name == "postgresql":
                given = {"ids": [job.id for job in jobs], "numbers": [job.deliveries for job in jobs]}
                connection.execute(_ALL_SENT, given)
            else:
                connection.execute(MARK_SENT, [sent_row(job) for job in jobs])

    def unsend(self, job_id: str) -> None:
        """Record that a job's message was received and not obeyed; the dispatcher sends another message."""
        with transaction(self._engine) as connection:
            connection.execute(_UNSEND, {"job_id": job_id})

    def forget_lost(self, lane: Lane, *, older_than_s: float) -> int:
        """Record that messages sent so long ago are lost. Returns their number. For a queue that is empty."""
        of_lane = {"for_urgent": lane is None, "yes": True, "at_rung": lane or 0}
        with transaction(self._engine) as connection:
            return connection.execute(_FORGET_LOST, of_lane | {"ago_s": -older_than_s}).rowcount

    def fit_to_chain(self, *, rungs: int) -> int:
        """Move waiting and queued jobs of a longer chain to this chain's last rung. Returns the number of jobs."""
        last = rungs - 1
        with reading(self._engine) as connection:
            beyond = connection.scalars(_BEYOND, {"yes": True, "no": False, "last": last}).all()
        if beyond:
            with transaction(self._engine) as connection:
                connection.execute(_BRING.values(rung=last, sent_at=None), [{"job_id": found} for found in beyond])
        return len(beyond)

    def wake(self, rung: int, *, limit: int) -> int:
        """Make jobs that wait for a model due now: the model of this rung has room. Returns their number."""
        with transaction(self._engine) as connection:
            at = now(connection)
            soon = at + timedelta(seconds=_SOON_S)
            given = {"now": at, "soon": soon, "rung": rung, "count": limit, "most_rounds": _MOST_ROUNDS}
            return connection.execute(_WAKE[connection.dialect.name], given).rowcount

    def due(self, rung: int, *, limit: int) -> Due:
        """Count the waiting jobs of a rung that are due and have no message, up to `limit`."""
        with reading(self._engine) as connection:
            at = now(connection)
            given = {"now": at, "rung": rung, "is_urgent": False, "most": limit}
            row = connection.execute(_DUE, given).one()
        return Due(jobs=row.jobs, late_s=0.0 if row.oldest is None else (at - row.oldest).total_seconds())


def sent_row(job: Unsent) -> dict[str, Any]:
    """Return the parameters of MARK_SENT."""
    return {"job_id": job.id, "known_deliveries": job.deliveries}


def _chosen(candidates: Candidates, limit: int, shares: FairShare) -> list[Candidate]:
    """Take `limit` jobs over all batches. The unused share of a batch with too few jobs goes to the others."""
    weights = candidates.weights
    shares.admit(weights)
    began = dict(shares.passes)
    taken: dict[str, Sequence[Candidate]] = dict.fromkeys(weights, ())
    left, having_more = limit, dict(weights)
    while left and having_more:
        for batch_id, quota in shares.split(having_more, left).items():
            before = len(taken[batch_id])
            taken[batch_id] = candidates.of(batch_id, before + quota)
            got = len(taken[batch_id]) - before
            shares.charge(batch_id, got, weight=weights[batch_id])
            left -= got
            if got < quota:
                del having_more[batch_id]
    turns = [
        (began[batch_id] + number / weights[batch_id], batch_id, one)
        for batch_id, line in taken.items()
        for number, one in enumerate(line)
    ]
    return [one for _, _, one in sorted(turns)]
