"""Results that cannot be kept, read or written at once: each item is closed once, and bought once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event as Moment
from threading import Thread
from typing import IO, Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import Pool

from models.schema.budget import BudgetRow
from models.schema.columns import db_now
from producer.client import Batch
from tests.integration.worker.half_price.test_half_price import billed, costs
from tests.integration.worker.half_price.test_lane_attacks import rule
from tests.support.sites.lane_site import QUICK_API, LaneSite, running_lane
from tests.support.sites.worker_site import ENGINES, one_test
from worker.events import JobEnded, MessageBatchEnded, ResultsUnreadable
from worker.half_price import collect, end_items, results_file
from worker.half_price.work import work


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaneSite]:
    """Open one worker for all tests of this file."""
    with running_lane(request, tmp_path_factory.mktemp("lane-collects")) as site:
        yield site


@pytest.fixture
def site(whole: LaneSite) -> Iterator[LaneSite]:
    """Lend the site to one test."""
    with one_test(whole.plant):
        whole.events.clear()
        yield whole


def _full(**_folder: object) -> IO[bytes]:
    return Path("/dev/full").open("r+b")  # the kernel's own full disk


@pytest.mark.parametrize("line_bytes", [1, 200_000])
def test_a_full_disk_is_reported_and_the_results_are_downloaded_again(
    site: LaneSite, monkeypatch: pytest.MonkeyPatch, line_bytes: int
) -> None:
    site.plant.simulator.set_script(QUICK_API + rule("results", "ok", line_bytes=line_bytes))
    batch = site.submitted(3)
    made = site.packed()
    assert [site.work(made) for _ in range(2)] == ["under_way", "ended"]
    with monkeypatch.context() as disk:
        disk.setattr(results_file, "TemporaryFile", _full)
        site.change(made, look_at=db_now(0.0))
        line = site.worker.loop.run(work(made, site.lane))
    assert "its results cannot be read yet" in line
    (unreadable,) = [one for one in site.events if isinstance(one, ResultsUnreadable)]
    row = site.row(made)
    assert row["error"] == unreadable.message == f"{site.lane.folder}: No space left on device"
    assert (row["state"], row["lease_until"], row["looks"]) == ("ended", None, 1)
    assert site.look_in_s(made) > 0.9 * site.lane.poll_s
    assert not any(item["closed_at"] for item in site.items(made))
    assert site.work(made) == "done"
    _each_is_bought_once(site, batch)


def test_a_disk_without_room_until_the_switch_time_is_tried_again_at_that_time(
    site: LaneSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_file, "TemporaryFile", _full)
    site.plant.simulator.set_script(QUICK_API)
    site.submitted(1)
    made = site.packed()
    assert [site.work(made) for _ in range(2)] == ["under_way", "ended"]
    site.change(made, looks=9, switch_at=db_now(200.0))
    assert site.work(made) == "ended"
    assert 100 < site.look_in_s(made) <= 200


def test_a_collector_frozen_past_its_lease_closes_no_item_again(site: LaneSite) -> None:
    site.plant.simulator.set_script(QUICK_API)
    batch = site.submitted(3, max_cost_usd="1")
    made = site.packed()
    assert [site.work(made) for _ in range(2)] == ["under_way", "ended"]
    frozen, thawed = Moment(), Moment()

    async def in_thread(call: Any, *given: Any) -> Any:
        found = await site.worker.in_thread(call, *given)
        if getattr(call, "func", None) == site.lane.batches.open_items:
            frozen.set()
            await site.worker.in_thread(thawed.wait, 30)
        return found

    slow = replace(site.lane, worker=replace(site.worker, in_thread=in_thread))
    first = Thread(target=site.work, args=(made, slow))
    first.start()
    assert frozen.wait(20)
    site.change(made, lease_until=db_now(-1.0))
    assert site.work(made) == "done"
    seen = [site.plant.jobs(batch), site.items(made), _spent(site, batch.id)]
    thawed.set()
    first.join(20)
    assert not first.is_alive()
    assert [site.plant.jobs(batch), site.items(made), _spent(site, batch.id)] == seen
    spent, reserved = _spent(site, batch.id)
    assert (spent, reserved) == (sum(billed(site.plant, site.plant.attempts(batch)).values()), 0)
    assert len([one for one in site.events if isinstance(one, MessageBatchEnded)]) == 1
    ended = [one.claim.job_id for one in site.events if isinstance(one, JobEnded)]
    assert sorted(ended) == sorted(row["id"] for row in site.plant.jobs(batch))


def _spent(site: LaneSite, batch_id: str) -> tuple[Any, Any]:
    """Read how much of the cap of a batch is spent, and how much is reserved, in USD."""
    ours = BudgetRow.scope == f"batch:{batch_id}"
    with site.plant.engine.connect() as connection:
        row = connection.execute(select(BudgetRow.spent_nano_usd, BudgetRow.reserved_nano_usd).where(ours)).one()
    return row[0], row[1]


@pytest.mark.parametrize(("module", "moment"), [(collect, "after_results"), (end_items, "between_items")])
def test_a_ledger_that_is_down_when_results_are_collected_has_them_later_and_none_is_bought_again(
    site: LaneSite, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, module: Any, moment: str
) -> None:
    monkeypatch.setattr(end_items, "_AT_ONCE", 2)
    site.plant.simulator.set_script(QUICK_API)
    batch = site.submitted(3)
    made, before = site.packed(), len(site.plant.simulator.batches())
    assert [site.work(made) for _ in range(2)] == ["under_way", "ended"]
    site.change(made, look_at=db_now(0.0))
    with _ledger_that_goes_down(site, request) as go_down, monkeypatch.context() as failing:
        failing.setattr(module, "failpoint", lambda name: go_down() if name == moment else None)
        assert site.worker.loop.run(work(made, site.lane)).startswith("the ledger is away")
    assert (site.row(made)["state"], len([one for one in site.items(made) if one["closed_at"]])) == (
        "ended",
        2 if moment == "between_items" else 0,
    )
    site.change(made, lease_until=db_now(-1.0))
    assert site.work(made) == "done"
    assert {row["state"] for row in site.plant.jobs(batch)} == {"succeeded"}
    _each_is_bought_once(site, batch)
    assert len(site.plant.simulator.batches()) == before + 1


def _each_is_bought_once(site: LaneSite, batch: Batch) -> None:
    """Compare the ledger with the bill: one purchase a job, at its cost."""
    attempts = site.plant.attempts(batch)
    assert costs(attempts) == billed(site.plant, attempts)
    bought = [one["custom_id"] for one in site.plant.simulator.purchases()]
    assert [bought.count(row["id"]) for row in attempts] == [1] * len(site.plant.jobs(batch))
    assert site.plant.purchases(batch) == [], "nothing is bought live"


@contextmanager
def _ledger_that_goes_down(site: LaneSite, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Yield a function that has the database refuse the worker. After the block the database takes connections."""
    engine = site.plant.engine
    if engine.dialect.name == "sqlite":

        def refuse(*_given: Any) -> None:
            raise OperationalError("BEGIN", {}, engine.dialect.loaded_dbapi.OperationalError("disk I/O error"))

        yield lambda: event.listen(Pool, "checkout", refuse)
        event.remove(Pool, "checkout", refuse)
        return
    server, name = request.getfixturevalue("postgres"), engine.url.database

    def go_down() -> None:
        server.do(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname"
        server.do(f"{ended} = '{name}'")

    yield go_down
    server.do(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
