"""Operations that wait share one commit, and each stands on its own feet; on both engines."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from decimal import Decimal
from threading import Event
from time import sleep
from typing import Any, TypeVar

import pytest
from sqlalchemy import Engine, func, insert, select, text

from models.database.compiled_sql import Cursor
from models.database.group_commit import GroupCommit
from models.ledger.claims import CLAIM
from models.ledger.ledger import Ledger
from models.schema.budget import BudgetRow
from models.schema.job import Job
from tests.support.ledgers.job_values import LEASE_S, accepted, claimed, opening
from tests.support.servers.fixtures import opened
from tests.support.sites.command_line import ROOT

T = TypeVar("T")
_WITHIN_S = 30
_ADD = insert(BudgetRow)


def _bare(error: Exception) -> Exception:
    return error


def _submitted(writer: GroupCommit, write: Callable[[Cursor], T]) -> Future[T]:
    written: Future[T] = Future()
    writer.submit(write, written)
    return written


@pytest.fixture
def writer(engine: Engine) -> GroupCommit:
    return GroupCommit(engine, error_of=_bare)


@contextmanager
def _one_group(writer: GroupCommit) -> Iterator[None]:
    """Hold the writer until the end of the block, so that the block's operations wait together."""
    is_held, may_go = Event(), Event()

    def hold(_cursor: Cursor) -> bool:
        is_held.set()
        return may_go.wait(_WITHIN_S)

    held = _submitted(writer, hold)
    assert is_held.wait(_WITHIN_S)
    yield
    may_go.set()
    assert held.result(_WITHIN_S)


def _claim(job_id: str) -> Callable[[Cursor], Any]:
    given = {"job_id": job_id, "lease_s": LEASE_S, "holder": "one"}
    return lambda cursor: cursor.first(CLAIM, given)


def _add(scope: str) -> Callable[[Cursor], int]:
    nothing = dict.fromkeys(("spent_nano_usd", "unknown_nano_usd", "reserved_nano_usd"), Decimal(0))
    return lambda cursor: cursor.count(_ADD, {"scope": scope, "day": "", "cap_nano_usd": Decimal(1), **nothing})


def _running(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(Job).where(Job.state == "running")) or 0


def test_operations_that_wait_are_one_transaction(engine: Engine, ledger: Ledger, writer: GroupCommit) -> None:
    _, jobs = accepted(ledger, 20)
    uncommitted = []

    def count_of_others(_cursor: Cursor) -> None:
        uncommitted.append(_running(engine))

    with _one_group(writer):
        written = [_submitted(writer, _claim(job)) for job in jobs]
        _submitted(writer, count_of_others)
    assert all(one.result(_WITHIN_S) for one in written)
    assert uncommitted == [0]  # nobody else saw a part of the group
    assert _running(engine) == 20


def test_an_operation_that_fails_undoes_itself_alone(engine: Engine, ledger: Ledger, writer: GroupCommit) -> None:
    _, jobs = accepted(ledger, 3)

    def failing(cursor: Cursor) -> None:
        assert _claim(jobs[1])(cursor)
        raise LookupError("a mistake of ours")

    with _one_group(writer):
        first, bad, last = (_submitted(writer, write) for write in (_claim(jobs[0]), failing, _claim(jobs[2])))
    with pytest.raises(LookupError, match="a mistake of ours"):
        bad.result(_WITHIN_S)
    assert first.result(_WITHIN_S)
    assert last.result(_WITHIN_S)
    assert _running(engine) == 2


def test_an_operation_that_takes_back_its_writes_leaves_the_others(engine: Engine, writer: GroupCommit) -> None:
    def undone(cursor: Cursor) -> str:
        _add("tag:two")(cursor)
        cursor.undo()
        return "over"

    with _one_group(writer):
        written = [_submitted(writer, write) for write in (_add("tag:one"), undone, _add("tag:three"))]
    assert [one.result(_WITHIN_S) for one in written] == [1, "over", 1]
    with engine.connect() as connection:
        assert sorted(connection.scalars(select(BudgetRow.scope))) == ["tag:one", "tag:three"]


def test_a_broken_constraint_is_its_operations_alone(engine: Engine, writer: GroupCommit) -> None:
    with _one_group(writer):
        first, twice, other = (_submitted(writer, _add(scope)) for scope in ("tag:one", "tag:one", "tag:two"))
    assert (first.result(_WITHIN_S), other.result(_WITHIN_S)) == (1, 1)
    with pytest.raises(engine.dialect.loaded_dbapi.IntegrityError):
        twice.result(_WITHIN_S)


def test_an_operation_whose_job_is_locked_keeps_no_other_waiting(postgres_url: str) -> None:
    with opened(postgres_url) as engine:
        ledger, writer = Ledger(engine, worker="here"), GroupCommit(engine, error_of=_bare)
        _, jobs = accepted(ledger, 3)
        with engine.begin() as cancelling:
            cancelling.execute(text("UPDATE jobs SET rounds = 0 WHERE id = :job"), {"job": jobs[1]})
            with _one_group(writer):
                free, locked, other = (_submitted(writer, _claim(job)) for job in jobs)
            assert free.result(5)
            assert other.result(5)
            assert not locked.done()
        assert locked.result(_WITHIN_S)
        assert _running(engine) == 3


def test_locked_counts_of_a_batch_keep_a_group_waiting_and_fail_none(postgres_url: str) -> None:
    with opened(postgres_url) as engine:
        ledger = Ledger(engine, worker="here", counted_from=2)
        _, jobs = accepted(ledger, 4)
        claims = [claimed(ledger, job) for job in jobs[:3]]
        ledger.open_attempt(claims[0], opening())  # makes the counts of this writer
        with engine.begin() as slow:
            slow.execute(text("UPDATE batch_counts SET attempts = attempts WHERE writer = 'here'"))
            opened_as = [Future[Any]() for _ in claims[1:]]
            for claim, reply in zip(claims[1:], opened_as, strict=True):
                ledger.submit_open(claim, opening(), reply)
            sleep(1)  # many times the lock_timeout of a group
        assert [reply.result(_WITHIN_S) for reply in opened_as] == [True, True]


def test_on_a_full_disk_what_has_room_is_written(sqlite_url: str) -> None:
    with opened(sqlite_url) as engine:
        writer = GroupCommit(engine, error_of=_bare)
        with engine.connect() as connection:
            pages = connection.scalar(text("PRAGMA page_count")) or 0

        def limited(cursor: Cursor) -> None:
            cursor.run(f"PRAGMA max_page_count = {pages + 4}")

        _submitted(writer, limited).result(_WITHIN_S)  # of the one connection that the writer uses
        with _one_group(writer):
            small, large, other = (_submitted(writer, _add(scope)) for scope in ("tag:one", "x" * 100_000, "tag:two"))
        assert (small.result(_WITHIN_S), other.result(_WITHIN_S)) == (1, 1)
        with pytest.raises(engine.dialect.loaded_dbapi.OperationalError, match="full"):
            large.result(_WITHIN_S)


def test_a_lost_database_is_every_operations_error_and_the_next_group_goes_on(
    engine: Engine, writer: GroupCommit
) -> None:
    def lose(cursor: Cursor) -> None:
        cursor.run("ROLLBACK")
        raise engine.dialect.loaded_dbapi.OperationalError("the connection is lost")

    with _one_group(writer):
        written = [_submitted(writer, write) for write in (_add("tag:one"), lose, _add("tag:two"))]
    for one in written:
        with pytest.raises(engine.dialect.loaded_dbapi.OperationalError, match="lost"):
            one.result(_WITHIN_S)
    assert _submitted(writer, _add("tag:one")).result(_WITHIN_S) == 1


_KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from models.database.group_commit import GroupCommit
from tests.integration.models.ledger.test_group_commit import _bare, _claim, _one_group, _submitted
from tests.support.servers.fixtures import opened

with opened({url!r}) as engine:
    writer = GroupCommit(engine, error_of=_bare)
    with _one_group(writer):
        first = _submitted(writer, _claim({first!r}))
        _submitted(writer, lambda cursor: os.kill(os.getpid(), signal.SIGKILL))
    first.result(30)
"""


def test_a_writer_killed_between_two_operations_has_written_none(
    engine: Engine, ledger: Ledger, database_url: str
) -> None:
    _, (first,) = accepted(ledger)
    script = _KILLED.format(root=str(ROOT), url=database_url, first=first)
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, capture_output=True, timeout=60)
    assert ended.returncode == -9, ended.stderr
    assert _running(engine) == 0
    assert ledger.claim(first, lease_s=LEASE_S) is not None
