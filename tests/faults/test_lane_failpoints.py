"""A worker killed at each place around a message batch: each item is bought once, or its cost is recorded as late."""

import signal
from pathlib import Path

import pytest

from models.job.task_kinds import JobTerms
from tests.faults.invariants import examine
from tests.faults.site import open_site
from tests.support.eventually import eventually
from tests.support.sites.worker_site import ENGINES
from worker.recovery.failpoints import LANE_NAMES

_JOBS = 6
_SCRIPT = "[batches]\ntakes_s = 0\ncancel_s = 0\n"


@pytest.mark.parametrize("name", LANE_NAMES)
@pytest.mark.parametrize("engine_name", ENGINES)
def test_wherever_a_worker_is_killed_each_item_is_bought_once(engine_name: str, name: str, tmp_path: Path) -> None:
    with open_site(engine_name, tmp_path, script=_SCRIPT) as site:
        doomed = site.hire(STEPDOWN_FAILPOINT=name)
        batch = site.submit(_JOBS, terms=JobTerms(half_price=True, deadline_s=150), max_cost_usd=1)
        assert doomed.ended(within_s=30) == -signal.SIGKILL, doomed.message()
        site.hire()
        site.finished(batch)
        open_attempts = "SELECT count(*) AS n FROM attempts WHERE closed_at IS NULL"
        eventually(lambda: not site.rows(open_attempts)[0]["n"], within_s=30, because="all attempts are closed")
        found = examine(site)
        assert (found.wrong, found.succeeded, found.held, found.unknown_costs) == ((), _JOBS, 0, 0)
        made = site.simulator.batches()
        assert len(made) == (0 if name == "after_sent" else 1)
        assert found.purchases == _JOBS
