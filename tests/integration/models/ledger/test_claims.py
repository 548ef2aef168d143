"""A job is given to one worker at a time, and only while it may be called; on both engines."""

from functools import partial

import pytest
from sqlalchemy import Engine, text

from models.chain.chain import RungRange
from models.job.values import Claim
from models.ledger.job_actions import JobActions
from models.ledger.ledger import Ledger
from models.outcome import State
from models.reports.jobs import Reports
from tests.support.ledgers.job_values import (
    LEASE_S,
    PARAMS,
    accepted,
    answered,
    claimed,
    failed,
    new_batch,
    new_job,
    opening,
    parked,
)
from tests.support.threads_at_once import at_once


def _claim(ledger: Ledger, job_id: str, _number: int) -> Claim | None:
    return ledger.claim(job_id, lease_s=LEASE_S)


def test_a_claim_has_all_a_walk_needs(ledger: Ledger) -> None:
    job = new_job(prompt_id="row-7", task="summarize", span=RungRange(start=1, floor=2, ceiling=0))
    batch_id = ledger.enqueue(new_batch(deadline_s=600), [job])
    claim = claimed(ledger, job.id)
    assert (claim.job_id, claim.batch_id, claim.prompt_id, claim.task) == (job.id, batch_id, "row-7", "summarize")
    assert (claim.params, claim.span, claim.rung) == (PARAMS, job.span, 1)
    assert (claim.given_up, claim.rounds, claim.attempt_count, claim.token) == ({}, 0, 0, 1)
    assert claim.deadline_s == pytest.approx(600, abs=5)


def test_a_claimed_job_runs_under_a_lease_by_the_databases_clock(ledger: Ledger, reports: Reports) -> None:
    _, (job_id,) = accepted(ledger)
    claimed(ledger, job_id)
    row = reports.job(job_id)
    assert (row["state"], row["deliveries"], row["lease_holder"]) == (State.RUNNING, 1, "here")
    assert (row["lease_until"] - row["created_at"]).total_seconds() == pytest.approx(LEASE_S, abs=5)


def test_twenty_who_claim_at_once_get_the_job_once(ledger: Ledger) -> None:
    _, ids = accepted(ledger, 5)
    for job_id in ids:
        claims = at_once(20, partial(_claim, ledger, job_id))
        assert [claim.token for claim in claims if claim is not None] == [1]


def test_a_running_job_is_nobody_elses(ledger: Ledger) -> None:
    _, (job_id,) = accepted(ledger)
    claimed(ledger, job_id)
    assert ledger.claim(job_id, lease_s=LEASE_S) is None


def test_a_job_that_ended_is_never_claimed_again(ledger: Ledger, job_actions: JobActions) -> None:
    batch_id, (answered_id, failed_id, cancelled_id) = accepted(ledger, 3)
    answered(ledger, answered_id)
    ledger.finish(claimed(ledger, failed_id), failed(), None)
    assert job_actions.cancel(batch_id)[0] == 1
    for job_id in (answered_id, failed_id, cancelled_id):
        assert ledger.claim(job_id, lease_s=LEASE_S) is None


def test_a_job_nobody_knows_is_nobodys(ledger: Ledger) -> None:
    assert ledger.claim("0197-unknown", lease_s=LEASE_S) is None


def test_a_waiting_job_is_not_claimed_before_it_is_due(ledger: Ledger) -> None:
    _, (job_id,) = accepted(ledger)
    ledger.finish(claimed(ledger, job_id), parked(3600), None)
    assert ledger.claim(job_id, lease_s=LEASE_S) is None


def test_a_due_job_resumes_where_it_was_with_the_next_token(ledger: Ledger, reports: Reports) -> None:
    _, (job_id,) = accepted(ledger)
    first = claimed(ledger, job_id)
    assert ledger.open_attempt(first, opening(1))
    assert ledger.open_attempt(first, opening(2, rung=1))
    ledger.finish(first, parked(0, rung=1, given_up={0: "overloaded"}, rounds=1), None)
    second = claimed(ledger, job_id)
    assert (second.token, second.rung, second.given_up, second.rounds) == (2, 1, {0: "overloaded"}, 1)
    assert second.attempt_count == 2
    assert reports.job(job_id)["due_at"] is None
    assert reports.job(job_id)["deliveries"] == 2


def test_the_time_left_is_counted_from_the_claim(ledger: Ledger, engine: Engine) -> None:
    _, (job_id,) = accepted(ledger, deadline_s=1)
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET deadline_at = created_at"))
    assert claimed(ledger, job_id).deadline_s <= 0


def test_a_batch_is_cancelled_where_it_is_open(ledger: Ledger, reports: Reports, job_actions: JobActions) -> None:
    batch_id, (queued, running, waiting, done) = accepted(ledger, 4)
    other, _ = accepted(ledger)
    claimed(ledger, running)
    ledger.finish(claimed(ledger, waiting), parked(60), None)
    answered(ledger, done)
    assert job_actions.cancel(batch_id)[0] == 3
    assert job_actions.cancel(batch_id)[0] == 0
    assert reports.progress(batch_id).states == {State.CANCELLED: 3, State.SUCCEEDED: 1}
    assert reports.progress(batch_id).is_finished
    assert reports.progress(other).states == {State.QUEUED: 1}
    assert reports.job(queued)["finished_at"] is not None
