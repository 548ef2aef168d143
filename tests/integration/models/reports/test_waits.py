"""Why the open jobs of a batch do not run now, from a real ledger; on both engines."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.event import listen

from models.outcome import State
from models.reports.waits import Waits
from models.schema.columns import db_now
from models.schema.job import Job
from models.store import Store
from tests.support.ledgers.half_price_lane import BATCH, book_lane
from tests.support.ledgers.job_values import accepted, answered, claimed, parked
from tests.support.ledgers.story_rows import HAIKU, MODELS, OPUS

_OUTPUT = "(limit output, left 12.0, needs 300.0, per_minute 8000.0)"


def _held_back(reason: str, model: str, details: str = "") -> str:
    """Word a denial as a worker keeps it with a job."""
    return f"{reason}: no request was made: {model} may be asked in 4.2 s{f' {details}' if details else ''}"


@pytest.fixture
def store(engine: Engine) -> Store:
    """Open a ledger."""
    return Store(engine, worker="here")


def _park(store: Store, job_id: str, due_in_s: float, reason: str, error: str, rung: int = 0) -> None:
    ending = parked(due_in_s, outcome=reason, error=error, rung=rung, given_up={})
    assert store.ledger.finish(claimed(store.ledger, job_id), ending, None)


def test_jobs_that_wait_are_grouped_by_reason_and_model_with_the_first_and_the_last_time(store: Store) -> None:
    batch, (first, last, other, dead) = accepted(store.ledger, 4)
    _park(store, first, 4, "limited", _held_back("limited", OPUS, _OUTPUT))
    _park(store, last, 61, "limited", _held_back("limited", OPUS, _OUTPUT))
    _park(store, other, 30, "full", _held_back("full", HAIKU, "(in_flight 8.0, cap 8.0)"))
    _park(store, dead, 10, "overloaded", "overloaded: Overloaded", rung=1)
    limited, full, overloaded = sorted(store.waits.of_batch(batch, MODELS), key=lambda one: -one.jobs + one.rung)
    assert (limited.stage, limited.reason, limited.rung, limited.about) == ("waiting", "limited", 0, 0)
    assert (limited.jobs, limited.due) == (2, 0)
    assert (limited.limit, limited.per_minute) == ("output", 8000.0)
    assert limited.next_in_s == pytest.approx(4, abs=2)
    assert limited.last_in_s == pytest.approx(61, abs=2)
    assert (full.reason, full.rung, full.about, full.limit) == ("full", 0, 2, None)
    assert (overloaded.reason, overloaded.rung, overloaded.about) == ("overloaded", 1, 1)


def test_a_due_time_that_is_past_is_due_now_and_no_negative_time(store: Store, engine: Engine) -> None:
    batch, (job_id, later) = accepted(store.ledger, 2)
    _park(store, job_id, 4, "circuit_open", _held_back("circuit_open", OPUS))
    _park(store, later, 60, "circuit_open", _held_back("circuit_open", OPUS))
    with engine.begin() as connection:
        now = connection.execute(select(db_now(0.0))).scalar_one()
        connection.execute(update(Job).where(Job.id == job_id).values(due_at=now - timedelta(seconds=90)))
    (found,) = store.waits.of_batch(batch, MODELS)
    assert (found.jobs, found.due, found.next_in_s) == (2, 1, 0.0)


def test_jobs_without_a_message_with_one_and_running_are_told_apart(store: Store, engine: Engine) -> None:
    batch, (_, sent, running, held, done) = accepted(store.ledger, 5)
    other, _ = accepted(store.ledger, 3)
    claimed(store.ledger, running)
    answered(store.ledger, done)
    with engine.begin() as connection:
        now = connection.execute(select(db_now(0.0))).scalar_one()
        connection.execute(update(Job).where(Job.id == sent).values(sent_at=now))
        connection.execute(update(Job).where(Job.id == held).values(state=State.WAITING, due_at=None))
    assert {(one.stage, one.jobs) for one in store.waits.of_batch(batch, MODELS)} == {
        ("queued", 1),
        ("sent", 1),
        ("running", 1),
    }
    assert store.waits.of_batch(other, MODELS) == [Waits(stage="queued", rung=0, jobs=3)]


def test_jobs_at_half_price_show_the_age_of_their_message_batches_and_when_they_go_live(
    store: Store, engine: Engine
) -> None:
    with engine.connect() as connection:
        start = connection.execute(select(db_now(-3600.0))).scalar_one()
    book_lane(engine, since=start)
    under_way, to_pack = sorted(store.waits.of_batch(BATCH, MODELS), key=lambda one: one.reason, reverse=True)
    assert (under_way.reason, under_way.jobs, to_pack.reason, to_pack.jobs) == ("message_batch", 1, "half_price", 1)
    assert under_way.under_way_s == pytest.approx(3480, abs=20)
    assert under_way.next_in_s == under_way.last_in_s == pytest.approx(3600, abs=20)
    assert to_pack.next_in_s == pytest.approx(3900, abs=20)
    assert to_pack.under_way_s is None


@pytest.mark.parametrize("others", [0, 300], ids=["no statistics", "statistics of batches of one"])
def test_waits_are_read_from_partial_indexes_alone(store: Store, engine: Engine, others: int) -> None:
    batch, _ = accepted(store.ledger)
    for _ in range(others):
        accepted(store.ledger)
    if others:
        with engine.begin() as connection:
            connection.execute(text("ANALYZE jobs"))
    seen: list[str] = []
    is_sqlite = engine.dialect.name == "sqlite"

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_more: object) -> None:
        if "open_jobs" in statement and "EXPLAIN" not in statement:
            with engine.connect() as connection:
                if not is_sqlite:
                    connection.execute(text("SET LOCAL enable_seqscan = off"))
                asked = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
                rows = connection.exec_driver_sql(f"{asked} {statement}", parameters)  # type: ignore[arg-type]
                seen.append(" ".join(str(row[-1]) for row in rows))

    listen(engine, "before_cursor_execute", note)
    store.waits.of_batch(batch, MODELS)
    (plan,) = seen
    assert [name for name in ("ix_jobs_queued", "ix_jobs_due", "ix_jobs_sent") if name not in plan] == []
    assert "batch_id_" not in plan, "the jobs of a whole batch are read"
