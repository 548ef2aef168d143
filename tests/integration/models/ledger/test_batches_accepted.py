"""A batch is written whole or not at all, and under one key only once; on both engines."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from models.chain.chain import RungRange
from models.errors import KeyConflictError
from models.ledger.ledger import Ledger
from models.ledger.outbox import Outbox
from models.outcome import Outcome, Refused, State
from models.reports.jobs import Reports
from tests.support.ledgers.job_values import accepted, claimed, new_batch, new_job, new_jobs
from tests.support.threads_at_once import at_once


def _count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608 - our own word


def test_a_batch_is_kept_with_all_it_was_given(ledger: Ledger, reports: Reports) -> None:
    job = new_job(
        prompt_id="row-7",
        task="summarize",
        span=RungRange(start=1, floor=2, ceiling=0),
        columns={"year": "1912", "": "ü"},
    )
    batch = new_batch(name="Bridges", task="summarize", tags={"team": "maps"}, deadline_s=60)
    assert ledger.enqueue(batch, [job]) == batch.id
    row = reports.job(job.id)
    assert (row["prompt_id"], row["task"], row["batch_id"]) == ("row-7", "summarize", batch.id)
    assert (row["params"], row["columns"]) == (job.params, job.columns)
    assert (row["state"], row["rung"], row["seq"]) == (State.QUEUED, 1, 1)
    assert (row["start_rung"], row["floor_rung"], row["ceiling_rung"]) == (1, 2, 0)
    assert (row["deadline_at"] - row["created_at"]).total_seconds() == pytest.approx(60, abs=0.1)
    assert row["sent_at"] is None


def test_a_batch_of_thousands_is_one_transaction(ledger: Ledger, reports: Reports) -> None:
    batch_id, ids = accepted(ledger, 2_500)
    progress = reports.progress(batch_id)
    assert (progress.job_count, progress.states, progress.cost_usd) == (2_500, {State.QUEUED: 2_500}, Decimal(0))
    assert [answer.job_id for answer in reports.answers(batch_id)] == ids


def test_jobs_of_many_kinds_are_kept_each_with_its_own_in_one_batch(ledger: Ledger, reports: Reports) -> None:
    hostile = 'a\\b\\N\t"\n\r\\.\n\0\ud800ü, end'
    kinds: list[dict[str, Any]] = [
        {},
        {"prefix": "shared", "task": "summarize", "patience_s": 0.5, "climb_on": frozenset({Outcome.EMPTY})},
        {"refused": Refused(outcome=Outcome.TOO_LARGE, error="no model\ttakes \\N it"), "headers": {"a": hostile}},
        {"deadline_s": 7.0, "is_urgent": True, "expects": {"min_chars": 4}, "columns": {hostile: hostile}},
    ]
    jobs = [new_job(seq, **kinds[seq % 4]) for seq in range(1, 1_001)]
    batch = new_batch(deadline_s=60)
    ledger.enqueue(batch, jobs)
    rows = [reports.job(job.id) for job in jobs[:8]]
    for job, row in zip(jobs, rows, strict=False):
        kept = {name: row[name] for name in ("seq", "prompt_id", "task", "params", "columns", "headers", "prefix")}
        assert kept == {name: getattr(job, name) for name in kept}
        assert (row["is_urgent"], row["expects"], row["climb_on"]) == (job.is_urgent, job.expects, _words(job.climb_on))
        assert (row["state"] == State.FAILED, row["error"]) == (bool(job.refused), job.refused and job.refused.error)
        assert (row["finished_at"] is None) == (job.refused is None)
        left_s = (row["deadline_at"] - row["created_at"]).total_seconds()
        assert left_s == pytest.approx(job.deadline_s or 60, abs=0.1)
    states = reports.progress(batch.id).states
    assert states == {State.QUEUED: 750, State.FAILED: 250}


def _words(outcomes: frozenset[Outcome] | None) -> str | None:
    return None if outcomes is None else ",".join(sorted(outcomes))


def test_the_same_key_and_content_is_the_same_batch(ledger: Ledger, engine: Engine) -> None:
    first, _ = accepted(ledger, 3, key="monday")
    again, _ = accepted(ledger, 3, key="monday")
    assert again == first
    assert (_count(engine, "batches"), _count(engine, "jobs")) == (1, 3)


def test_the_same_key_with_other_content_is_refused_and_names_the_batch(ledger: Ledger, engine: Engine) -> None:
    first, _ = accepted(ledger, 3, key="monday")
    with pytest.raises(KeyConflictError, match=f"'monday' was used for batch {first}"):
        accepted(ledger, 4, key="monday", content_sha256="1" * 64)
    assert (_count(engine, "batches"), _count(engine, "jobs")) == (1, 3)


def test_without_a_key_the_same_content_is_another_batch(ledger: Ledger, engine: Engine) -> None:
    assert accepted(ledger)[0] != accepted(ledger)[0]
    assert _count(engine, "batches") == 2


def test_many_who_submit_the_same_at_once_get_one_batch(ledger: Ledger, engine: Engine) -> None:
    ids = at_once(12, lambda _: accepted(ledger, 5, key="monday")[0])
    assert len(set(ids)) == 1
    assert (_count(engine, "batches"), _count(engine, "jobs")) == (1, 5)


def test_many_who_submit_other_content_at_once_get_one_batch_and_conflicts(ledger: Ledger, engine: Engine) -> None:
    def submit(number: int) -> str:
        try:
            return accepted(ledger, 5, key="monday", content_sha256=f"{number:064}")[0]
        except KeyConflictError:
            return "conflict"

    ids = at_once(12, submit)
    assert ids.count("conflict") == 11
    assert (_count(engine, "batches"), _count(engine, "jobs")) == (1, 5)


@pytest.mark.parametrize("key", [None, "monday"])
def test_a_batch_that_fails_half_way_leaves_nothing(ledger: Ledger, engine: Engine, key: str | None) -> None:
    accepted(ledger)  # a batch without a key: it must not be taken for this one
    doubled = [*new_jobs(1_500), new_job(1_501, prompt_id="1")]
    with pytest.raises(IntegrityError):
        ledger.enqueue(new_batch(key=key), doubled)
    assert (_count(engine, "batches"), _count(engine, "jobs")) == (1, 1)


def test_a_key_whose_batch_failed_can_be_used_again(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError):
        ledger.enqueue(new_batch(key="monday"), [new_job(1), new_job(2, prompt_id="1")])
    batch = new_batch(key="monday")
    assert ledger.enqueue(batch, new_jobs(2)) == batch.id


def test_a_call_without_the_queue_is_a_job_without_a_batch(ledger: Ledger, reports: Reports, outbox: Outbox) -> None:
    job = new_job()
    ledger.open_single(job, deadline_s=60)
    assert reports.job(job.id)["batch_id"] is None
    assert outbox.unsent(0, limit=10) == []
    assert claimed(ledger, job.id).batch_id is None
