"""A batch is written whole or not at all, and under one key only once; on both engines."""

from concurrent.futures import Future
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from models.chain.chain import RungRange
from models.errors import KeyConflictError
from models.ids import new_id
from models.job.values import NewBatch, NewJob, Unsent
from models.ledger.ledger import Ledger
from models.ledger.outbox import Outbox
from models.outcome import Outcome, Refused, State
from models.reports.jobs import Reports
from models.schema.job import job_row
from tests.support.ledgers.job_values import accepted, claimed, new_batch, new_job, new_jobs
from tests.support.threads_at_once import at_once


def _count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608 - our own word


def _submitted(ledger: Ledger, batch: NewBatch, job: NewJob) -> Future[str]:
    """Have a batch of one job written in the writer's group."""
    kept_as: Future[str] = Future()
    ledger.submit_one(batch, job_row(batch.id, job), kept_as)
    return kept_as


def _rows_of(engine: Engine, batch_id: str) -> dict[str, Any]:
    """Read all that a batch of one job wrote, but ids and times."""
    with engine.connect() as connection:
        of = {"batch": batch_id, "scope": f"batch:{batch_id}"}
        batch = connection.execute(text("SELECT * FROM batches WHERE id = :batch"), of).mappings().one()
        job = connection.execute(text("SELECT * FROM jobs WHERE batch_id = :batch"), of).mappings().one()
        caps = connection.execute(text("SELECT * FROM budgets WHERE scope = :scope"), of).mappings().all()
        # The deadline is some seconds after the creation, by the database's own clock.
        seconds = "strftime('%s', deadline_at) - strftime('%s', created_at)"
        if engine.dialect.name == "postgresql":
            seconds = "extract(epoch FROM deadline_at - created_at)"
        left_s = connection.scalar(text(f"SELECT {seconds} FROM jobs WHERE batch_id = :batch"), of)  # noqa: S608
    kept = {f"{place}.{name}": value for place, row in (("batch", batch), ("job", job)) for name, value in row.items()}
    own = ("batch.id", "batch.idempotency_key", "job.id", "job.batch_id")
    read = {
        name: value
        for name, value in kept.items()
        if name not in own and not name.endswith(("created_at", "deadline_at"))
    }
    return read | {"left_s": round(float(left_s or 0)), "caps": [{**cap, "scope": ""} for cap in caps]}


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


@pytest.mark.parametrize("deadline_s", [None, 90.0])
def test_a_batch_of_one_in_a_group_is_the_batch_that_is_written_alone(
    ledger: Ledger, engine: Engine, deadline_s: float | None
) -> None:
    job = new_job(
        task="summarize",
        params={"max_tokens": 9, "messages": [{"role": "user", "content": "caf\u00e9 \ud800"}]},
        columns={"": "\u00fc"},
        headers={"anthropic-version": "2023-06-01"},
        expects={"min_chars": 3},
        climb_on=frozenset({Outcome.REFUSED, Outcome.EMPTY}),
        patience_s=1.5,
        is_urgent=True,
        deadline_s=deadline_s,
    )
    batch = {"task": "summarize", "tags": {"team": "\u00fc"}, "max_cost_usd": Decimal("0.25"), "deadline_s": 60}
    alone, grouped = new_batch(key="a", **batch), new_batch(key="b", **batch)
    ledger.enqueue(alone, [job])
    assert _submitted(ledger, grouped, replace(job, id=new_id())).result(30) == grouped.id
    assert _rows_of(engine, grouped.id) == _rows_of(engine, alone.id)
    assert _rows_of(engine, grouped.id)["left_s"] == (deadline_s or 60)


def test_many_batches_of_one_under_one_key_are_one_job(ledger: Ledger, engine: Engine) -> None:
    ids = at_once(12, lambda _: _submitted(ledger, new_batch(key="monday"), new_job()).result(30))
    assert len(set(ids)) == 1
    assert (_count(engine, "batches"), _count(engine, "jobs")) == (1, 1)


def test_a_key_of_other_content_is_refused_without_harm_to_its_group(ledger: Ledger, engine: Engine) -> None:
    first = _submitted(ledger, new_batch(key="monday"), new_job()).result(30)
    batches = [new_batch(key=key, content_sha256=f"{number:064}") for number, key in enumerate(["monday", "b", "c"], 1)]
    refused, *others = [_submitted(ledger, batch, new_job()) for batch in batches]
    with pytest.raises(KeyConflictError, match=f"'monday' was used for batch {first}"):
        refused.result(30)
    assert [one.result(30) for one in others] == [batch.id for batch in batches[1:]]
    assert (_count(engine, "batches"), _count(engine, "jobs")) == (3, 3)


def test_a_job_that_is_received_first_is_not_marked_as_sent(ledger: Ledger, reports: Reports) -> None:
    job, other = new_job(is_urgent=True), new_job(is_urgent=True)
    for one in (job, other):
        _submitted(ledger, new_batch(), one).result(30)
    claimed(ledger, job.id)
    claimed_at = reports.job(job.id)["sent_at"]
    ledger.submit_sent([Unsent(id=one.id, rung=0, is_urgent=True) for one in (job, other)])
    _submitted(ledger, new_batch(), new_job()).result(30)  # the writer takes operations in their order
    assert (reports.job(job.id)["sent_at"], reports.job(other.id)["sent_at"] is None) == (claimed_at, False)
