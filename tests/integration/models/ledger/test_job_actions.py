"""What a person orders of jobs that are there: cancel, release, drop, retry, purge; on both engines."""

import pytest
from sqlalchemy import Engine, text

from models.ledger.job_actions import JobActions
from models.ledger.ledger import Ledger
from models.outcome import Outcome
from models.reports.jobs import Reports
from tests.support.ledgers.job_values import (
    accepted,
    answered,
    claimed,
    closing,
    failed,
    failing,
    message,
    opening,
    parked,
    succeeded,
    unknown,
)

DAY_S = 86_400.0


def _hold(ledger: Ledger, job_id: str, engine: Engine, outcome: str = Outcome.UNKNOWN) -> None:
    ledger.finish(claimed(ledger, job_id), parked(0, outcome=outcome), None)
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET due_at = NULL WHERE id = :id"), {"id": job_id})


def _states(reports: Reports, ids: list[str]) -> list[str]:
    return [reports.job(job_id)["state"] for job_id in ids]


def test_cancelling_says_how_many_calls_will_still_be_billed(
    ledger: Ledger, job_actions: JobActions, reports: Reports
) -> None:
    batch_id, ids = accepted(ledger, 5)
    answered(ledger, ids[0])
    running = claimed(ledger, ids[1])
    ledger.finish(claimed(ledger, ids[2]), parked(60), None)
    assert job_actions.cancel(batch_id) == (4, 1, 0)
    assert _states(reports, ids) == ["succeeded", *["cancelled"] * 4]
    assert not ledger.open_attempt(running, opening()), "no call begins after it"
    assert job_actions.cancel(batch_id) == (0, 0, 0)


@pytest.mark.parametrize("by", ["batch", "job"])
def test_held_jobs_are_released_with_time_and_what_is_bought_again_is_counted(
    ledger: Ledger, job_actions: JobActions, reports: Reports, engine: Engine, by: str
) -> None:
    batch_id, ids = accepted(ledger, 3, deadline_s=-5)
    _hold(ledger, ids[0], engine)
    _hold(ledger, ids[1], engine, "batch_paused")
    if by == "batch":
        assert job_actions.release(batch_id=batch_id, deadline_s=DAY_S) == 2
    else:
        assert [job_actions.release(job_id=job_id, deadline_s=DAY_S) for job_id in ids] == [1, 1, 0]
    assert [reports.job(job_id)["rebuys"] for job_id in ids] == [1, 0, 0]
    claim = claimed(ledger, ids[0])
    assert (claim.is_rebuy, claim.deadline_s > DAY_S - 60) == (True, True)
    assert claimed(ledger, ids[2]).deadline_s < 0, "one that was not held keeps its own"


def test_held_jobs_are_given_up(ledger: Ledger, job_actions: JobActions, reports: Reports, engine: Engine) -> None:
    batch_id, ids = accepted(ledger, 2)
    _hold(ledger, ids[0], engine)
    assert [job_actions.drop(batch_id=batch_id), job_actions.drop(batch_id=batch_id)] == [1, 0]
    assert _states(reports, ids) == ["failed", "queued"]
    assert reports.job(ids[0])["outcome"] == "dropped"
    assert reports.progress(batch_id).finished == 1


def test_retry_queues_what_failed_or_was_cancelled_from_its_start(
    ledger: Ledger, job_actions: JobActions, reports: Reports
) -> None:
    batch_id, ids = accepted(ledger, 3)
    ledger.finish(claimed(ledger, ids[0]), failed(rung=2, given_up={0: "cut", 1: "cut"}, rounds=2), None)
    answered(ledger, ids[1])
    job_actions.cancel(batch_id)
    assert job_actions.retry(batch_id=batch_id, deadline_s=DAY_S) == 2
    assert _states(reports, ids) == ["queued", "succeeded", "queued"]
    claim = claimed(ledger, ids[0])
    assert (claim.rung, claim.given_up, claim.rounds, claim.token) == (0, {}, 0, 2)
    assert reports.job(ids[0])["finished_at"] is None


def test_retry_counts_what_is_bought_again(ledger: Ledger, job_actions: JobActions, reports: Reports) -> None:
    batch_id, ids = accepted(ledger, 3)
    for job_id, outcome in zip(ids[:2], (Outcome.CUT, Outcome.OVERLOADED), strict=True):
        claim, tried = claimed(ledger, job_id), opening()
        ledger.open_attempt(claim, tried)
        end = unknown(tried.id) if outcome is Outcome.CUT else failing(tried.id, outcome)
        ledger.finish(claim, failed(), end)
    job_actions.cancel(batch_id)
    assert job_actions.retry(batch_id=batch_id, deadline_s=DAY_S) == 3
    assert [reports.job(job_id)["rebuys"] for job_id in ids] == [1, 0, 0]


def test_a_better_answer_takes_the_place_of_a_truncated_one(
    ledger: Ledger, job_actions: JobActions, reports: Reports
) -> None:
    batch_id, (job_id, whole) = accepted(ledger, 2)
    answered(ledger, job_id, ending=succeeded(is_truncated=True, message=message("half")))
    answered(ledger, whole)
    assert job_actions.retry_truncated(batch_id=batch_id, deadline_s=DAY_S, max_tokens=None) == 1
    assert _states(reports, [job_id, whole]) == ["queued", "succeeded"]
    claim = claimed(ledger, job_id)
    again = opening(claim.attempt_count + 1)
    ledger.open_attempt(claim, again)
    ledger.finish(claim, succeeded(message=message("whole")), closing(again.id))
    assert next(answer.text for answer in reports.answers(batch_id)) == "whole"
    assert reports.job(job_id)["rebuys"] == 1
    assert job_actions.retry_truncated(job_id=job_id, deadline_s=DAY_S, max_tokens=None) == 0


def test_a_pause_holds_what_has_not_begun(ledger: Ledger, job_actions: JobActions, reports: Reports) -> None:
    batch_id, ids = accepted(ledger, 3)
    claimed(ledger, ids[0])
    assert job_actions.pause(batch_id, because="25 jobs in a row") == 2
    job = reports.job(ids[1])
    assert (job["state"], job["outcome"], job["error"]) == ("waiting", "batch_paused", "25 jobs in a row")
    assert [ledger.claim(job_id, lease_s=9) for job_id in ids] == [None] * 3
    assert job_actions.release(batch_id=batch_id, deadline_s=DAY_S) == 2
    assert _states(reports, ids) == ["running", "queued", "queued"]


def test_purge_removes_texts_by_age_in_small_steps_and_never_a_row(
    ledger: Ledger, job_actions: JobActions, reports: Reports, engine: Engine
) -> None:
    batch_id, ids = accepted(ledger, 503)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE jobs SET state = 'failed', finished_at = :then WHERE id <> :open"),
            {"then": "2026-01-01 00:00:00", "open": ids[502]},
        )
        connection.execute(text("UPDATE jobs SET state = 'queued' WHERE id = :id"), {"id": ids[0]})
    answered(ledger, ids[0])
    before = reports.models(batch_id)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE jobs SET finished_at = :then WHERE id = :id"), {"then": "2026-01-01 00:00:00", "id": ids[0]}
        )
    assert [job_actions.purge(older_than_s=DAY_S * 3650) for _ in range(1)] == [0]
    assert [job_actions.purge(older_than_s=60) for _ in range(3)] == [500, 2, 0]
    assert reports.models(batch_id) == before
    job = reports.job(ids[0])
    assert (job["params"], job["columns"], job["state"], job["purged_at"] is None) == ({}, {}, "succeeded", False)
    reported = next(reports.answers(batch_id))
    assert (reported.message, str(reported.cost_usd)) == (None, "0.010000000")
    assert reports.job(ids[502])["params"] != {}
    assert job_actions.retry(batch_id=batch_id, deadline_s=DAY_S) == 0, "there is nothing left to ask"


@pytest.mark.parametrize("given", [{}, {"batch_id": "b", "job_id": "j"}])
def test_an_order_is_for_a_batch_or_a_job(job_actions: JobActions, given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="name a batch or a job"):
        job_actions.drop(**given)
