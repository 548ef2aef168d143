"""A worker killed around the create of a message batch: nothing is created twice, and each bill is a row."""

import signal
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from models.job.task_kinds import JobTerms
from tests.faults.site import open_site
from tests.support.eventually import eventually
from tests.support.sites.worker_site import ENGINES
from worker.recovery.failpoints import OF_LANE

_SCRIPT = "[batches]\ntakes_s = 0\n"
_ENDS = "UPDATE message_batches SET lease_until = NULL"


@pytest.mark.parametrize("engine_name", ENGINES)
@pytest.mark.parametrize("place", OF_LANE)
def test_a_worker_killed_around_the_create_buys_nothing_twice(engine_name: str, place: str, tmp_path: Path) -> None:
    with open_site(
        engine_name, tmp_path, script=_SCRIPT, HALF_PRICE_USUAL_S="0", HALF_PRICE_LIVE_S="30", HALF_PRICE_POLL_S="0.2"
    ) as site:
        doomed = site.hire(STEPDOWN_FAILPOINT=place)
        batch = site.submit(4, terms=JobTerms(half_price=True, deadline_s=600))
        assert doomed.ended(within_s=30) == -signal.SIGKILL, doomed.message()
        with site.engine.begin() as connection:
            connection.execute(text(_ENDS))  # as after the two minutes of its lease
        site.hire()
        site.finished(batch)
        made = "SELECT state FROM message_batches"
        eventually(lambda: site.rows(made) == [{"state": "done"}], within_s=30, because="its end is known")
        costs = site.rows("SELECT cost_nano_usd FROM attempts WHERE cost_nano_usd > 0")
        bills = [one["billed_nano_usd"] for one in site.simulator.purchases() if one["billed_nano_usd"]]
        assert sorted(int(row["cost_nano_usd"]) for row in costs) == sorted(int(Decimal(bill)) for bill in bills)
        assert len(bills) == 4
