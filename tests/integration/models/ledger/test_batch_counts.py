"""The kept counts of a batch are those that a count of its jobs and attempts finds; on both engines."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from models.accounting.repricing import Scope
from models.job.map_reduce import OnFailedPart
from models.job.strays import Rescue
from models.job.values import Cap, OverCap, batch_scope
from models.ledger.ledger import Ledger
from models.money.price_book import PriceBook
from models.money.pricing import parse_costs
from models.outcome import OVER_BUDGET, CostStatus, Outcome, State
from models.reports.batch_counts import kept_counts, live_counts
from models.schema.batch import Batch
from models.store import Store
from tests.support.ledgers.job_values import (
    accepted,
    answered,
    claimed,
    closing,
    failed,
    failing,
    new_batch,
    new_jobs,
    new_steps,
    opening,
    parked,
    succeeded,
    unknown,
)


@pytest.fixture
def store(engine: Engine) -> Store:
    """Open a ledger that counts each batch."""
    store = Store(engine, worker="here")
    store.ledger = Ledger(engine, worker="here", counted_from=1)
    return store


def _counts(engine: Engine, batch_id: str) -> dict[str, Any]:
    """Return the kept counts, which are those that a count finds."""
    with engine.connect() as connection:
        batch = connection.execute(select(Batch.__table__).where(Batch.id == batch_id)).mappings().one()
        kept = kept_counts(connection, batch)
        assert kept == live_counts(connection, batch_id)
    assert kept is not None
    return kept


def _opened(store: Store, job_id: str, **changes: Any) -> tuple[Any, str]:
    claim, attempt = claimed(store.ledger, job_id), opening(**changes)
    assert store.ledger.open_attempt(claim, attempt) is True
    return claim, attempt.id


def test_a_small_batch_is_counted_when_somebody_looks(engine: Engine, ledger: Ledger) -> None:
    batch_id, (job_id, _) = accepted(ledger, 2)
    answered(ledger, job_id)
    with engine.connect() as connection:
        batch = connection.execute(select(Batch.__table__).where(Batch.id == batch_id)).mappings().one()
        assert kept_counts(connection, batch) is None
        assert live_counts(connection, batch_id)["states"] == {"queued": 1, "succeeded": 1}


def test_the_counts_stay_exact_however_many_small_batches_are_forgotten(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.ledger.job_ends._MOST_UNCOUNTED", 2)
    ledger = Ledger(engine, worker="here", counted_from=3)
    large, jobs = accepted(ledger, 3)
    small = [accepted(ledger, 1)[1][0] for _ in range(6)]
    claims = [claimed(ledger, job) for job in small]
    for claim in claims:
        assert ledger.open_attempt(claim, opening()) is True
    assert len(ledger.ends._uncounted) <= 4  # noqa: SLF001 - it grew with each served request
    answered(ledger, jobs[0])
    assert _counts(engine, large)["states"] == {"queued": 2, "succeeded": 1}


def test_every_end_of_a_job_is_counted(store: Store, engine: Engine) -> None:
    batch_id, jobs = accepted(store.ledger, 8)
    assert _counts(engine, batch_id)["states"] == {"queued": 8}
    answered(store.ledger, jobs[0])
    for job_id, ending in ((jobs[1], failed(outcome=OVER_BUDGET)), (jobs[2], parked(60, outcome=OVER_BUDGET))):
        assert store.ledger.finish(claimed(store.ledger, job_id), ending, None)
    claim, attempt = _opened(store, jobs[3])
    assert store.ledger.finish(claim, failed(outcome=Outcome.CUT), unknown(attempt))
    claim, attempt = _opened(store, jobs[4])
    store.ledger.close_attempt(claim, failing(attempt, Outcome.OVERLOADED))
    _opened(store, jobs[5])
    store.job_actions.pause(batch_id, because="alike")
    assert store.job_actions.drop(job_id=jobs[6]) == 1
    counts = _counts(engine, batch_id)
    assert counts["states"] == {"succeeded": 1, "failed": 3, "running": 2, "waiting": 2}
    assert (counts["over_budget"], counts["held"], counts["attempts"], counts["unknown_costs"]) == (2, 1, 4, 1)
    late, attempt = _opened_in(store, jobs, batch_id)
    store.job_actions.cancel(batch_id)
    assert not store.ledger.finish(late, succeeded(), closing(attempt))
    counts = _counts(engine, batch_id)
    assert counts["states"] == {"succeeded": 1, "failed": 3, "cancelled": 4}
    assert counts["cost_usd"] == Decimal("0.02")


def _opened_in(store: Store, jobs: list[str], batch_id: str) -> tuple[Any, str]:
    assert store.job_actions.release(batch_id=batch_id, deadline_s=60) == 1
    return _opened(store, jobs[7])


def test_a_job_that_is_ordered_again_is_open_again(store: Store, engine: Engine) -> None:
    batch_id, jobs = accepted(store.ledger, 4)
    answered(store.ledger, jobs[0])
    claim, attempt = _opened(store, jobs[1])
    assert store.ledger.finish(claim, succeeded(is_truncated=True), closing(attempt))
    assert store.ledger.finish(claimed(store.ledger, jobs[2]), failed(outcome=Outcome.CUT), None)
    store.job_actions.cancel(batch_id)
    assert store.job_actions.retry(job_id=jobs[2], deadline_s=60) == 1
    assert _counts(engine, batch_id)["states"] == {"queued": 1, "succeeded": 2, "cancelled": 1}
    assert store.job_actions.retry(batch_id=batch_id, deadline_s=60) == 1
    assert store.job_actions.retry_truncated(batch_id=batch_id, deadline_s=60, max_tokens=900) == 1
    assert _counts(engine, batch_id)["states"] == {"queued": 3, "succeeded": 1}


def test_a_rescue_and_a_correction_are_counted(store: Store, engine: Engine) -> None:
    batch_id, jobs = accepted(store.ledger, 3)
    _opened(store, jobs[0])
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET lease_until = '2026-01-01 00:00:00' WHERE state = 'running'"))
    (stray,) = store.leases.strays(limit=9)
    left = Rescue(state=State.FAILED, outcome="poison", error=None, rung=0, given_up={}, crashes=5, rebuys=0)
    assert store.leases.rescue(stray, left)
    answered(store.ledger, jobs[1])
    answered(store.ledger, jobs[2], cost_usd=None, cost_status=CostStatus.UNKNOWN)
    counts = _counts(engine, batch_id)
    assert counts["states"] == {"failed": 1, "succeeded": 2}
    assert (counts["unknown_costs"], counts["cost_usd"]) == (1, Decimal("0.01"))
    dearer, scope = PriceBook(parse_costs("claude-opus-4-7:10:50")), Scope(since=datetime(2026, 1, 1, tzinfo=UTC))
    for _ in range(2):  # the second run changes nothing
        assert [*store.repricing.run(scope, dearer)]
        counts = _counts(engine, batch_id)
        assert (counts["unknown_costs"], counts["cost_usd"]) == (0, Decimal("0.04"))


def test_a_step_that_is_stopped_has_failed(store: Store, engine: Engine) -> None:
    jobs = new_jobs(3)
    batch_id = store.ledger.enqueue(new_batch(), jobs, new_steps(jobs, OnFailedPart.STOP))
    assert store.ledger.finish(claimed(store.ledger, jobs[0].id), failed(outcome=Outcome.CUT), None)
    while store.steps.release_ready_steps(limit=9, live_s=900).stopped:
        _counts(engine, batch_id)
    assert _counts(engine, batch_id)["states"] == {"failed": 3}


def test_an_attempt_that_fits_under_no_cap_is_not_counted(store: Store, engine: Engine) -> None:
    batch_id, jobs = accepted(store.ledger, 3, max_cost_usd=Decimal("1.5"))
    cap: dict[str, Any] = {"caps": (Cap(scope=batch_scope(batch_id), cap_usd=None),), "worst_case_usd": Decimal(1)}
    with ThreadPoolExecutor(3) as threads:  # some share a group
        opened = [
            *threads.map(lambda job_id: store.ledger.open_attempt(claimed(store.ledger, job_id), opening(**cap)), jobs)
        ]
    assert sorted(isinstance(one, OverCap) for one in opened) == [False, True, True]
    assert _counts(engine, batch_id)["attempts"] == 1


def test_many_writers_at_once_lose_no_count(store: Store, engine: Engine) -> None:
    batch_id, jobs = accepted(store.ledger, 60)
    ledgers = [Ledger(engine, worker=f"worker-{number}", counted_from=1) for number in range(3)]
    with ThreadPoolExecutor(12) as threads:
        ended = [threads.submit(answered, ledgers[number % 3], job_id) for number, job_id in enumerate(jobs)]
        ordered = [threads.submit(store.job_actions.cancel, batch_id, states=[State.QUEUED]) for _ in range(2)]
        again = [threads.submit(store.job_actions.retry, batch_id=batch_id, deadline_s=60) for _ in range(4)]
        assert [one.exception() for one in ordered] == [None, None]
        assert [one.exception() for one in again] == [None] * 4
        raised = [one.exception() for one in ended]  # a cancelled job cannot be claimed
    counts = _counts(engine, batch_id)
    assert counts["attempts"] == counts["states"].get("succeeded", 0) == raised.count(None)
    assert sum(counts["states"].values()) == 60
