"""A worker that is asked to end, frozen, or killed again and again by one job."""

import subprocess
from pathlib import Path

import pytest

from models.outcome import OnUnknown
from producer.running.start import worker_command
from tests.faults.invariants import examine
from tests.faults.site import open_site
from tests.support.eventually import eventually
from tests.support.sites.worker_site import settings_of


def _slow(delay_s: float) -> str:
    return f"[[rules]]\nanswer = 'slow'\ndelay_s = {delay_s}"


def test_a_deploy_waits_for_the_calls_in_flight_and_leaves_the_rest_to_others(tmp_path: Path) -> None:
    with open_site("sqlite", tmp_path, script=_slow(1.5)) as site:
        old = site.hire()
        batch = site.submit(24)
        eventually(lambda: site.in_flight() == 8, within_s=30, because="all threads are calling")
        old.ask_to_end()
        assert old.ended() == 0
        assert len(site.simulator.purchases()) == 8, "no call begins after it was asked to end"
        assert batch.progress().succeeded == 8
        site.hire()
        site.finished(batch)
        found = examine(site)
        assert (found.wrong, found.succeeded, found.purchases, found.held) == ((), 24, 24, 0)
        assert {row["crashes"] for row in site.rows("SELECT crashes FROM jobs")} == {0}


@pytest.mark.parametrize(("max_tokens", "status"), [(500, "unknown"), (9_000, "at_least")])
def test_a_call_that_outlasts_the_drain_is_cut_and_its_job_goes_on_elsewhere(
    tmp_path: Path, max_tokens: int, status: str
) -> None:
    script = f"[[rules]]\nanswer = 'text'\ntext = '{'Harbour. ' * 300}'\ndelay_s = 15"  # an event each 0.1 s
    with open_site("sqlite", tmp_path, script=script, DRAIN_S="1") as site:
        old = site.hire()
        batch = site.submit(3, max_tokens=max_tokens)
        eventually(lambda: site.in_flight() == 3, within_s=30, because="they are called")
        old.ask_to_end()
        assert old.ended(within_s=12) == 0
        assert {row["cost_status"] for row in site.rows("SELECT cost_status FROM attempts")} == {status}
        site.simulator.set_script("")
        site.hire()
        site.finished(batch)
        found = examine(site)
        assert (found.wrong, found.succeeded, found.unknown_costs) == ((), 3, 3)


def test_a_worker_that_was_frozen_past_its_lease_is_not_bought_after(tmp_path: Path) -> None:
    with open_site("sqlite", tmp_path, script=_slow(1), HOLD_ABOVE_USD="0", WORKER_CONCURRENCY="4") as site:
        frozen = site.hire()
        batch = site.submit(4)
        eventually(lambda: site.in_flight() == 4, within_s=30, because="they are called")
        frozen.freeze()
        other = site.hire()
        eventually(lambda: other.message().count("(unknown)") == 4, within_s=60, because="its jobs are held")
        assert batch.progress().finished == 0
        frozen.thaw()
        site.finished(batch)  # its replies were in its socket, and nobody has bought again
        found = examine(site)
        assert (found.wrong, found.succeeded, found.purchases) == ((), 4, 4)
        assert found.unknown_costs == 0


@pytest.mark.parametrize("choice", OnUnknown)
def test_a_job_says_itself_whether_it_is_held_or_bought_again(tmp_path: Path, choice: OnUnknown) -> None:
    with open_site("sqlite", tmp_path, script=_slow(2), WORKER_CONCURRENCY="2") as site:
        doomed = site.hire()
        batch = site.submit(2, on_unknown=choice)
        eventually(lambda: site.in_flight() == 2, within_s=30, because="they are called")
        doomed.kill()
        other = site.hire()
        eventually(lambda: other.message().count("its worker was lost") == 2, within_s=60, because="they are rescued")
        if choice is OnUnknown.HOLD:
            assert (examine(site).held, len(site.simulator.purchases())) == (2, 2)
            assert site.producer.store.job_actions.drop(batch_id=batch.id) == 2
        site.finished(batch)
        found = examine(site)
        again = 0 if choice is OnUnknown.HOLD else 2
        assert (found.wrong, found.succeeded, found.purchases, found.rebuys) == ((), again, 2 + again, again)


def test_a_job_that_kills_its_worker_is_failed_after_five(tmp_path: Path) -> None:
    with open_site("sqlite", tmp_path, LEASE_S="1", WORKER_CONCURRENCY="1") as site:
        batch = site.submit(1)
        for _ in range(5):
            assert site.hire_at_once(STEPDOWN_FAILPOINT="after_claim").ended() < 0
        site.hire()
        site.finished(batch)
        (job,) = site.rows("SELECT state, outcome, error, deliveries FROM jobs")
        assert (job["state"], job["outcome"], job["deliveries"]) == ("failed", "poison", 5)
        assert job["error"] == "5 workers in a row were lost with it"
        assert site.simulator.purchases() == []


@pytest.mark.parametrize("pool", ["gevent", "solo"])  # prefork, being the default, is ours all the same
def test_a_worker_runs_on_its_own_pool_only(tmp_path: Path, pool: str) -> None:
    with open_site("sqlite", tmp_path) as site:
        command = [*worker_command(settings_of(site.variables)), "-P", pool]
        ended = subprocess.run(
            command, cwd=tmp_path, env=dict(site.variables), capture_output=True, check=False, timeout=60
        )
        assert ended.returncode != 0
        assert b"on a pool of its own: leave -P out" in ended.stderr
