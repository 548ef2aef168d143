"""A batch at half price through a real worker: packed, created, polled, read, priced at half, and finished."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from models.accounting.expected_bill import read_bills
from models.job.task_kinds import JobTerms
from models.money.price_book import PriceBook
from models.reports.jobs import Reports
from models.schema.message_batch import MessageBatch
from producer.client import Batch
from producer.prompt.prompt import Prompt
from producer.reconcile.causes import compare
from producer.reconcile.provider_report import read_billed
from tests.support.eventually import eventually
from tests.support.sites.lane_site import LANE_TIMES, QUICK_API
from tests.support.sites.worker_site import ENGINES, OPUS, Plant, one_test, running_plant, settings_of


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    with running_plant(
        request,
        tmp_path_factory.mktemp("half-price"),
        **LANE_TIMES,
        ANTHROPIC_ADMIN_KEY="sk-ant-admin-canary",
    ) as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


def submitted(plant: Plant, count: int = 4, *, deadline_s: float = 60, **terms: Any) -> Batch:
    """Submit prompts that may take their time."""
    prompts = [Prompt(f"{number} harbours were dredged in spring.") for number in range(count)]
    asked = JobTerms(half_price=True, deadline_s=deadline_s, **terms)
    batch = plant.producer.submit(prompts, terms=asked)
    plant.batches.append(batch)
    return batch


def message_batches(plant: Plant) -> list[dict[str, Any]]:
    """Read the rows of message batches, in order."""
    with plant.engine.connect() as connection:
        rows = connection.execute(select(MessageBatch.__table__).order_by(MessageBatch.made_at)).mappings()
        return [dict(row) for row in rows]


def costs(attempts: list[dict[str, Any]]) -> dict[str, Decimal]:
    """Return what the ledger has for each attempt that cost something, in USD."""
    return {row["id"]: row["cost_nano_usd"] for row in attempts if row["cost_nano_usd"]}


def billed(plant: Plant, attempts: list[dict[str, Any]]) -> dict[str, Decimal]:
    """Return what the provider billed for these attempts, in USD."""
    ours = {row["id"] for row in attempts}
    bought = [(purchase["custom_id"] or purchase["attempt"], purchase) for purchase in plant.simulator.purchases()]
    return {
        known: Decimal(purchase["billed_nano_usd"]) / 1_000_000_000
        for known, purchase in bought
        if known in ours and purchase["billed_nano_usd"]
    }


def test_a_batch_is_bought_at_half_price(plant: Plant) -> None:
    plant.simulator.set_script(QUICK_API)
    batch = submitted(plant)
    answers = plant.finished(batch)
    assert [(answer.state, answer.model) for answer in answers] == [("succeeded", OPUS)] * 4
    attempts = plant.attempts(batch)
    assert {row["service_tier"] for row in attempts} == {"batch"}
    assert len({row["message_batch_id"] for row in attempts}) == 1
    assert costs(attempts) == billed(plant, attempts)
    use = Reports(plant.engine).half_price(batch.id)
    assert use is not None
    assert (use.attempts, use.unknown_costs, use.overlapped) == (4, 0, 0)
    assert use.cost_usd == use.saved_usd == sum(costs(attempts).values())
    settings, today = settings_of(plant.variables), datetime.now(UTC).date()
    billed_there = read_billed(settings, today - timedelta(days=1), today)
    url, prices = settings.database_url.get_secret_value(), PriceBook(settings.price_overrides)
    drift = compare(read_bills(url, today - timedelta(days=1), today, prices), billed_there)
    assert (drift.is_drift, {line.tier for line in drift.lines}) == (False, {"batch"})

    def made() -> dict[str, Any]:
        return next(row for row in message_batches(plant) if row["id"] == attempts[0]["message_batch_id"])

    eventually(lambda: made()["state"] == "done", within_s=10, because="the message batch ends after its last job")
    assert (made()["size"], made()["look_at"], made()["is_proven"]) == (4, None, True)
