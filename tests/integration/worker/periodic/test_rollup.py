"""A worker at work adds finished days up by itself, and again when one of their attempts changes."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select, text

from models.schema.batch import Batch, batch_row
from tests.support.eventually import eventually
from tests.support.ledgers.job_values import new_batch
from tests.support.sites.worker_site import ENGINES, Plant, one_test, running_plant


@pytest.fixture(params=ENGINES)
def plant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run a worker that looks often."""
    folder = tmp_path_factory.mktemp("rollup")
    with running_plant(request, folder, REVIEW_EVERY_S="0.2") as whole, one_test(whole) as plant:
        yield plant


def _rolled(plant: Plant) -> list[tuple[str, int]]:
    """Read the days that are rolled up and fresh, with what they cost."""
    fresh = "SELECT day FROM rolled_days WHERE NOT is_stale"
    with plant.engine.connect() as connection:
        rows = connection.execute(text(f"SELECT day, cost_nano_usd FROM attempts_daily WHERE day IN ({fresh})"))  # noqa: S608
        return [(str(row.day), row.cost_nano_usd) for row in rows]


def _batches(plant: Plant) -> list[str]:
    with plant.engine.connect() as connection:
        return [*connection.scalars(select(Batch.id))]


def test_a_day_that_is_over_is_rolled_up_within_a_look(plant: Plant) -> None:
    batch, _ = plant.answered("Ten harbours were dredged in spring.")
    (purchase,) = plant.purchases(batch)
    with plant.engine.begin() as connection:
        connection.execute(text("UPDATE attempts SET opened_at = '2026-03-04 05:06:07'"))
    expected = [("2026-03-04", purchase["billed_nano_usd"])]
    eventually(lambda: _rolled(plant) == expected, within_s=20, because="the clock looks")


def test_what_a_producer_left_half_written_is_removed_within_a_look(plant: Plant) -> None:
    batch, _ = plant.answered("Ten bridges were closed.")
    lost = new_batch()
    with plant.engine.begin() as connection:
        connection.execute(
            insert(Batch).values(created_at=datetime(2026, 1, 1, tzinfo=UTC), **batch_row(lost, job_count=0))
        )
    eventually(lambda: _batches(plant) == [batch.id], within_s=20, because="the clock looks")
