"""Whatever changes an attempt of a day that was added up has that day added up again; on both engines."""

from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, text

from models.job.strays import Rescue
from models.job.values import Claim
from models.outcome import Outcome, State
from models.store import Store
from tests.support.ledgers.job_values import accepted, claimed, closing, opening, succeeded

_DAY = date(2026, 3, 4)


@pytest.fixture
def store(engine: Engine) -> Store:
    """Open the ledger."""
    return Store(engine, worker="here")


@pytest.fixture
def opened(engine: Engine, store: Store) -> tuple[Claim, str]:
    """Open an attempt on a day long over, and add that day up."""
    _, (job_id,) = accepted(store.ledger)
    claim, call = claimed(store.ledger, job_id), opening()
    store.ledger.open_attempt(claim, call)
    with engine.begin() as connection:
        connection.execute(text("UPDATE attempts SET opened_at = '2026-03-04 05:06:07'"))
    assert store.rollup.roll() == [_DAY]
    return claim, call.id


def _costs(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [
            tuple(row)
            for row in connection.execute(text("SELECT open, unknown_costs, cost_nano_usd FROM v_cost_daily"))
        ]


def test_a_call_that_ends_on_another_day_is_in_its_own_days_cost(
    engine: Engine, store: Store, opened: tuple[Claim, str]
) -> None:
    claim, attempt_id = opened
    assert _costs(engine) == [(1, 1, 0)]
    store.ledger.finish(claim, succeeded(), closing(attempt_id))
    assert _costs(engine) == [(0, 0, 10_000_000)]
    assert store.rollup.roll()[0] == _DAY
    assert _costs(engine) == [(0, 0, 10_000_000)]


def test_a_day_whose_open_call_was_given_up_is_added_up_again(
    engine: Engine, store: Store, opened: tuple[Claim, str]
) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET lease_until = '2026-03-05 00:00:00'"))
    (stray,) = store.leases.strays(limit=9)
    held = {"state": State.WAITING, "outcome": Outcome.UNKNOWN, "error": "lost", "given_up": {}, "rebuys": 0}
    assert store.leases.rescue(stray, Rescue(rung=0, crashes=1, **held))  # type: ignore[arg-type]
    assert store.rollup.roll() == [_DAY]
    assert opened[0].job_id == stray.job_id


def test_a_call_that_ends_on_its_own_day_marks_nothing(engine: Engine, store: Store) -> None:
    _, (job_id,) = accepted(store.ledger)
    claim, call = claimed(store.ledger, job_id), opening()
    store.ledger.open_attempt(claim, call)
    store.ledger.finish(claim, succeeded(), closing(call.id))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT COUNT(*) FROM rolled_days")) == 0
