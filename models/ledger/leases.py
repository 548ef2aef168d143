"""The holder of each job and the end of the claim; jobs of a lost worker."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from sqlalchemy import Connection, Integer, bindparam, null, select, text, update

from models.chain.chain import RungRange
from models.database.engine import LedgerPart, transaction
from models.job.strays import Past, Rescue, Stray
from models.job.values import Claim
from models.ledger.batch_counts import add, ends
from models.ledger.budgets import settle
from models.outcome import FINAL_STATES, OnUnknown, Outcome, State
from models.schema.attempt import Attempt
from models.schema.columns import columns_of, db_now
from models.schema.daily_cost import MARK_STALE
from models.schema.job import FREE_JOB, RUNNING, Job, free_jobs

_MARK = (
    update(Attempt)
    # The version before wrote no time. Its marked attempts are marked once more, for their reservations.
    .where(
        *(Attempt.job_id == bindparam("of_job"), Attempt.closed_at.is_(None), Attempt.unknown_at.is_(None)),
        Attempt.message_batch_id.is_(None),  # the provider knows the end of an item
    )
    .values(outcome=Outcome.UNKNOWN, unknown_at=db_now(0.0))
    # Values from before the update: no worker had marked these attempts.
    .returning(Attempt.reserved_nano_usd, Attempt.budgets, Attempt.opened_at, null().label("unknown_at"))
)


_NOW = db_now(0.0)
_RENEW = (
    update(Job)
    .where(Job.id == FREE_JOB, Job.lease_token == bindparam("token"), Job.state == State.RUNNING)
    .values(lease_until=db_now(bindparam("lease_s")))
)
_RENEW_ALL = text(f"""
    UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => :lease_s)
    WHERE {free_jobs("lease_token", "state = 'running'")}
""")  # noqa: S608 - of our own words
_SAME = ("batch_id", "params", "rung", "crashes", "rebuys")
_OF_STRAY = ("id", "lease_token", "start_rung", "floor_rung", "ceiling_rung", "given_up", "on_unknown", *_SAME)
_STRAYS = (
    select(*(getattr(Job, name) for name in _OF_STRAY))
    .where(text(RUNNING), Job.lease_until <= _NOW)
    .order_by(Job.lease_until)
    .limit(bindparam("limit", type_=Integer))
)
_RESCUE = (
    update(Job)
    .where(
        Job.id == FREE_JOB,
        Job.lease_token == bindparam("token"),
        Job.state == State.RUNNING,
        Job.lease_until <= _NOW,  # the worker may have renewed its lease since we looked
    )
    .values(lease_until=None, due_at=None, sent_at=None)
)
_CANCELLED = (
    select(Job.id).where(text("phase = 'cut'"), Job.lease_until <= _NOW).limit(bindparam("limit", type_=Integer))
)
_LET_GO = (
    update(Job).where(Job.id == FREE_JOB, Job.state != State.RUNNING, Job.lease_until <= _NOW).values(lease_until=None)
)


def mark_unknown(connection: Connection, job_id: str) -> int:
    """Give the open attempts of a job the outcome `unknown`, and count their worst case as spent. Returns their number.

    The attempts stay open, so that a reply can still close them. Each job needs its own transaction. Budgets are locked
    in the order of their scopes, and the budgets of two jobs would cross.
    """
    rows = [dict(**row) for row in connection.execute(_MARK, {"of_job": job_id}).mappings()]
    for row in rows:
        settle(connection.execute, row, None)
    for day in sorted({row["opened_at"].date() for row in rows}):
        connection.execute(MARK_STALE, {"of_day": day})
    return len(rows)


class Leases(LedgerPart):
    """Renews the leases of jobs in hand, and rescues the jobs of workers that are gone. Raises LedgerError.

    A job that another transaction holds is passed over. The holder's host may be cut off, and other jobs must not wait.
    """

    def renew(self, claims: Iterable[Claim], *, lease_s: float) -> None:
        """Hold these jobs for `lease_s` more seconds. A job that is not ours any more stays unchanged."""
        if not (held := list(claims)):
            return
        with transaction(self._engine) as connection:
            if connection.dialect.name == "postgresql":
                given = {"ids": [claim.job_id for claim in held], "numbers": [claim.token for claim in held]}
                connection.execute(_RENEW_ALL, given | {"lease_s": lease_s})
            else:
                rows = [{"job_id": claim.job_id, "token": claim.token, "lease_s": lease_s} for claim in held]
                connection.execute(_RENEW, rows)

    def strays(self, *, limit: int) -> list[Stray]:
        """List running jobs whose lease is over, with the attempts of their last claim, in order."""
        with transaction(self._engine) as connection:
            jobs = connection.execute(_STRAYS, {"limit": limit}).mappings().all()
            past = _past(connection, [job["id"] for job in jobs])
        return [
            Stray(
                **{name: job[name] for name in _SAME},
                job_id=job["id"],
                token=job["lease_token"],
                span=RungRange(start=job["start_rung"], floor=job["floor_rung"], ceiling=job["ceiling_rung"]),
                given_up={int(rung): reason for rung, reason in job["given_up"].items()},
                on_unknown=None if job["on_unknown"] is None else OnUnknown(job["on_unknown"]),
                attempts=past.get(job["id"], ()),
            )
            for job in jobs
        ]

    def rescue(self, stray: Stray, rescue: Rescue) -> bool:
        """Take the job from the worker that is gone. Returns False if the worker is back, or a rescue was quicker.

        An open attempt gets the outcome `unknown`. The attempt stays open, so that its reply can still close it.
        """
        finished = {"finished_at": _NOW} if rescue.state in FINAL_STATES else {}
        with transaction(self._engine) as connection:
            statement = _RESCUE.values(**columns_of(rescue, Job), **finished)
            is_ours = bool(connection.execute(statement, {"job_id": stray.job_id, "token": stray.token}).rowcount)
            # With the job locked, the basis of the decision must still hold: a call may have been opened since.
            if is_ours and _past(connection, [stray.job_id]).get(stray.job_id, ()) != stray.attempts:
                connection.rollback()
                return False
            if is_ours:
                mark_unknown(connection, stray.job_id)
                add(connection, stray.batch_id, **ends(rescue.state, rescue.outcome))
        return is_ours

    def mark_cancelled_unknown(self, *, limit: int) -> int:
        """Mark the calls of cancelled jobs whose worker is gone: nobody sees their end. Returns the number of calls.

        A worker that is there after all still closes them.
        """
        with transaction(self._engine) as connection:
            jobs = connection.scalars(_CANCELLED, {"limit": limit}).all()
        count = 0
        for job_id in jobs:
            with transaction(self._engine) as connection:
                if connection.execute(_LET_GO, {"job_id": job_id}).rowcount:
                    count += mark_unknown(connection, job_id)
        return count


def _past(connection: Connection, job_ids: Sequence[str]) -> dict[str, tuple[Past, ...]]:
    attempts = (
        select(Attempt.job_id, Attempt.rung, Attempt.fallback_depth, Attempt.requested_model, Attempt.outcome)
        # The job's own row covers attempts of earlier claims by now: parked, rescued or ordered anew.
        .join(Job, (Job.id == Attempt.job_id) & (Job.lease_token == Attempt.lease_token))
        .where(Attempt.job_id.in_(job_ids))
        .order_by(Attempt.job_id, Attempt.attempt_no)
    )
    rows = connection.execute(attempts).all() if job_ids else []
    return {
        job_id: tuple(
            Past(
                rung=row.rung,
                fallback_depth=row.fallback_depth,
                model=row.requested_model,
                outcome=None if row.outcome is None else Outcome(row.outcome),
            )
            for row in ours
        )
        for job_id, ours in groupby(rows, key=lambda row: row.job_id)
    }
