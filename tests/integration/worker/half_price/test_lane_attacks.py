"""Attacks on the lane, call by call: lapsed leases, foreign message batches, busy limits, and changed settings."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.sites.lane_site import LaneSite, running_lane
from tests.support.sites.worker_site import ENGINES, OPUS, SONNET, one_test, settings_of

_QUICK = "[batches]\ntimes_faster = 1\ntakes_s = 0\ncancel_s = 0\n"


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaneSite]:
    """Open one worker for all tests of this file."""
    with running_lane(request, tmp_path_factory.mktemp("lane-attacks")) as site:
        yield site


@pytest.fixture
def site(whole: LaneSite) -> Iterator[LaneSite]:
    """Lend it to one test."""
    with one_test(whole.plant):
        yield whole


def test_items_of_a_longer_chain_are_sent_and_ended(site: LaneSite) -> None:
    site.plant.simulator.set_script(_QUICK)
    batch = site.submitted(task="summarize")  # starts on the third model
    made = site.packed()
    shorter = settings_of({**site.plant.variables, "MODEL_CHAIN": f"{OPUS},{SONNET}", "TASK_STARTS": ""}).chain
    lane = replace(site.lane, worker=replace(site.worker, chain=shorter))
    assert site.work(made, lane) == "under_way"
    assert [site.work(made, lane), site.work(made, lane)] == ["ended", "done"]
    assert {row["state"] for row in site.plant.jobs(batch)} == {"succeeded"}
