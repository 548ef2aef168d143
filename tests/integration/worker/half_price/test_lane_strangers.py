"""Rows that other versions write, and requests that no create takes: ours leave alone what ours cannot do."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from models.chain.chain import Chain
from models.queue.broker import Broker
from models.schema.job import Job
from models.schema.message_batch import MessageBatch
from producer.client import Batch
from tests.integration.worker.half_price.test_half_price import billed, costs
from tests.support.sites.lane_site import QUICK_API, LaneSite, running_lane
from tests.support.sites.worker_site import ENGINES, one_test
from worker.events import LeftForLive
from worker.half_price.pack import Packer, pack
from worker.half_price.work import DROPPED, work
from worker.periodic.half_price_timer import HalfPriceTimer
from worker.run import run


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaneSite]:
    """Open one worker for all tests of this file."""
    with running_lane(request, tmp_path_factory.mktemp("lane-strangers")) as site:
        yield site


@pytest.fixture
def site(whole: LaneSite) -> Iterator[LaneSite]:
    """Lend the site to one test."""
    with one_test(whole.plant):
        whole.plant.simulator.set_script(QUICK_API)
        whole.events.clear()
        yield whole


def _change_jobs(site: LaneSite, batch: Batch, *, seq: int, **values: Any) -> None:
    with site.plant.engine.begin() as connection:
        connection.execute(update(Job).where(Job.batch_id == batch.id, Job.seq == seq).values(**values))


def test_a_message_batch_in_a_state_of_a_newer_version_is_left_to_that_version(site: LaneSite) -> None:
    newer, ours = site.submitted(2), site.submitted(1, task="summarize")
    other, made = site.packed(), site.packed()
    site.change(other, state="extending", look_at=MessageBatch.made_at)
    row = site.row(other)
    assert other not in site.lane.batches.due(site.lane.namespace, most=9)
    assert site.worker.loop.run(work(other, site.lane)) == DROPPED, "its message came all the same"
    timer = HalfPriceTimer(
        queues=Broker(site.plant.variables["REDIS_URL"]),
        lane=site.lane,
        packer=Packer(lane=site.lane, clock=lambda: 0.0),
        holder="here",
        tick_s=1.0,
    )
    assert timer.tick() == 1, "ours goes on beside"
    assert [site.work(made) for _ in range(3)] == ["under_way", "ended", "done"]
    assert site.row(other) == row
    assert {row["outcome"] for row in site.plant.jobs(newer)} == {"message_batch"}
    assert {row["state"] for row in site.plant.jobs(ours)} == {"succeeded"}
    site.change(other, state="refused", look_at=None)


@pytest.mark.parametrize(
    ("script", "end"),
    [("", ("succeeded", "answered")), ('[[rules]]\nlane = "batch"\nanswer = 529\n', ("waiting", "flex_lane"))],
)
def test_of_a_job_with_an_outcome_of_a_newer_version_only_an_answer_is_the_end(
    site: LaneSite, script: str, end: tuple[str, str]
) -> None:
    site.plant.simulator.set_script(QUICK_API + script)
    batch = site.submitted(2)
    made = site.packed()
    assert [site.work(made) for _ in range(2)] == ["under_way", "ended"]
    _change_jobs(site, batch, seq=2, outcome="flex_lane")
    assert site.work(made) == "done"
    assert (site.plant.jobs(batch)[1]["state"], site.plant.jobs(batch)[1]["outcome"]) == end
    attempts = site.plant.attempts(batch)
    assert all(row["closed_at"] for row in attempts)
    assert costs(attempts) == billed(site.plant, attempts)


def test_a_worker_without_the_timer_of_the_lane_leaves_its_jobs_to_others(site: LaneSite) -> None:
    batch = site.submitted(2)
    made = site.packed()
    late = site.submitted(1)
    jobs = [*site.plant.jobs(batch), *site.plant.jobs(late)]
    store = site.worker.store
    for row in jobs:
        assert site.worker.loop.run(run(row["id"], site.worker)).startswith("dropped"), "a message came all the same"
    assert [job for rung in range(3) for job in store.outbox.unsent(rung, limit=9)] == []
    assert [store.outbox.due(rung, limit=9).jobs for rung in range(3)] == [0] * 3
    assert store.leases.strays(limit=9) == []
    assert [*site.plant.jobs(batch), *site.plant.jobs(late)] == jobs
    assert [site.work(made) for _ in range(3)] == ["under_way", "ended", "done"]
    assert {row["state"] for row in site.plant.jobs(batch)} == {"succeeded"}


def test_a_request_with_half_a_surrogate_pair_goes_live_and_fails_and_holds_no_other_back(site: LaneSite) -> None:
    batch = site.submitted(3)
    wrong, right = "half \ud800", [{"role": "user", "content": "\U0001f600 and \\ud800 are right."}]
    _change_jobs(site, batch, seq=1, params={"max_tokens": 9, "messages": [{"role": "user", "content": wrong}]})
    _change_jobs(site, batch, seq=2, params={"max_tokens": 9, "messages": right})
    made = site.packed()
    assert [one.count for one in site.events if isinstance(one, LeftForLive)] == [1]
    assert site.row(made)["size"] == 2
    first, *others = site.plant.jobs(batch)
    site.worker.loop.run(run(first["id"], site.worker))
    assert [site.work(made) for _ in range(3)] == ["under_way", "ended", "done"]
    first, *others = site.plant.jobs(batch)
    assert {row["state"] for row in others} == {"succeeded"}
    assert (first["state"], first["outcome"]) == ("failed", "bad_request")
    assert "a text holds half a surrogate pair; remove it" in first["error"]
    attempts = site.plant.attempts(batch)
    assert costs(attempts) == billed(site.plant, attempts)
    assert {row["cost_nano_usd"] for row in attempts if row["job_id"] == first["id"]} == {0}


def test_a_job_whose_model_is_at_another_endpoint_goes_live(site: LaneSite) -> None:
    batch = site.submitted(1)
    chain = Chain(models=tuple(f"cloud/{model}" for model in site.worker.chain.models))
    lane = replace(site.lane, worker=replace(site.worker, chain=chain))
    assert pack(lane, lane.batches.candidates(limit=9)) == 0
    assert [one.count for one in site.events if isinstance(one, LeftForLive)] == [1]
    assert [row["outcome"] for row in site.plant.jobs(batch)] == [None], "the job waits for no lane any more"
