"""Waits: the causes and ends of the waits of a batch's open jobs, from partial indexes of the ledger alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import TextualSelect, bindparam, text

from models.database.engine import LedgerPart, reading
from models.outcome import IN_BATCH
from models.schema.columns import UTCDateTime, now
from models.schema.job import IN_FLIGHT, QUEUED, WAITING
from models.schema.message_batch import OPEN

_PER_MINUTE = re.compile(r"per_minute (\d+(?:\.\d+)?)")
_OURS = "batch_id = :batch_id"
# The index of whole batches would also read all ended jobs. The few sent and running jobs have an index of their own.
_OURS_AMONG_FEW = "batch_id || '' = :batch_id"
_NOTHING = "NULL, -1, NULL"
_UNDER_WAY = text(f"""
    SELECT a.rung, MIN(m.sent_at) AS sent_at, MIN(m.switch_at) AS first_switch_at, MAX(m.switch_at) AS last_switch_at
    FROM message_batches AS m INNER JOIN attempts AS a ON a.message_batch_id = m.id
    WHERE m.{OPEN} AND a.batch_id = :batch_id AND a.closed_at IS NULL GROUP BY a.rung
""").columns(sent_at=UTCDateTime(), first_switch_at=UTCDateTime(), last_switch_at=UTCDateTime())  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Open jobs of a batch that stand at one rung for one reason.

    `stage` is waiting (for a time), queued (no message yet), sent (a message is in the queue) or running. `reason` is
    the job's outcome, empty for all but waiting jobs. `about` is the rung in the reason. `limit` is the
    exhausted limit, and `per_minute` its size. `next_in_s` and `last_in_s` are 0 for a job that is due. Jobs at half
    price switch to live calls then. The oldest of their message batches was created `under_way_s` seconds ago.
    """

    stage: Literal["waiting", "queued", "sent", "running"]
    rung: int
    jobs: int
    reason: str = ""
    about: int = 0
    limit: str | None = None
    per_minute: float | None = None
    due: int = 0
    next_in_s: float | None = None
    last_in_s: float | None = None
    under_way_s: float | None = None


class WaitReader(LedgerPart):
    """Reads the reasons for which jobs wait. Raises LedgerError."""

    def of_batch(self, batch_id: str, models: Sequence[str]) -> list[Waits]:
        """Return the open jobs of a batch by stage, reason and rung; `models` is the chain. Held jobs are left out."""
        given = {"batch_id": batch_id, "yes": True, "no": False}
        given |= {f"about_{rung}": f"%: {model} may be asked %" for rung, model in enumerate(models)}
        with reading(self._engine) as connection:
            at = now(connection)
            rows = connection.execute(_waits_of(len(models)), given | {"now": at}).mappings().all()
            is_under_way = any(row["reason"] == IN_BATCH for row in rows)
            found = connection.execute(_UNDER_WAY, {"batch_id": batch_id}).mappings().all() if is_under_way else []
        under_way = {row["rung"]: row for row in found}
        return [_waits(row, at, under_way.get(row["rung"])) for row in rows]


def _waits_of(rungs: int) -> TextualSelect:
    # Each part has the words of a partial index: a count by state alone reads every job of the batch.
    about = " ".join(f"WHEN error LIKE :about_{rung} THEN {rung}" for rung in range(rungs))
    limit = " ".join(f"WHEN error LIKE '%(limit {kind}%' THEN '{kind}'" for kind in ("requests", "input", "output"))
    limit = f"{limit} WHEN error LIKE '%(limit retry-after%' THEN 'retry-after'"
    limit = f"CASE WHEN outcome <> 'limited' THEN NULL {limit} END"
    return (
        text(f"""
        SELECT stage, reason, about, limited_by, rung, COUNT(*) AS jobs, MAX(message) AS message,
            SUM(is_due) AS due, MIN(due_at) AS first_due_at, MAX(due_at) AS last_due_at
        FROM (
            SELECT 'waiting' AS stage, outcome AS reason,
                CASE {about} ELSE rung END AS about, {limit} AS limited_by, rung,
                CASE WHEN outcome = 'limited' THEN error END AS message, due_at,
                CASE WHEN due_at <= :now THEN 1 ELSE 0 END AS is_due
            FROM ({_in_lanes("outcome, error, rung, due_at", WAITING, rungs)}) AS throttled
            UNION ALL SELECT 'queued', {_NOTHING}, rung, NULL, NULL, 0
            FROM ({_in_lanes("rung", QUEUED, rungs)}) AS unsent
            UNION ALL SELECT CASE WHEN state = 'running' THEN 'running' ELSE 'sent' END, {_NOTHING}, rung, NULL, NULL, 0
            FROM jobs WHERE {IN_FLIGHT} AND {_OURS_AMONG_FEW}
        ) AS open_jobs
        GROUP BY stage, reason, about, limited_by, rung ORDER BY stage DESC, rung, jobs DESC
    """)  # noqa: S608 - of our own words
        .bindparams(bindparam("now", type_=UTCDateTime()))
        .columns(first_due_at=UTCDateTime(), last_due_at=UTCDateTime())
    )


def _in_lanes(columns: str, words: str, rungs: int) -> str:
    # Each lane is a part of its own, and its partial index the cheapest: that index has the most conditions. For lanes
    # in a list, Postgres reads a whole batch as soon as its statistics make the batch seem small.
    lanes = [f"is_urgent = {urgent} AND rung = {rung}" for urgent in (":yes", ":no") for rung in range(rungs)]
    return " UNION ALL ".join(f"SELECT {columns} FROM jobs WHERE {words} AND {lane} AND {_OURS}" for lane in lanes)  # noqa: S608


def _waits(row: Any, now: datetime, under_way: Any) -> Waits:
    per_minute = _PER_MINUTE.search(row["message"] or "")
    first_at, last_at, sent_at = row["first_due_at"], row["last_due_at"], None
    if row["reason"] == IN_BATCH and under_way is not None:
        first_at, last_at, sent_at = (under_way[name] for name in ("first_switch_at", "last_switch_at", "sent_at"))
    return Waits(
        stage=row["stage"],
        rung=row["rung"],
        jobs=row["jobs"],
        reason=row["reason"] or "",
        about=row["rung"] if row["about"] < 0 else row["about"],
        limit=row["limited_by"],
        per_minute=None if per_minute is None else float(per_minute[1]),
        due=int(row["due"]),
        next_in_s=_in_s(first_at, now),
        last_in_s=_in_s(last_at, now),
        under_way_s=None if sent_at is None else (now - sent_at).total_seconds(),
    )


def _in_s(due_at: datetime | None, now: datetime) -> float | None:
    return None if due_at is None else max(0.0, (due_at - now).total_seconds())
