"""A worker that cannot work takes no message from those that can, says so, and goes on by itself."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text

from models.queue.celery_app import celery_app
from models.queue.liveness import claiming
from tests.support.eventually import eventually
from tests.support.sites.worker_site import Plant, idle_plant, running_worker

JOBS = 40
APART = ("-n", "apart@%h")  # two of one name would answer as one
ROLE, PASSWORD = "unfit", "of-a-throw-away-role"
_GRANT = f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}"


@pytest.fixture
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    """Prepare all but workers."""
    with idle_plant(request, tmp_path) as plant:
        yield plant


def _do(plant: Plant, *statements: str) -> None:
    with plant.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def _run(plant: Plant) -> list[int]:
    """Count the messages that each worker has run, as it tells itself."""
    with closing(celery_app(plant.variables["REDIS_URL"], rungs=3)) as app:
        reported: dict[str, dict[str, Any]] = app.control.inspect(timeout=5).stats() or {}
    return sorted(sum(worker["total"].values()) for worker in reported.values())


@pytest.mark.parametrize("plant", ["sqlite"], indirect=True)
def test_with_a_full_disk_it_leaves_every_message_in_the_queue(plant: Plant, tmp_path: Path) -> None:
    full = {**plant.variables, "MIN_FREE_MB": "1000000000"}
    with running_worker(full, tmp_path / "full.log", more=APART):
        batch = plant.submit(*(f"Job {number}" for number in range(JOBS)))
        eventually(lambda: plant.queued_messages() >= JOBS, within_s=120, because="the queue holds them all")
        assert _run(plant) == [0]
        assert claiming(plant.variables["REDIS_URL"]) == []
        with running_worker(plant.variables, plant.worker_log):
            assert {answer.state for answer in plant.finished(batch, within_s=120)} == {"succeeded"}
            few, many = _run(plant)
            assert (few, many >= JOBS) == (0, True)


@pytest.mark.parametrize("plant", ["postgres"], indirect=True)
def test_without_its_ledger_it_leaves_them_to_the_others_and_comes_back_by_itself(plant: Plant, tmp_path: Path) -> None:
    redis_url = plant.variables["REDIS_URL"]
    url = make_url(plant.variables["DATABASE_URL"]).set(username=ROLE, password=PASSWORD)
    _do(plant, f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'", _GRANT)
    apart = {**plant.variables, "DATABASE_URL": url.render_as_string(hide_password=False)}
    try:
        with (
            running_worker(plant.variables, plant.worker_log),
            running_worker(apart, tmp_path / "apart.log", more=APART),
        ):
            eventually(lambda: len(claiming(redis_url)) == 2, within_s=120, because="both claim")
            _do(plant, f"REVOKE ALL ON jobs FROM {ROLE}")
            eventually(lambda: len(claiming(redis_url)) == 1, within_s=120, because="one cannot any more")
            before, _ = _run(plant)
            batch = plant.submit(*(f"Job {number}" for number in range(JOBS)))
            assert {answer.state for answer in plant.finished(batch, within_s=120)} == {"succeeded"}
            few, many = _run(plant)
            assert (few - before, many >= JOBS) == (0, True)
            assert "liveness: ledger " in (tmp_path / "apart.log").read_text(encoding="utf-8")
            _do(plant, _GRANT)
            eventually(lambda: len(claiming(redis_url)) == 2, within_s=120, because="it claims again")
    finally:
        _do(plant, f"DROP OWNED BY {ROLE}", f"DROP ROLE {ROLE}")
