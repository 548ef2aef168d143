"""A batch that shares a long system prompt: one call writes it to the provider's cache, the others read it."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from producer.output.batch_lines import cache_line
from producer.prompt.prompt import Prompt
from tests.support.plays.walk_scene import SONNET
from tests.support.sites.worker_site import Plant, running_plant

_SYSTEM = "Ten harbours were dredged in spring, and each of them has its own tariff. " * 250
_JOBS = 20


@pytest.fixture(params=["sqlite", "postgres"])
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    """Run a worker."""
    with running_plant(request, tmp_path) as running:
        yield running


def _prompts() -> list[Prompt]:
    return [Prompt(f"Which tariff has harbour {n}?", system=_SYSTEM, start=SONNET) for n in range(_JOBS)]


def test_one_job_writes_what_all_share_the_others_read_it_and_the_receipt_tells_what_that_saved(plant: Plant) -> None:
    batch = plant.submit(*_prompts())
    plant.finished(batch)
    rows = plant.attempts(batch)
    written = [row["cache_write_5m_tokens"] for row in rows if row["cache_write_5m_tokens"]]
    read = [row["cache_read_tokens"] for row in rows if row["cache_read_tokens"]]
    assert (len(written), len(read), len(rows)) == (1, _JOBS - 1, _JOBS)
    assert set(written) == set(read)
    billed = sum(purchase["billed_nano_usd"] for purchase in plant.purchases(batch))
    assert billed == sum(row["cost_nano_usd"] for row in rows) * 1_000_000_000
    use = plant.producer.store.reports.cache(batch.id)
    assert use is not None
    # Sonnet's input is $3 a million tokens, read $0.30, written $3.75.
    assert use.saved_usd == written[0] * (19 * Decimal("2.70") - Decimal("0.75")) / 1_000_000
    assert use.read_tokens / use.input_tokens > 0.9
    assert "were read from it, saved $" in cache_line(use)


def test_a_batch_that_shares_nothing_is_not_marked(plant: Plant) -> None:
    batch = plant.submit(*[Prompt(f"{n} {_SYSTEM}", system=f"{n} {_SYSTEM}", start=SONNET) for n in range(3)])
    plant.finished(batch)
    assert [row["cache_write_5m_tokens"] for row in plant.attempts(batch)] == [0, 0, 0]
    assert plant.producer.store.reports.cache(batch.id) is None


def test_where_the_cache_is_off_nothing_is_marked(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    request.param = "sqlite"
    with running_plant(request, tmp_path, PROMPT_CACHE="off") as plant:
        batch = plant.submit(*_prompts()[:2])
        plant.finished(batch)
        assert [row["cache_write_5m_tokens"] for row in plant.attempts(batch)] == [0, 0]


@pytest.mark.parametrize(
    ("costs", "written_usd", "read_usd"),
    [(f"{SONNET}:3:15:1:3:6", 0, 2), (f"{SONNET}:3:15:3:9:9", -6, 0)],
)
def test_what_was_saved_goes_by_the_rates_that_were_paid(
    request: pytest.FixtureRequest, tmp_path: Path, costs: str, written_usd: int, read_usd: int
) -> None:
    request.param = "sqlite"
    with running_plant(request, tmp_path, MODEL_COSTS=costs) as plant:
        batch = plant.submit(*_prompts()[:3])
        plant.finished(batch)
        written = sum(row["cache_write_5m_tokens"] for row in plant.attempts(batch))
        read = sum(row["cache_read_tokens"] for row in plant.attempts(batch))
        use = plant.producer.store.reports.cache(batch.id)
    assert use is not None
    assert (use.saved_usd, use.unknown_costs) == (Decimal(written * written_usd + read * read_usd) / 1_000_000, 0)
