"""A large batch is written in parts: nobody sees it before the last of them, and what a crash leaves never runs."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text

from models.errors import KeyConflictError, LedgerError, NotFoundError
from models.job.values import NewBatch
from models.ledger.batches import BatchWriter
from models.ledger.outbox import Outbox
from models.outcome import State
from models.reports.jobs import Reports
from models.schema.job import JobRow, job_row
from tests.support.ledgers.job_values import accepted, new_batch, new_job
from tests.support.threads_at_once import at_once

_ROOT = Path(__file__).parents[4]
_CRASH = """
import os, signal, sys
from decimal import Decimal
from models.ledger.batches import BatchWriter
from models.database.engine import open_database
from models.schema.job import job_row
from tests.support.ledgers.job_values import new_batch, new_jobs

def until_killed(batch):
    yield from (job_row(batch.id, job) for job in new_jobs(25))
    os.kill(os.getpid(), signal.SIGKILL)

batch = new_batch(key="monday", max_cost_usd=Decimal(1))
writer = BatchWriter(open_database(sys.argv[1]), most_at_once=10, rows_of_a_part=10)
writer.enqueue_rows(batch, until_killed(batch), count=30)
"""


def rows_of(batch: NewBatch, count: int, **changes: Any) -> Iterator[JobRow]:
    return (job_row(batch.id, new_job(seq, **changes)) for seq in range(1, count + 1))


def in_parts(engine: Engine, **changes: Any) -> BatchWriter:
    return BatchWriter(engine, **{"most_at_once": 10, "rows_of_a_part": 10, **changes})


def count_of(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608 - our own word


def left_in(engine: Engine) -> list[int]:
    return [count_of(engine, table) for table in ("batches", "jobs", "budgets")]


def test_a_large_batch_is_whole_and_has_one_deadline(engine: Engine, reports: Reports, outbox: Outbox) -> None:
    batch = new_batch(name="large", key="monday", max_cost_usd=Decimal(2), deadline_s=60)
    assert in_parts(engine).enqueue_rows(batch, rows_of(batch, 35), count=35) == batch.id
    progress = reports.progress(batch.id)
    assert (progress.job_count, progress.states, progress.cap_usd) == (35, {State.QUEUED: 35}, Decimal(2))
    assert [answer.id for answer in reports.answers(batch.id)] == [str(seq) for seq in range(1, 36)]
    assert [batch.batch_id for batch in reports.batches(limit=9)] == [batch.id]
    assert len(outbox.unsent(0, limit=99)) == 35
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(DISTINCT deadline_at) FROM jobs")) == 1


@pytest.mark.parametrize("is_urgent", [False, True])
def test_nobody_sees_a_batch_before_its_last_part(
    engine: Engine, reports: Reports, outbox: Outbox, is_urgent: bool
) -> None:
    batch = new_batch(key="monday")
    seen = []

    def looked_at() -> Iterator[JobRow]:
        for row in rows_of(batch, 30, is_urgent=is_urgent):
            if row.seq == 25:
                sendable = [*outbox.unsent(0, limit=9), *outbox.urgent(limit=9)]
                seen.append((count_of(engine, "jobs"), sendable, reports.batches(limit=9)))
            yield row

    in_parts(engine).enqueue_rows(batch, looked_at(), count=30)
    assert seen == [(20, [], [])]
    assert len([*outbox.unsent(0, limit=99), *outbox.urgent(limit=99)]) == 30


def test_what_fails_in_the_middle_leaves_nothing(engine: Engine) -> None:
    batch = new_batch(key="monday", max_cost_usd=Decimal(1))

    def failing() -> Iterator[JobRow]:
        yield from rows_of(batch, 25)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_parts(engine).enqueue_rows(batch, failing(), count=30)
    assert left_in(engine) == [0, 0, 0]
    again = new_batch(key="monday")
    assert in_parts(engine).enqueue_rows(again, rows_of(again, 25), count=25) == again.id


def test_what_a_killed_producer_leaves_never_runs_and_the_next_large_batch_removes_it(
    engine: Engine, database_url: str, outbox: Outbox, reports: Reports
) -> None:
    killed = subprocess.run([sys.executable, "-c", _CRASH, database_url], cwd=_ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert left_in(engine) == [1, 20, 1]
    assert (outbox.unsent(0, limit=9), outbox.urgent(limit=9), reports.batches(limit=9)) == ([], [], [])
    for find in (reports.batch_id, reports.job_id):
        with pytest.raises(NotFoundError):
            find("0")
    assert in_parts(engine).forget_lost() == 0  # it may be arriving still
    with engine.begin() as connection:
        connection.execute(text("UPDATE batches SET created_at = '2026-01-01 00:00:00'"))
    batch = new_batch(key="monday")  # the key of the one that is lost
    assert in_parts(engine).enqueue_rows(batch, rows_of(batch, 11), count=11) == batch.id
    assert left_in(engine) == [1, 11, 0]
    assert len(outbox.unsent(0, limit=99)) == 11


def test_who_was_taken_for_lost_is_told_and_adds_nothing_more(engine: Engine) -> None:
    batch = new_batch()

    def paused() -> Iterator[JobRow]:
        for row in rows_of(batch, 40):
            if row.seq == 25:
                assert in_parts(engine).forget_lost(older_than_s=-60) == 1
            yield row

    with pytest.raises(LedgerError, match="taken for lost"):
        in_parts(engine).enqueue_rows(batch, paused(), count=40)
    assert left_in(engine) == [0, 0, 0]


def test_the_same_key_and_content_is_the_same_batch_in_parts_too(engine: Engine) -> None:
    first, other = new_batch(key="monday"), new_batch(key="monday")
    in_parts(engine).enqueue_rows(first, rows_of(first, 25), count=25)

    def untouched() -> Iterator[JobRow]:
        if first.id:
            pytest.fail("a row was asked for")
        yield from rows_of(other, 1)

    assert in_parts(engine).enqueue_rows(other, untouched(), count=25) == first.id
    changed = new_batch(key="monday", content_sha256="1" * 64)
    with pytest.raises(KeyConflictError, match=f"'monday' was used for batch {first.id}"):
        in_parts(engine).enqueue_rows(changed, untouched(), count=25)
    assert left_in(engine) == [1, 25, 0]


def test_many_who_write_the_same_in_parts_at_once_get_one_batch(engine: Engine) -> None:
    def write(_: int) -> str:
        batch = new_batch(key="monday")
        return in_parts(engine).enqueue_rows(batch, rows_of(batch, 25), count=25)

    assert len(set(at_once(6, write))) == 1
    assert left_in(engine) == [1, 25, 0]


def test_a_small_batch_takes_the_key_from_a_large_one_that_is_still_arriving(engine: Engine, ledger: Any) -> None:
    large = new_batch(key="monday")
    small = []

    def overtaken() -> Iterator[JobRow]:
        for row in rows_of(large, 30):
            if row.seq == 25:
                small.append(accepted(ledger, 3, key="monday")[0])
            yield row

    assert in_parts(engine).enqueue_rows(large, overtaken(), count=30) == small[0]
    assert left_in(engine) == [1, 3, 0]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("patience_s", "is_kept"), [(60, True), (0, False)])
def test_a_ledger_that_is_busy_makes_it_slower_until_patience_ends(
    engine: Engine, patience_s: float, is_kept: bool
) -> None:
    batch, locked, refused = new_batch(), threading.Event(), threading.Event()
    hurried = create_engine(engine.url, connect_args={"timeout": 0, "isolation_level": "IMMEDIATE"}, paramstyle="named")
    event.listen(hurried, "handle_error", lambda _context: refused.set())

    def hold() -> None:
        with engine.begin() as connection:
            connection.execute(text("UPDATE batches SET weight = 1"))
            locked.set()
            refused.wait(20)

    def locked_meanwhile() -> Iterator[JobRow]:
        for row in rows_of(batch, 30):
            if row.seq == 15:
                holder.start()
                assert locked.wait(20)
            yield row

    holder = threading.Thread(target=hold)
    batches = in_parts(hurried, patience_s=patience_s)
    try:
        if is_kept:
            assert batches.enqueue_rows(batch, locked_meanwhile(), count=30) == batch.id
        else:
            with pytest.raises(LedgerError, match="locked"):
                batches.enqueue_rows(batch, locked_meanwhile(), count=30)
        assert refused.is_set()
    finally:
        holder.join()
        hurried.dispose()
    in_parts(engine).forget_lost(older_than_s=-60)  # where it could not even remove it
    assert count_of(engine, "jobs") == (30 if is_kept else 0)
