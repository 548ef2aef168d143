"""A worker killed at each named place; afterwards every job has ended, and nothing was lost or bought twice."""

import signal
from pathlib import Path

import pytest

from tests.faults.invariants import examine
from tests.faults.site import Site, Worker, open_site
from tests.support.eventually import eventually
from tests.support.sites.worker_site import ENGINES
from worker.recovery.failpoints import NAMES

_JOBS = 24
_IN_THE_CLOCK = "after_send"


@pytest.mark.parametrize("engine_name", ENGINES)
def test_wherever_a_worker_is_killed_every_job_ends_once_or_is_held(engine_name: str, tmp_path: Path) -> None:
    with open_site(engine_name, tmp_path, WORKER_CONCURRENCY="1", QUEUE_WINDOW="6", HOLD_ABOVE_USD="0") as site:
        doomed = {name: site.hire_at_once(STEPDOWN_FAILPOINT=name) for name in NAMES if name != _IN_THE_CLOCK}
        for worker in doomed.values():
            worker.ready()
        batch = site.submit(_JOBS)
        for name, worker in doomed.items():
            _dies_of(name, worker)
        # The queue was topped up by clocks that are dead now; this one dies between sending and noting it.
        _dies_of(_IN_THE_CLOCK, site.hire_at_once(STEPDOWN_FAILPOINT=_IN_THE_CLOCK))
        site.hire()
        eventually(lambda: _is_at_rest(site, batch.id), within_s=60, because="every job has ended or is held")
        found = examine(site)
        assert found.wrong == ()
        # One had opened its attempt, one had its answer in hand: nobody can know of either. Nor of a call that was on
        # its way when the worker of that call died in its clock: there may have been one.
        held = found.held
        assert held in {2, 3}
        assert (found.jobs, found.succeeded, found.unknown_costs, found.attempts) == (_JOBS, _JOBS - held, held, _JOBS)
        # The first of them had not sent its request yet.
        assert _JOBS - held + 1 <= found.purchases <= _JOBS - 1
        assert site.producer.store.job_actions.release(batch_id=batch.id, deadline_s=3600) == held
        site.finished(batch)
        after = examine(site)
        assert (after.wrong, after.succeeded, after.purchases, after.rebuys) == (
            (),
            _JOBS,
            found.purchases + held,
            held,
        )


def _dies_of(name: str, worker: Worker) -> None:
    assert worker.ended(within_s=30) == -signal.SIGKILL, f"{name}: {worker.message()}"


def _is_at_rest(site: Site, batch_id: str) -> bool:
    (row,) = site.rows(
        "SELECT count(*) AS n FROM jobs WHERE batch_id = :batch_id AND (state IN ('queued', 'running')"
        " OR state = 'waiting' AND due_at IS NOT NULL)",
        batch_id=batch_id,
    )
    return not row["n"]
