"""Which jobs could have a message and have none: the batches they are of, and each batch's in their order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, TextClause, bindparam, text

from models.base import UTCDateTime
from models.life import Unsent

# The states stand in the text: a partial index is only used where its own words are found.
QUEUED = "state = 'queued' AND sent_at IS NULL"
WAITING = "state = 'waiting' AND sent_at IS NULL AND due_at IS NOT NULL"
_IS_WHOLE = "batches.job_count > 0"  # not still being written: a large one is written in parts
_LANE = "is_urgent = :is_urgent AND rung = :rung"


class Candidate(NamedTuple):
    """A job, and its place in its batch's line: the earlier deadline, then what was begun, then the order within."""

    deadline_at: datetime
    is_new: bool
    place: Any
    id: str
    deliveries: int


def _statement(sql: str) -> TextClause:
    statement = text(sql)
    return statement.bindparams(bindparam("now", type_=UTCDateTime())) if ":now" in sql else statement


def _batches(unsent: str, condition: str = "") -> TextClause:
    # From one batch to the next in the index: a batch of a million costs what one of ten does.
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
    """Those of one rung that are not urgent, at one moment of the database's clock."""

    def __init__(self, connection: Connection, rung: int, now: datetime) -> None:
        self._connection = connection
        self._at = {"rung": rung, "is_urgent": False, "now": now}
        self._queued = self._weights(_QUEUED_BATCHES)
        self._due = self._weights(_DUE_BATCHES)
        self.weights = self._queued | self._due

    def of(self, batch_id: str, count: int) -> Sequence[Candidate]:
        """List the first of a batch. Of those that are due, the longest due are looked at."""
        given = self._at | {"batch_id": batch_id, "count": count}
        line: list[Candidate] = []
        if batch_id in self._due:
            line += [Candidate(at, False, due, id_, heard) for id_, heard, at, due in self._rows(_DUE_OF, given)]
        if batch_id in self._queued:
            line += [Candidate(at, True, seq, id_, heard) for id_, heard, at, seq in self._rows(_QUEUED_OF, given)]
        return sorted(line)[:count]

    def _weights(self, statement: TextClause) -> dict[str, int]:
        return {row.id: row.weight for row in self._rows(statement, self._at)}

    def _rows(self, statement: Any, given: dict[str, Any]) -> Sequence[Any]:
        return self._connection.execute(statement, given).all()


def urgent(connection: Connection, now: datetime, *, limit: int) -> list[Unsent]:
    """List urgent jobs of every rung, the earliest deadline first."""
    rows = connection.execute(_URGENT, {"is_urgent": True, "now": now, "count": limit}).all()
    return [Unsent(id=row.id, rung=row.rung, deliveries=row.deliveries, is_urgent=True) for row in rows]
