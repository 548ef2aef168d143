"""Who has a job, for how long, and how it is taken from a worker that is gone; on both engines."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from models.errors import LedgerError
from models.job.strays import Past, Rescue, Stray
from models.job.values import Claim, SpooledReply
from models.ledger.leases import Leases
from models.ledger.ledger import Ledger
from models.outcome import OnUnknown, Outcome, State
from models.reports.jobs import Reports
from models.store import Store
from tests.support.eventually import eventually
from tests.support.ledgers.job_values import (
    SPAN,
    accepted,
    claimed,
    closing,
    new_batch,
    new_job,
    opening,
    parked,
    succeeded,
    unknown,
)
from tests.support.servers.fixtures import opened

Over = Callable[[str], None]


@pytest.fixture
def end_lease(engine: Engine) -> Over:
    """Let a job's lease be over."""

    def end(job_id: str) -> None:
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE jobs SET lease_until = '2026-01-01 00:00:00' WHERE id = :id"), {"id": job_id}
            )

    return end


def _rescue(stray: Stray, state: State = State.QUEUED, **changes: Any) -> Rescue:
    plain = Rescue(state=state, outcome=None, error=None, rung=stray.rung, given_up={}, crashes=1, rebuys=0)
    return replace(plain, **changes)


def _lost(ledger: Ledger, end_lease: Over) -> tuple[str, Claim, str]:
    """Lose a worker during a call; returns the job, its claim and the open attempt."""
    _, (job_id,) = accepted(ledger)
    claim, attempt = claimed(ledger, job_id), opening()
    assert ledger.open_attempt(claim, attempt)
    end_lease(job_id)
    return job_id, claim, attempt.id


def test_a_claim_a_renewal_and_the_end_of_a_call_are_written_in_place(postgres_url: str) -> None:
    with opened(postgres_url) as engine:
        store = Store(engine, worker="here")
        _, (job_id,) = accepted(store.ledger)
        store.outbox.mark_sent(store.outbox.unsent(0, limit=1))
    with opened(postgres_url) as engine:
        before = _updates(engine)
        store = Store(engine, worker="here")
        claim, attempt = claimed(store.ledger, job_id), opening()
        assert store.ledger.open_attempt(claim, attempt)
        store.leases.renew([claim], lease_s=600)
        store.ledger.close_attempt(claim, unknown(attempt.id))
    with opened(postgres_url) as engine:  # a session that has ended has reported its counts
        eventually(lambda: _updates(engine)[0] == before[0] + 3, within_s=30, because="the counts are reported")
        assert _updates(engine)[1] == before[1] + 3


def _updates(engine: Engine) -> tuple[int, int]:
    """Count the updates so far of jobs and attempts, and those among them that touched no index."""
    with engine.begin() as connection:
        counts = (
            "SELECT SUM(n_tup_upd), SUM(n_tup_hot_upd) FROM pg_stat_user_tables WHERE relname IN ('jobs', 'attempts')"
        )
        updates, in_place = connection.execute(text(counts)).one()
        return int(updates), int(in_place)


def test_a_job_in_hand_is_no_stray(ledger: Ledger, leases: Leases) -> None:
    _, (job_id, _) = accepted(ledger, 2)
    claimed(ledger, job_id)
    assert leases.strays(limit=9) == []


def test_a_stray_is_told_with_all_that_decides_about_it(ledger: Ledger, leases: Leases, end_lease: Over) -> None:
    job = new_job(on_unknown=OnUnknown.REBUY)
    batch_id = ledger.enqueue(new_batch(), [job])
    claim, first, second = claimed(ledger, job.id), opening(1), opening(2, rung=1, model="claude-sonnet-4-6")
    ledger.open_attempt(claim, first)
    ledger.close_attempt(claim, unknown(first.id))
    ledger.open_attempt(claim, second)
    end_lease(job.id)
    assert leases.strays(limit=9) == [
        Stray(
            job_id=job.id,
            batch_id=batch_id,
            token=1,
            params=job.params,
            span=SPAN,
            rung=0,
            given_up={},
            on_unknown=OnUnknown.REBUY,
            crashes=0,
            rebuys=0,
            attempts=(
                Past(rung=0, fallback_depth=first.fallback_depth, model="claude-opus-4-7", outcome=Outcome.TIMED_OUT),
                Past(rung=1, fallback_depth=second.fallback_depth, model="claude-sonnet-4-6", outcome=None),
            ),
        )
    ]


def test_a_lease_is_renewed_for_its_holder_only(ledger: Ledger, leases: Leases, end_lease: Over) -> None:
    _, ids = accepted(ledger, 2)
    ours, theirs = (claimed(ledger, job_id) for job_id in ids)
    for job_id in ids:
        end_lease(job_id)
    leases.renew([ours, replace(theirs, token=7)], lease_s=60)
    assert [stray.job_id for stray in leases.strays(limit=9)] == [theirs.job_id]
    leases.renew([], lease_s=60)


def test_a_rescue_is_made_once_and_says_how_the_attempt_ended(
    ledger: Ledger, leases: Leases, reports: Reports, end_lease: Over
) -> None:
    job_id, _, _ = _lost(ledger, end_lease)
    (stray,) = leases.strays(limit=9)
    held = _rescue(stray, State.WAITING, outcome=Outcome.UNKNOWN, error="unknown: why", rung=1, given_up={0: "cut"})
    assert leases.rescue(stray, held)
    assert not leases.rescue(stray, held)
    assert leases.strays(limit=9) == []
    job = reports.job(job_id)
    assert (job["state"], job["outcome"], job["error"], job["rung"]) == ("waiting", "unknown", "unknown: why", 1)
    assert (job["due_at"], job["crashes"], job["given_up"]) == (None, 1, {"0": "cut"})
    (row,) = reports.attempts(job_id)
    assert (row["outcome"], row["cost_status"], row["cost_nano_usd"]) == ("unknown", "unknown", None)


def test_a_worker_that_came_back_in_time_keeps_its_job(ledger: Ledger, leases: Leases, end_lease: Over) -> None:
    job_id, claim, _ = _lost(ledger, end_lease)
    (stray,) = leases.strays(limit=9)
    leases.renew([claim], lease_s=60)
    assert not leases.rescue(stray, _rescue(stray))
    assert ledger.claim(job_id, lease_s=60) is None


def test_a_rescued_job_is_claimed_anew_and_the_lost_worker_may_open_nothing(
    ledger: Ledger, leases: Leases, end_lease: Over
) -> None:
    job_id, lost, _ = _lost(ledger, end_lease)
    (stray,) = leases.strays(limit=9)
    assert leases.rescue(stray, _rescue(stray, outcome=Outcome.UNKNOWN, rebuys=1))
    assert not ledger.open_attempt(lost, opening(2))
    claim = claimed(ledger, job_id)
    assert (claim.token, claim.attempt_count, claim.is_rebuy) == (2, 1, True)


@pytest.mark.parametrize("state", [State.WAITING, State.QUEUED])
def test_a_reply_that_turns_up_before_anyone_bought_again_is_the_answer(
    ledger: Ledger, leases: Leases, reports: Reports, end_lease: Over, state: State
) -> None:
    job_id, claim, attempt_id = _lost(ledger, end_lease)
    (stray,) = leases.strays(limit=9)
    leases.rescue(stray, _rescue(stray, state, outcome=Outcome.UNKNOWN))
    assert ledger.finish(claim, succeeded(), closing(attempt_id))
    (row,) = reports.attempts(job_id)
    assert (row["outcome"], row["cost_nano_usd"]) == ("answered", Decimal("0.01"))
    assert reports.job(job_id)["state"] == "succeeded"
    assert ledger.claim(job_id, lease_s=60) is None


def test_a_reply_that_turns_up_after_it_was_bought_again_is_late_and_costed(
    ledger: Ledger, leases: Leases, reports: Reports, end_lease: Over
) -> None:
    job_id, lost, attempt_id = _lost(ledger, end_lease)
    (stray,) = leases.strays(limit=9)
    leases.rescue(stray, _rescue(stray, outcome=Outcome.UNKNOWN, rebuys=1))
    claim, second = claimed(ledger, job_id), opening(2)
    assert ledger.open_attempt(claim, second)
    assert not ledger.finish(lost, succeeded(), closing(attempt_id))
    assert ledger.finish(claim, succeeded(), closing(second.id, cost_usd=Decimal("0.02")))
    reported = [(row["outcome"], row["cost_nano_usd"]) for row in reports.attempts(job_id)]
    assert reported == [("late", Decimal("0.01")), ("answered", Decimal("0.02"))]


@pytest.mark.parametrize("state", [State.RUNNING, State.WAITING, State.QUEUED])
def test_a_replayed_reply_is_taken_once_whatever_became_of_its_job(
    ledger: Ledger, leases: Leases, reports: Reports, end_lease: Over, state: State
) -> None:
    job_id, claim, attempt_id = _lost(ledger, end_lease)
    if state is not State.RUNNING:
        (stray,) = leases.strays(limit=9)
        leases.rescue(stray, _rescue(stray, state, outcome=Outcome.UNKNOWN))
    kept = SpooledReply(job_id=job_id, token=claim.token, closing=closing(attempt_id), ending=succeeded())
    assert [ledger.replay(kept), ledger.replay(kept)] == [True, False]
    assert reports.job(job_id)["state"] == "succeeded"
    assert next(reports.answers(str(reports.job(job_id)["batch_id"]))).cost_usd == Decimal("0.01")


def test_a_replayed_reply_in_the_middle_of_a_walk_lets_a_held_job_go_on(
    ledger: Ledger, leases: Leases, reports: Reports, end_lease: Over
) -> None:
    job_id, claim, attempt_id = _lost(ledger, end_lease)
    (stray,) = leases.strays(limit=9)
    leases.rescue(stray, _rescue(stray, State.WAITING, outcome=Outcome.UNKNOWN))
    truncated = closing(attempt_id, outcome=Outcome.TRUNCATED)
    assert ledger.replay(SpooledReply(job_id=job_id, token=claim.token, closing=truncated, ending=None))
    assert [row["outcome"] for row in reports.attempts(job_id)] == ["truncated"]
    (again,) = leases.strays(limit=9)  # the next rescuer decides, and knows what that model said
    assert [past.outcome for past in again.attempts] == [Outcome.TRUNCATED]


def test_a_truncated_answer_that_was_closed_before_its_climb_is_replayed_as_the_answer(
    ledger: Ledger, reports: Reports
) -> None:
    _, (job_id,) = accepted(ledger)
    claim, tried = claimed(ledger, job_id), opening()
    ledger.open_attempt(claim, tried)
    end = closing(tried.id, outcome=Outcome.TRUNCATED)
    ledger.close_attempt(claim, end)
    kept = SpooledReply(job_id=job_id, token=claim.token, closing=end, ending=succeeded(is_truncated=True))
    assert [ledger.replay(kept), ledger.replay(kept)] == [True, False]
    assert reports.job(job_id)["state"] == "succeeded"
    assert len(reports.attempts(job_id)) == 1


def test_a_rescue_judges_what_the_last_claim_did_and_nothing_before_it(
    ledger: Ledger, leases: Leases, end_lease: Over
) -> None:
    job_id, _, _ = _lost(ledger, end_lease)
    (stray,) = leases.strays(limit=9)
    leases.rescue(stray, _rescue(stray, outcome=Outcome.UNKNOWN, rebuys=1))
    claimed(ledger, job_id)
    end_lease(job_id)
    (again,) = leases.strays(limit=9)
    assert (again.token, again.attempts) == (2, ())


def test_a_rescue_that_was_decided_before_a_call_was_opened_is_not_made(
    ledger: Ledger, leases: Leases, reports: Reports, end_lease: Over
) -> None:
    _, (job_id,) = accepted(ledger)
    claim = claimed(ledger, job_id)
    end_lease(job_id)
    (stray,) = leases.strays(limit=9)
    assert ledger.open_attempt(claim, opening())  # it was only slow
    assert not leases.rescue(stray, _rescue(stray))
    assert reports.job(job_id)["state"] == "running"
    (now,) = leases.strays(limit=9)
    assert leases.rescue(now, _rescue(now, outcome=Outcome.UNKNOWN))


def test_a_spool_of_another_ledger_is_named_and_kept(ledger: Ledger) -> None:
    kept = SpooledReply(job_id="job-1", token=1, closing=closing("attempt-1"), ending=succeeded())
    with pytest.raises(LedgerError, match="has no attempt attempt-1: is it another ledger"):
        ledger.replay(kept)


def test_an_end_that_was_reached_forgets_the_crashes_before_it(
    ledger: Ledger, leases: Leases, reports: Reports, end_lease: Over
) -> None:
    _, (job_id,) = accepted(ledger)
    claimed(ledger, job_id)
    end_lease(job_id)
    (stray,) = leases.strays(limit=9)
    leases.rescue(stray, _rescue(stray))
    assert reports.job(job_id)["crashes"] == 1
    ledger.finish(claimed(ledger, job_id), parked(0), None)
    assert reports.job(job_id)["crashes"] == 0
