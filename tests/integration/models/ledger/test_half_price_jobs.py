"""Jobs of the half-price lane as a person orders them, as steps, and while their batch arrives; on both engines."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, text

from models.ids import new_id
from models.job.map_reduce import OnFailedPart
from models.job.message_batch import NewMessageBatch
from models.ledger.batches import BatchWriter
from models.outcome import Outcome
from models.schema.job import job_row
from models.store import Store
from tests.support.ledgers.job_values import (
    answered,
    claimed,
    failed,
    new_batch,
    new_job,
    new_steps,
    opening,
    parked,
    succeeded,
)

DAY_S = 86_400.0
_LIVE_FROM_S = DAY_S - 900
_WAITS = ("waiting", "half_price")


@pytest.fixture
def store(engine: Engine) -> Store:
    """Open everything over one ledger."""
    return Store(engine, worker="here")


def _accepted(store: Store, count: int, *, steps: bool = False, **changes: Any) -> tuple[str, list[str]]:
    jobs = [new_job(seq, **{"live_from_s": _LIVE_FROM_S} | changes) for seq in range(1, count + 1)]
    placed = new_steps(jobs, OnFailedPart.NAME) if steps else []
    return store.ledger.enqueue(new_batch(), jobs, placed), [job.id for job in jobs]


def _where(store: Store, ids: list[str]) -> list[tuple[str, str | None]]:
    rows = [store.reports.job(job_id) for job_id in ids]
    return [(row["state"], row["outcome"]) for row in rows]


def _live_before_deadline(row: Mapping[str, Any]) -> timedelta:
    left: timedelta = row["deadline_at"] - row["due_at"]
    return left


def _candidates(store: Store) -> set[str]:
    return {found.claim.job_id for found in store.message_batches.candidates(limit=100)}


def _packed(store: Store, count: int) -> str:
    """Put some jobs that wait into a message batch."""
    found, made = store.message_batches.candidates(limit=count), new_id()
    items = [(one.claim, opening(message_batch_id=made)) for one in found]
    new = NewMessageBatch(
        id=made, namespace="key", model="claude-opus-4-7", headers={}, switch_in_s=_LIVE_FROM_S, items=items
    )
    assert store.message_batches.open(new).size == count
    return made


def _make_due(engine: Engine, job_id: str) -> None:
    """Let a job go live, as at its switch time."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET due_at = created_at WHERE id = :id"), {"id": job_id})


def _finish_live(store: Store, engine: Engine, job_id: str) -> None:
    _make_due(engine, job_id)
    answered(store.ledger, job_id)


def test_cancel_counts_the_items_that_may_still_be_billed(store: Store, engine: Engine) -> None:
    batch_id, ids = _accepted(store, 4)
    _packed(store, 2)
    (waiting,) = [job_id for job_id in ids[3:] if job_id in _candidates(store)]
    _make_due(engine, waiting)
    claimed(store.ledger, waiting)
    cancelled = store.job_actions.cancel(batch_id)
    assert (cancelled.jobs, cancelled.in_flight, cancelled.items) == (4, 1, 2)
    assert store.job_actions.cancel(batch_id) == (0, 0, 2), "they are under way all the same"
    assert store.job_actions.cancel(_accepted(store, 1)[0]).items == 0


def test_retry_restarts_jobs_of_the_lane_in_the_lane_and_others_live(store: Store, engine: Engine) -> None:
    batch_id, ids = _accepted(store, 2)
    live_id, (live,) = _accepted(store, 1, live_from_s=None)
    _make_due(engine, ids[0])
    claimed(store.ledger, ids[0])
    counts = []
    for batch in (batch_id, live_id):
        store.job_actions.cancel(batch)
        counts.append(store.job_actions.retry(batch_id=batch, deadline_s=DAY_S, live_from_s=_LIVE_FROM_S))
    assert counts == [2, 1]
    assert _where(store, [*ids, live]) == [_WAITS, _WAITS, ("queued", None)]
    assert _candidates(store) == {*ids}
    assert store.ledger.claim(ids[1], lease_s=9) is None
    assert abs(_live_before_deadline(store.reports.job(ids[1])) - timedelta(seconds=900)) < timedelta(seconds=1)


@pytest.mark.parametrize("live_from_s", [None, 0.0])
def test_retry_without_the_time_for_a_message_batch_goes_live(store: Store, live_from_s: float | None) -> None:
    batch_id, (job_id,) = _accepted(store, 1)
    store.job_actions.cancel(batch_id)
    assert store.job_actions.retry(job_id=job_id, deadline_s=600, live_from_s=live_from_s) == 1
    assert _candidates(store) == set()
    assert claimed(store.ledger, job_id).deadline_s > 500


def test_a_cut_answer_is_asked_for_again_in_the_lane(store: Store, engine: Engine) -> None:
    batch_id, (job_id,) = _accepted(store, 1)
    _make_due(engine, job_id)
    answered(store.ledger, job_id, ending=succeeded(outcome=Outcome.TRUNCATED, is_truncated=True))
    retry = partial(store.job_actions.retry_truncated, batch_id=batch_id, max_tokens=900)
    assert retry(deadline_s=DAY_S, live_from_s=_LIVE_FROM_S) == 1
    assert _where(store, [job_id]) == [_WAITS]


def test_a_pause_holds_jobs_that_wait_for_a_message_batch_and_a_release_lets_them_wait_again(store: Store) -> None:
    batch_id, ids = _accepted(store, 3)
    _packed(store, 1)
    assert store.job_actions.pause(batch_id, because="25 jobs in a row") == 2
    assert _candidates(store) == set()
    assert store.job_actions.release(batch_id=batch_id, deadline_s=DAY_S, live_from_s=_LIVE_FROM_S) == 2
    assert sorted(_where(store, ids)) == [_WAITS, _WAITS, ("waiting", "message_batch")]


def test_a_held_call_that_may_be_billed_is_bought_again_live(store: Store, engine: Engine) -> None:
    _, (job_id,) = _accepted(store, 1)
    _make_due(engine, job_id)
    store.ledger.finish(claimed(store.ledger, job_id), parked(0, outcome=Outcome.UNKNOWN), None)
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET due_at = NULL"))
    assert store.job_actions.release(job_id=job_id, deadline_s=DAY_S, live_from_s=_LIVE_FROM_S) == 1
    claim = claimed(store.ledger, job_id)
    assert (claim.is_rebuy, store.reports.job(job_id)["rebuys"]) == (True, 1)


def test_a_step_of_the_lane_waits_for_its_parts_and_then_for_a_message_batch(store: Store, engine: Engine) -> None:
    batch_id, (part, middle, top) = _accepted(store, 3, steps=True)
    assert _where(store, [part, middle, top]) == [_WAITS, ("waiting", "parts"), ("waiting", "parts")]
    assert _candidates(store) == {part}
    _finish_live(store, engine, part)
    assert store.steps.release_ready_steps(limit=9, live_s=900).asked == 1
    assert _candidates(store) == {middle}
    row = store.reports.job(middle)
    assert (row["outcome"], _live_before_deadline(row)) == ("half_price", timedelta(seconds=900))
    assert row["params"]["messages"][0]["content"].startswith("Merge: ")
    _finish_live(store, engine, middle)
    store.job_actions.cancel(batch_id)
    assert store.job_actions.retry(batch_id=batch_id, deadline_s=DAY_S, live_from_s=_LIVE_FROM_S) == 1
    assert store.steps.release_ready_steps(limit=9, live_s=900).asked == 1
    assert _candidates(store) == {top}


def test_a_step_without_the_time_for_a_message_batch_goes_live(store: Store, engine: Engine) -> None:
    _, (part, middle, _) = _accepted(store, 3, steps=True)
    _finish_live(store, engine, part)
    assert store.steps.release_ready_steps(limit=9, live_s=DAY_S + 60).asked == 1
    assert _candidates(store) == set()
    assert claimed(store.ledger, middle).deadline_s > 0


def test_steps_wait_again_for_a_part_that_is_retried_in_the_lane(store: Store, engine: Engine) -> None:
    batch_id, ids = _accepted(store, 4, steps=True)
    _finish_live(store, engine, ids[0])
    _make_due(engine, ids[1])
    store.ledger.finish(claimed(store.ledger, ids[1]), failed(), None)
    store.steps.release_ready_steps(limit=9, live_s=900)
    _finish_live(store, engine, ids[2])
    assert store.job_actions.retry(batch_id=batch_id, deadline_s=DAY_S, live_from_s=_LIVE_FROM_S) == 2
    assert _where(store, ids) == [("succeeded", "answered"), _WAITS, ("waiting", "parts"), ("waiting", "parts")]


def test_no_job_is_packed_before_the_last_part_of_its_batch_is_there(store: Store, engine: Engine) -> None:
    batch, jobs = new_batch(), [new_job(seq, live_from_s=_LIVE_FROM_S) for seq in range(1, 5)]
    seen = list[set[str]]()

    def arriving() -> Any:
        for job in jobs:
            seen.append(_candidates(store))
            yield job_row(batch.id, job)

    BatchWriter(engine, most_at_once=0, rows_of_a_part=2).enqueue_rows(batch, arriving(), count=4)
    assert seen == [set()] * 4
    assert _candidates(store) == {job.id for job in jobs}
