"""Caps without room at half price: jobs wait under the cap, and take the lane once there is room."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from models.schema.budget import BudgetRow
from models.schema.columns import db_now
from models.schema.decision import DecisionRow
from models.schema.job import Job
from producer.client import Batch
from tests.integration.worker.half_price.test_half_price import billed, costs
from tests.support.sites.lane_site import QUICK_API, LaneSite, running_lane
from tests.support.sites.worker_site import ENGINES, one_test
from worker.half_price.pack import pack
from worker.run import run

_TWO_DAYS_S, _LIVE_S = 172_000, 900.0


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaneSite]:
    """Open one worker for all tests of this file."""
    caps = {"TASK_CAPS_USD": "tiny:1", "JOB_DEADLINE_S": str(_TWO_DAYS_S)}
    with running_lane(request, tmp_path_factory.mktemp("lane-caps"), **caps) as site:
        yield site


@pytest.fixture
def site(whole: LaneSite) -> Iterator[LaneSite]:
    """Lend the site to one test, with the whole of the day's cap of `tiny` spent."""
    with one_test(whole.plant):
        whole.plant.simulator.set_script(QUICK_API)
        money = {"cap_nano_usd": Decimal(1), "unknown_nano_usd": Decimal(0), "reserved_nano_usd": Decimal(0)}
        today = datetime.now(UTC).date()
        with whole.plant.engine.begin() as connection:
            connection.execute(delete(BudgetRow).where(BudgetRow.scope == "task:tiny"))
            for day in (today, today + timedelta(days=1)):
                row = {"scope": "task:tiny", "day": day.isoformat(), "spent_nano_usd": Decimal(1), **money}
                connection.execute(insert(BudgetRow).values(row))
        whole.events.clear()
        yield whole


def _pack(site: LaneSite, **changes: Any) -> int:
    return pack(site.lane, [replace(one, **changes) for one in site.lane.batches.candidates(limit=99)])


def _comes_back(site: LaneSite, job_id: str) -> str:
    """Let a parked job come back now, as its time passes."""
    with site.plant.engine.begin() as connection:
        connection.execute(update(Job).where(Job.id == job_id).values(due_at=db_now(0.0)))
    return site.worker.loop.run(run(job_id, site.worker))


def _ends_at_half_price(site: LaneSite, batch: Batch) -> None:
    made = site.packed()
    assert [site.work(made) for _ in range(3)] == ["under_way", "ended", "done"]
    assert {row["state"] for row in site.plant.jobs(batch)} == {"succeeded"}
    attempts = site.plant.attempts(batch)
    assert {row["service_tier"] for row in attempts} == {"batch"}
    assert costs(attempts) == billed(site.plant, attempts)


def test_over_a_days_cap_a_job_waits_for_the_next_day_and_takes_the_lane_then(site: LaneSite) -> None:
    batch = site.submitted(1, task="tiny", deadline_s=_TWO_DAYS_S)
    assert _pack(site) == 0
    (job,) = site.plant.jobs(batch)
    assert (job["state"], job["outcome"], site.plant.attempts(batch)) == ("waiting", "over_budget", [])
    assert timedelta(0) <= job["due_at"] - _tomorrow() < timedelta(minutes=1)
    assert "of task:tiny's cap of $1 $1 are spent and $0 reserved" in job["error"]
    assert batch.progress().over_budget == 1
    with site.plant.engine.begin() as connection:
        decided = select(DecisionRow.decision, DecisionRow.reason).where(DecisionRow.job_id == job["id"])
        assert [tuple(row) for row in connection.execute(decided)] == [("park", "over_today")]
        connection.execute(update(BudgetRow).values(spent_nano_usd=Decimal(0)))
    assert _comes_back(site, job["id"]).endswith("half_price")
    (job,) = site.plant.jobs(batch)
    assert (job["outcome"], job["error"], job["given_up"]) == ("half_price", None, {})
    assert job["deadline_at"] - job["due_at"] == pytest.approx(timedelta(seconds=_LIVE_S), abs=timedelta(seconds=2))
    _ends_at_half_price(site, batch)


def _tomorrow() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def test_room_that_a_message_batch_reserves_is_waited_for(site: LaneSite) -> None:
    free = site.submitted(1, task="tiny", deadline_s=_TWO_DAYS_S, max_cost_usd="1")
    with site.plant.engine.begin() as connection:
        connection.execute(update(BudgetRow).values(spent_nano_usd=Decimal(0)))
    assert _pack(site) == 1
    needs = site.plant.attempts(free)[0]["reserved_nano_usd"]
    batch = site.submitted(2, deadline_s=_TWO_DAYS_S, max_cost_usd=f"{needs * Decimal('1.5'):.9f}")
    assert _pack(site) == 1
    first = site.rows()[-1]["id"]
    (waiting,) = [row for row in site.plant.jobs(batch) if row["outcome"] == "reserved"]
    assert timedelta(0) < waiting["due_at"] - waiting["created_at"] < timedelta(minutes=5)
    assert _comes_back(site, waiting["id"]).endswith("half_price")
    assert _pack(site) == 0
    (waiting,) = [row for row in site.plant.jobs(batch) if row["outcome"] == "reserved"]
    assert waiting["rounds"] == 2, "each wait in vain is longer"
    assert [site.work(first) for _ in range(3)] == ["under_way", "ended", "done"]
    assert _comes_back(site, waiting["id"]).endswith("half_price")
    _ends_at_half_price(site, batch)


def test_a_cap_that_has_room_too_late_for_the_lane_lets_the_job_go_live(site: LaneSite) -> None:
    batch = site.submitted(1, task="tiny", deadline_s=_TWO_DAYS_S)
    assert _pack(site, live_in_s=600.0) == 0
    (job,) = site.plant.jobs(batch)
    assert (job["outcome"], job["due_at"] <= datetime.now(UTC)) == (None, True)


def test_a_cap_that_never_has_room_lets_the_job_go_live_and_fail_with_the_caps_reason(site: LaneSite) -> None:
    batch = site.submitted(1, deadline_s=_TWO_DAYS_S, max_cost_usd="0.0001")
    assert _pack(site) == 0
    (job,) = site.plant.jobs(batch)
    assert site.worker.loop.run(run(job["id"], site.worker)).startswith("failed: over_budget")


def test_a_job_that_waits_without_time_for_the_lane_goes_live(site: LaneSite) -> None:
    batch = site.submitted(1, task="tiny", deadline_s=_TWO_DAYS_S)
    assert _pack(site) == 0
    (job,) = site.plant.jobs(batch)
    with site.plant.engine.begin() as connection:
        connection.execute(update(BudgetRow).values(spent_nano_usd=Decimal(0)))
        connection.execute(update(Job).where(Job.id == job["id"]).values(deadline_at=db_now(_LIVE_S - 60)))
    assert not _comes_back(site, job["id"]).endswith("half_price")
    assert {row["message_batch_id"] for row in site.plant.attempts(batch)} == {None}
