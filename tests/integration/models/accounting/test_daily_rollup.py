"""A day that is over is added up once; what people are told is exact all the time, on both engines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, func, insert, select, text, update

from models.accounting.daily_rollup import Rollup
from models.accounting.spending import Spending
from models.ledger.ledger import Ledger
from models.schema.attempt import Attempt
from models.schema.daily_cost import MARK_STALE, DailyRow
from tests.support.ledgers.half_price_lane import book_message_batch
from tests.support.ledgers.job_values import accepted, answered
from tests.support.ledgers.small_ledger import attempt_row, book, usd
from tests.support.servers.fixtures import opened

_DAYS = [date(2026, 3, 30), date(2026, 3, 31), date(2026, 4, 1)]


@pytest.fixture
def rollup(engine: Engine) -> Rollup:
    """Give the rollup over the ledger by hand."""
    book(engine)
    return Rollup(engine)


def _daily(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM v_cost_daily ORDER BY day, endpoint, model, task, lane"))
        return [tuple(row) for row in rows]


def _from_attempts(engine: Engine) -> list[tuple[Any, ...]]:
    """Ask with nothing rolled up, and leave it so."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM rolled_days"))
    return _daily(engine)


def _spoil(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE attempts_daily SET cost_nano_usd = 1"))


def _close_late(connection: Connection) -> None:
    ended = {"cost_nano_usd": usd(40_000_000), "cost_status": "exact", "outcome": "late"}
    closing = update(Attempt).where(Attempt.id == "a8")
    connection.execute(closing.values(closed_at=datetime(2026, 4, 3, tzinfo=UTC), **ended))
    connection.execute(MARK_STALE, {"of_day": date(2026, 3, 31)})


def test_rolling_up_changes_no_answer(engine: Engine, rollup: Rollup) -> None:
    before = _daily(engine)
    assert rollup.roll() == _DAYS
    assert _daily(engine) == before
    assert rollup.roll() == []


def test_a_rolled_up_day_keeps_its_lanes_apart(engine: Engine, rollup: Rollup) -> None:
    item = attempt_row("a15", "alone", None, "03-30 12:00:00", attempt_no=2, cost_nano_usd=5, message_batch_id="mb")
    with engine.begin() as connection:
        book_message_batch(connection, "mb", datetime(2026, 3, 30, tzinfo=UTC))
        connection.execute(insert(Attempt).values(**item))
    rollup.roll()
    lanes = Spending(engine).sums(["lane"])
    assert lanes["half_price",].cost_usd == usd(5)
    assert (lanes["half_price",].attempts, lanes["live",].attempts) == (1, 14)
    _spoil(engine)
    assert Spending(engine).sums(["lane"], until=_DAYS[0])["half_price",].cost_usd == usd(1)


def test_a_day_that_is_rolled_up_is_read_from_its_sums(engine: Engine, rollup: Rollup) -> None:
    rollup.roll()
    _spoil(engine)
    assert {row[16] for row in _daily(engine)} == {1}


def test_an_attempt_that_ends_days_later_counts_at_once_and_its_day_is_added_up_anew(
    engine: Engine, rollup: Rollup
) -> None:
    rollup.roll()
    with engine.begin() as connection:
        _close_late(connection)
    _spoil(engine)
    assert [row[16] for row in _daily(engine)] == [1, 1, 20_500_003, 40_000_000, 1, 1, 1]
    assert rollup.roll() == [date(2026, 3, 31)]
    assert [row[16] for row in _daily(engine)] == [1, 1, 20_500_003, 40_000_000, 1, 1, 1]


def test_a_mark_that_is_undone_with_its_change_marks_nothing(engine: Engine, rollup: Rollup) -> None:
    rollup.roll()
    with engine.connect() as connection:
        _close_late(connection)
        connection.rollback()
    assert rollup.roll() == []


@pytest.mark.parametrize("day", ["2026-03-28", "2026-04-02"])
def test_an_attempt_of_a_day_that_was_never_rolled_up_counts(engine: Engine, rollup: Rollup, day: str) -> None:
    rollup.roll()
    attempt = attempt_row("a15", "alone", None, f"{day[5:]} 12:00:00", attempt_no=2, cost_nano_usd=5)
    with engine.begin() as connection:
        connection.execute(insert(Attempt).values(**attempt))
    rows = _daily(engine)
    assert (str(rows[0][0]) == day) != (str(rows[-1][0]) == day)
    assert date.fromisoformat(day) in rollup.roll()
    assert _daily(engine) == rows == _from_attempts(engine)


def test_today_is_never_rolled_up_and_always_counts(engine: Engine, ledger: Ledger, rollup: Rollup) -> None:
    _, (first, second) = accepted(ledger, 2)
    answered(ledger, first)
    days = rollup.roll()
    answered(ledger, second)
    assert datetime.now(UTC).date() not in days
    assert (_daily(engine)[-1][5], _daily(engine)[-1][16]) == (2, 20_000_000)


def test_a_day_is_rolled_up_once_it_is_over_for_long_enough(engine: Engine) -> None:
    book(engine)
    noon_of_the_last = datetime(2026, 4, 1, 12, tzinfo=UTC)
    settle = datetime.now(UTC) - noon_of_the_last
    assert Rollup(engine, settle_s=settle.total_seconds()).roll() == _DAYS[:2]
    assert Rollup(engine, settle_s=(settle - timedelta(days=1)).total_seconds()).roll() == _DAYS[2:]


def test_a_rebuild_adds_every_day_up_anew(engine: Engine, rollup: Rollup) -> None:
    before = _daily(engine)
    rollup.roll()
    _spoil(engine)
    with engine.begin() as connection:
        connection.execute(insert(DailyRow).from_select(["day", *_KEPT], _copied_to("2026-03-30")))
    assert rollup.rebuild() == _DAYS
    assert _daily(engine) == before


@pytest.mark.parametrize("at", ["DELETE FROM attempts_daily", "INSERT INTO attempts_daily", "UPDATE rolled_days"])
def test_a_rollup_that_dies_in_the_middle_leaves_every_answer_right(engine: Engine, rollup: Rollup, at: str) -> None:
    before = _daily(engine)
    with _at(engine, at, number=2, do=_die), pytest.raises(ZeroDivisionError):
        rollup.roll()
    assert _daily(engine) == before
    assert rollup.roll() == _DAYS[1:]
    assert _daily(engine) == before


def test_a_rebuild_that_dies_in_the_middle_leaves_every_answer_right(engine: Engine, rollup: Rollup) -> None:
    before = _daily(engine)
    rollup.roll()
    with _at(engine, "UPDATE rolled_days SET rolled_at", number=2, do=_die), pytest.raises(ZeroDivisionError):
        rollup.rebuild()
    assert _daily(engine) == before
    assert rollup.roll() == _DAYS[1:]


@pytest.mark.parametrize("at", ["DELETE FROM attempts_daily", "INSERT INTO attempts_daily", "UPDATE rolled_days"])
def test_an_attempt_that_ends_while_its_day_is_added_up_is_not_lost(engine: Engine, rollup: Rollup, at: str) -> None:
    def change() -> None:
        with engine.begin() as connection:
            _close_late(connection)

    changing = Thread(target=change)
    with _at(engine, at, number=2, do=changing.start):
        assert rollup.roll() == _DAYS
    changing.join()
    rows = _daily(engine)
    assert rows[3][16] == 40_000_000
    rollup.roll()
    assert _daily(engine) == rows == _from_attempts(engine)


def test_a_rollup_on_postgres_leaves_the_work_to_one_that_is_at_it(postgres_url: str) -> None:
    with opened(postgres_url) as engine:
        book(engine)
        rollup = Rollup(engine)
        with engine.begin() as busy:
            busy.execute(select(func.pg_advisory_xact_lock(7381096)))
            assert rollup.roll() == []
        assert rollup.roll() == _DAYS


_KEPT = [column.name for column in DailyRow.__table__.columns if column.name != "day"]


def _copied_to(day: str) -> Any:
    """Lay out rows of one day again under a model that nobody called."""
    columns = [text("'nobody'") if name == "model" else DailyRow.__table__.c[name] for name in _KEPT]
    return select(DailyRow.day, *columns).where(DailyRow.day == date.fromisoformat(day)).limit(1)


def _die() -> None:
    raise ZeroDivisionError


@contextmanager
def _at(engine: Engine, beginning: str, *, number: int, do: Callable[[], object]) -> Iterator[None]:
    """Do something just before the so-manieth statement that begins so."""
    seen = []

    def look(_connection: Any, _cursor: Any, statement: str, *_given: Any) -> None:
        if statement.startswith(beginning):
            seen.append(statement)
            if len(seen) == number:
                do()

    event.listen(engine, "before_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", look)
    assert len(seen) >= number
