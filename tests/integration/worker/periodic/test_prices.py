"""A worker learns what a person set without being started again."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from models.money.pricing import Price, complete_rates
from tests.support.eventually import eventually
from tests.support.sites.worker_site import ENGINES, OPUS, Plant, running_plant


@pytest.fixture(params=ENGINES)
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    """Run a worker that looks every second and a half."""
    with running_plant(request, tmp_path, CLOCK_TICK_S="0.05") as plant:
        yield plant


def _source(plant: Plant) -> str:
    batch, _ = plant.answered("Why?")
    return str(plant.attempts(batch)[0]["price_source"])


def test_a_price_that_is_set_counts_soon_in_workers_that_run(plant: Plant) -> None:
    assert _source(plant).startswith("genai-prices")
    rates = complete_rates({"input": Decimal(7), "output": Decimal(35)})
    today = datetime.now(UTC).date()
    plant.producer.store.price_list.set([Price(model=OPUS, source="prices set", rates=rates, valid_from=today)])
    eventually(lambda: _source(plant) == "prices set", within_s=30, because="the worker reads what was set")
