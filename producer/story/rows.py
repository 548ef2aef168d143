"""The rows of one job, read in one go: the job, its batch, attempts and decisions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any, Protocol

_CLOCKS_APART = timedelta(seconds=2)
STOP = "stop"  # the decision that ends a job
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """Rows by column. `batch` is None for a call without the queue; all else is in order.

    `parts` are the jobs whose answers a step is made of. `message_batches` are those of its attempts. `now` is the
    time of the reading by the database's clock.
    """

    now: datetime
    job: Row
    batch: Row | None
    attempts: Sequence[Row]
    decisions: Sequence[Row] = ()
    parts: Sequence[Row] = ()
    message_batches: Sequence[Row] = ()


class Reads(Protocol):
    """Reads rows of the ledger for people."""

    def now(self) -> datetime:
        """Return the time by the database's clock."""
        ...

    def job(self, job_id: str) -> dict[str, Any]:
        """Read a job's row."""
        ...

    def batch(self, batch_id: str) -> dict[str, Any]:
        """Read a batch's row."""
        ...

    def attempts(self, job_id: str) -> list[dict[str, Any]]:
        """Read a job's attempts."""
        ...

    def decisions(self, job_id: str) -> list[dict[str, Any]]:
        """Read what was decided about a job."""
        ...

    def parts(self, job_id: str) -> list[dict[str, Any]]:
        """Read which jobs' answers a job is made of."""
        ...

    def message_batches(self, job_id: str) -> list[dict[str, Any]]:
        """Read the message batches of a job's attempts."""
        ...


def job_record(job_id: str, reports: Reads) -> JobRecord:
    """Read all that is known of a job."""
    job = reports.job(job_id)
    return JobRecord(
        now=reports.now(),
        job=job,
        batch=None if job["batch_id"] is None else reports.batch(job["batch_id"]),
        attempts=reports.attempts(job_id),
        decisions=reports.decisions(job_id),
        parts=reports.parts(job_id),
        message_batches=reports.message_batches(job_id),
    )


def in_turn(record: JobRecord) -> Iterator[Row | list[Row]]:
    """Give each attempt, and between them what was decided until the next, or until the job ended, as one list.

    With an attempt goes at how many tokens its answer would be cut, as `cut_at`, and its `message_batch`. A decision's
    time is its worker's: where that cannot be, beside the ledger's own, it is None. `next_at` of a decision is the time
    of the next event of the job; the dispatcher may end a wait early. It is None if nothing has happened since.
    """
    most = record.job["params"].get("max_tokens")
    batches = {row["id"]: row for row in record.message_batches}
    attempts = {
        row["attempt_no"]: {
            **row,
            "cut_at": row["max_tokens"] or most,
            "message_batch": batches.get(row["message_batch_id"]),
        }
        for row in record.attempts
    }
    decided: dict[int, list[Row]] = {}
    rows = sorted(record.decisions, key=lambda row: (row["lease_token"], row["attempt_count"], row["number"]))
    for row, following in zip_longest(rows, rows[1:]):
        count = row["attempt_count"]
        after = attempts[count]["opened_at"] if count in attempts else record.job["created_at"]
        before = attempts[count + 1]["opened_at"] if count + 1 in attempts else record.job["finished_at"]
        ends = [before, None if following is None else following["at"]]
        next_at = min((end for end in ends if end is not None), default=None)
        decided.setdefault(count, []).append({**row, "at": _possible(row["at"], after, before), "next_at": next_at})
    for number in sorted({*attempts, *decided}):
        if number in attempts:
            yield attempts[number]
        yield from _until_ends(decided.get(number, []))


def _until_ends(run: list[Row]) -> Iterator[list[Row]]:
    begin = 0
    for end, row in enumerate(run, start=1):
        if row["decision"] == STOP or end == len(run):
            yield run[begin:end]
            begin = end


def _possible(at: datetime, after: datetime, before: datetime | None) -> datetime | None:
    if at < after - _CLOCKS_APART or (before is not None and at > before + _CLOCKS_APART):
        return None
    return at
