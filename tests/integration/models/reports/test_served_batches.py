"""Batches made through the server, as the ledger tells them apart: whose, how old, and in the provider's words."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, update

from models.callers import Caller
from models.ledger.job_actions import JobActions
from models.ledger.ledger import Ledger
from models.outcome import State
from models.reports.served_batches import ServedBatches
from models.schema.batch import Batch
from models.schema.columns import db_now
from tests.support.ledgers.job_values import answered, claimed, failed, new_batch, new_job

BOB = Caller(name="bob")


def _kept(ledger: Ledger, key: str, count: int = 1) -> tuple[str, list[str]]:
    batch, jobs = new_batch(key=key, content_sha256="0" * 64), [new_job(seq) for seq in range(1, count + 1)]
    return ledger.enqueue(batch, jobs), [job.id for job in jobs]


def _aged(engine: Engine, batch_id: str, age: timedelta) -> None:
    with engine.begin() as connection:
        now = connection.execute(select(db_now(0.0))).scalar_one()
        connection.execute(update(Batch).where(Batch.id == batch_id).values(created_at=now - age))


@pytest.mark.parametrize(("hours", "is_same"), [(0, True), (23, True), (25, False)])
def test_the_same_content_is_the_same_batch_for_a_day_across_midnight(
    engine: Engine, ledger: Ledger, hours: int, is_same: bool
) -> None:
    batch_id, _ = _kept(ledger, BOB.key("batch", "digest", "2026-11-24"))
    _aged(engine, batch_id, timedelta(hours=hours))
    keys = [BOB.key("batch", "digest", day) for day in ("2026-11-25", "2026-11-24")]
    assert ServedBatches(engine).same(keys) == (batch_id if is_same else None)


@pytest.mark.parametrize("name", ["Bob", "bobby", "bo_", "b%"])
def test_a_scope_is_one_callers_to_the_letter(engine: Engine, ledger: Ledger, name: str) -> None:
    batch_id, (job_id,) = _kept(ledger, BOB.key("batch", "1"))
    served, other = ServedBatches(engine), f"serve/{name}/"
    assert served.has(batch_id, BOB.key())
    assert served.has_job(job_id, BOB.key())
    assert not served.has(batch_id, other)
    assert not served.has_job(job_id, other)
    assert served.page(other, limit=10) == ([], False)
    assert served.one(batch_id, other) is None


def test_jobs_are_counted_in_the_providers_words(engine: Engine, ledger: Ledger) -> None:
    batch_id, (good, bad, late, _) = _kept(ledger, BOB.key("batch", "1"), 4)
    answered(ledger, good)
    ledger.finish(claimed(ledger, bad), failed(), None)
    ledger.finish(claimed(ledger, late), failed(outcome="expired"), None)
    open_still = ServedBatches(engine).one(batch_id, BOB.key())
    assert open_still is not None
    assert open_still.ended_at is None
    JobActions(engine).cancel(batch_id)
    ended = ServedBatches(engine).one(batch_id, BOB.key())
    assert ended is not None
    assert (ended.succeeded, ended.errored, ended.expired, ended.canceled) == (1, 1, 1, 1)
    assert ended.ended_at is not None
    assert ended.cancelled_at is not None


def test_what_has_an_answer_counts_as_the_results_tell_it(engine: Engine, ledger: Ledger) -> None:
    batch_id, (job_id,) = _kept(ledger, BOB.key("batch", "1"))
    answered(ledger, job_id)
    job_actions = JobActions(engine)
    with engine.begin() as connection:  # as an answer that was cut, asked again by a person, and failed
        connection.exec_driver_sql("UPDATE jobs SET state = 'failed'")
    response = ServedBatches(engine).one(batch_id, BOB.key())
    assert response is not None
    assert (response.succeeded, response.errored) == (1, 0)
    assert job_actions.retry(deadline_s=60, states=[State.CANCELLED], batch_id=batch_id) == 0
