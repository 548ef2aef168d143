"""How a batch under faults should end, and how to meet it in the middle."""

from tests.faults.invariants import examine
from tests.faults.site import Site
from tests.support.eventually import eventually


def ends_well(site: Site, batch_id: str, jobs: int, *, within_s: float = 60) -> None:
    """Wait for a batch's end: every job succeeded, each was asked for once, and every worker lives."""
    eventually(
        lambda: site.producer.store.reports.progress(batch_id).is_finished, within_s=within_s, because="every job ends"
    )
    found = examine(site)
    assert found.wrong == ()
    assert site.producer.store.reports.progress(batch_id).succeeded == jobs
    assert found.purchases == found.attempts == found.jobs, "nothing was asked twice"
    assert all(worker.is_alive() for worker in site.workers if worker.is_wanted)


def in_the_middle(site: Site, jobs: int) -> str:
    """Submit a batch, and come back when it is under way."""
    batch = site.submit(jobs)
    eventually(lambda: batch.progress().finished > min(jobs // 10, 50), within_s=30, because="the batch is under way")
    return batch.id
