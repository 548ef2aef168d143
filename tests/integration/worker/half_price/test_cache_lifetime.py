"""The cache in message batches: shared prefixes are marked with the lifetime that costs least by measured hits."""

from collections.abc import Iterator

import pytest

from models.job.task_kinds import JobTerms
from producer.client import Batch
from producer.prompt.prompt import Prompt
from tests.integration.worker.half_price.test_half_price import billed, costs, message_batches
from tests.support.plays.walk_scene import SONNET
from tests.support.sites.lane_site import LANE_TIMES, QUICK_API
from tests.support.sites.worker_site import ENGINES, HAIKU, OPUS, Plant, one_test, running_plant

_SYSTEM = "Ten harbours were dredged in spring, and each of them has its own tariff. " * 250
_JOBS = 20


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("cache-lifetime"), **LANE_TIMES) as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


def _submitted(plant: Plant, model: str, count: int = _JOBS, *, system: str = _SYSTEM) -> Batch:
    prompts = [Prompt(f"Which tariff has harbour {n}?", system=system, start=model) for n in range(count)]
    batch = plant.producer.submit(prompts, terms=JobTerms(half_price=True, deadline_s=120))
    plant.batches.append(batch)
    return batch


def _lifetime(plant: Plant, batch: Batch) -> str | None:
    """Return the lifetime of the prefixes of a batch's message batch, which must be in the bill."""
    plant.finished(batch)
    attempts = plant.attempts(batch)
    assert costs(attempts) == billed(plant, attempts)
    (made,) = {row["message_batch_id"] for row in attempts}
    ttl: str | None = next(row["cache_ttl"] for row in message_batches(plant) if row["id"] == made)
    written = {kind for kind in ("5m", "1h") if any(row[f"cache_write_{kind}_tokens"] for row in attempts)}
    assert written <= {ttl}, "what is written has the lifetime of the record"
    assert bool(ttl) == any(row["cache_read_tokens"] or written for row in attempts)
    return ttl


@pytest.mark.parametrize(
    ("model", "hits_5m", "hits_1h", "chosen"),
    [
        (OPUS, 0, 1, ["5m", "1h", "1h"]),  # a miss costs more than plain input, a longer life is tried, and pays
        (SONNET, 0, 0, ["5m", "1h", None]),  # neither pays: the requests go as they are
        (HAIKU, 1, 1, ["5m", "5m"]),  # five minutes suffice, and the dearer write is not tried
    ],
)
def test_the_lifetime_follows_the_hits_of_earlier_message_batches(
    plant: Plant, model: str, hits_5m: float, hits_1h: float, chosen: list[str | None]
) -> None:
    plant.simulator.set_script(f"{QUICK_API}hits_5m = {hits_5m}\nhits_1h = {hits_1h}\n")
    assert [_lifetime(plant, _submitted(plant, model)) for _ in chosen] == chosen


def test_one_request_of_a_prefix_and_a_short_prefix_are_not_marked(plant: Plant) -> None:
    plant.simulator.set_script(QUICK_API)
    assert _lifetime(plant, _submitted(plant, SONNET, 1)) is None
    assert _lifetime(plant, _submitted(plant, SONNET, 2, system="Be brief.")) is None
