"""A fleet at its provider's limits, before a dead model, and without its Redis: few calls in vain, and no job fails."""

from collections import Counter
from collections.abc import Iterator

import pytest

from models.chain.chain import RungRange
from producer.client import Batch
from tests.faults.site import Site, open_site
from tests.support.eventually import eventually
from tests.support.ledgers.job_values import new_batch, new_job
from tests.support.sites.worker_site import HAIKU, OPUS, SONNET, forget_faults

_GROUPS = ("opus-4", "sonnet-4", "haiku-4-5")
_PER_MINUTE = 60


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run two workers, whose calls take a while."""
    folder = tmp_path_factory.mktemp("limits")
    with open_site("sqlite", folder, latency_s=0.2, WORKER_CONCURRENCY="16", PROBE_EVERY_S="0.5") as site:
        for worker in [site.hire_at_once(), site.hire_at_once()]:
            worker.ready()
        yield site


@pytest.fixture
def site(whole: Site) -> Iterator[Site]:
    """Lend it to one test, with a fleet that knows of no fault and no limit."""
    forget_faults(whole.variables["REDIS_URL"])
    yield whole
    whole.simulator.set_script("")


def _limits(per_minute: int = _PER_MINUTE) -> str:
    return "".join(f"[limits.{group}]\nrequests_per_minute = {per_minute}\n" for group in _GROUPS)


def _count(site: Site) -> int:
    return len(site.simulator.purchases())


def _refused(site: Site, *, since: int) -> int:
    return sum(count for (_, status), count in _statuses(site, since).items() if status == 429)


def _statuses(site: Site, since: int = 0) -> Counter[tuple[str, int]]:
    return Counter((purchase["requested_model"], purchase["status"]) for purchase in site.simulator.purchases()[since:])


def _all_succeed(site: Site, batch: Batch, *, within_s: float = 90) -> None:
    site.finished(batch, within_s=within_s)
    progress = batch.progress()
    assert progress.succeeded == progress.job_count, progress.states


def test_more_jobs_than_the_limits_take_cost_hardly_a_call_in_vain(site: Site) -> None:
    before = _count(site)
    site.simulator.set_script(_limits())
    _all_succeed(site, site.submit(230))  # 180 from full buckets, the others as they refill
    assert _refused(site, since=before) <= 5


def test_redis_killed_at_the_limits_hardly_passes_them(site: Site) -> None:
    before = _count(site)
    site.simulator.set_script(_limits())
    batch = site.submit(240)
    eventually(lambda: batch.progress().succeeded > 150, within_s=60, because="the buckets are nearly used up")
    site.broker.crash()
    eventually(lambda: site.in_flight() == 0, within_s=60, because="what the workers had in hand has ended")
    site.broker.start()
    _all_succeed(site, batch)
    assert _refused(site, since=before) <= 240 * 0.05


def test_a_dead_primary_costs_the_fleet_a_probe_at_a_time_and_is_taken_back(site: Site) -> None:
    before = _count(site)
    site.simulator.set_script('[[rules]]\nmodel = "opus"\nanswer = 529')
    first = site.submit(20)
    _all_succeed(site, first)
    at_first = _statuses(site, before)[OPUS, 529]
    assert at_first >= 3
    _all_succeed(site, site.submit(300))
    assert (
        _statuses(site, before)[OPUS, 529] - at_first < 30
    )  # one call for each of some half seconds, not one for each job
    site.simulator.set_script("")

    def is_back() -> bool:
        _all_succeed(site, site.submit(1))
        return _statuses(site, before)[OPUS, 200] > 0

    eventually(is_back, within_s=60, because="a probe finds the primary alive")


def test_when_all_are_down_no_job_fails_and_all_end_once_they_are_back(site: Site) -> None:
    site.simulator.set_script("[[rules]]\nanswer = 529")
    batch = site.submit(100)
    eventually(lambda: batch.progress().states.get("waiting", 0) >= 99, within_s=60, because="every job is parked")
    site.simulator.set_script("")
    _all_succeed(site, batch)


@pytest.mark.parametrize(("deadline_s", "floor", "model"), [(3600, 0, OPUS), (2.5, 2, SONNET)])
def test_a_long_retry_after_is_waited_for_or_stepped_past_by_floor_and_time(
    site: Site, deadline_s: float, floor: int, model: str
) -> None:
    before = _count(site)
    site.simulator.set_script('[[rules]]\nmodel = "opus"\nanswer = 429\nretry_after_s = 3\ntimes = 1')
    job = new_job(span=RungRange(start=0, floor=floor, ceiling=0), patience_s=3600.0)
    site.producer.store.ledger.enqueue(new_batch(deadline_s=deadline_s), [job])
    others = site.submit(200, task="summarize")  # more than there are threads, while the job waits
    _all_succeed(site, others)
    found = eventually(
        lambda: site.rows("SELECT * FROM jobs WHERE id = :id AND state = 'succeeded'", id=job.id),
        within_s=30,
        because="the job ends",
    )
    asked = [purchase["requested_model"] for purchase in site.simulator.purchases() if purchase["job"] == job.id]
    assert (found[0]["model_used"], asked) == (model, [OPUS, model])
    by_others = [purchase for purchase in site.simulator.purchases()[before:] if purchase["job"] != job.id]
    assert {purchase["served_model"] for purchase in by_others} == {HAIKU}
