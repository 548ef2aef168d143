"""Attacks on the lane, call by call: lapsed leases, foreign message batches, busy limits, and changed settings."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from models.schema.columns import db_now
from models.schema.message_batch import MessageBatch
from tests.support.eventually import eventually
from tests.support.sites.lane_site import QUICK_API, LaneSite, running_lane
from tests.support.sites.worker_site import ENGINES, OPUS, SONNET, one_test, settings_of
from worker.fallback.try_rung import fit, opening_of
from worker.fallback.walk import first_rung
from worker.provider import message_batches
from worker.provider.fit_request import FittedRequest

_DAY_S = 86_400.0


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaneSite]:
    """Open one worker for all tests of this file."""
    with running_lane(request, tmp_path_factory.mktemp("lane-attacks")) as site:
        yield site


@pytest.fixture
def site(whole: LaneSite) -> Iterator[LaneSite]:
    """Lend the site to one test."""
    with one_test(whole.plant):
        yield whole


def rule(call: str, answer: str, **more: object) -> str:
    """Write a rule for a call about message batches."""
    fields = {"call": f'"{call}"', "answer": answer if answer.isdigit() else f'"{answer}"', **more}
    return "[[batch_rules]]\n" + "\n".join(f"{name} = {value}" for name, value in fields.items()) + "\n"


def files(folder: Path) -> list[Path]:
    """List the results on this disk."""
    return [*folder.iterdir()] if folder.exists() else []


def test_items_of_a_longer_chain_are_sent_and_ended(site: LaneSite) -> None:
    site.plant.simulator.set_script(QUICK_API)
    batch = site.submitted(task="summarize")  # starts on the third model
    made = site.packed()
    shorter = settings_of({**site.plant.variables, "MODEL_CHAIN": f"{OPUS},{SONNET}", "TASK_STARTS": ""}).chain
    lane = replace(site.lane, worker=replace(site.worker, chain=shorter))
    assert site.work(made, lane) == "under_way"
    assert [site.work(made, lane), site.work(made, lane)] == ["ended", "done"]
    assert {row["state"] for row in site.plant.jobs(batch)} == {"succeeded"}


def test_a_worker_that_loses_its_lease_while_it_reads_leaves_no_answers_on_its_disk(site: LaneSite) -> None:
    site.plant.simulator.set_script(QUICK_API + rule("results", "ok", times=1, delay_s=0.5))
    site.submitted()
    made = site.packed()
    assert [site.work(made) for _ in range(2)] == ["under_way", "ended"]
    reading = Thread(target=site.work, args=(made,))
    reading.start()
    eventually(lambda: site.row(made)["lease_until"], within_s=5, because="the collector has its lease")
    site.change(made, lease_token=MessageBatch.lease_token + 1, lease_until=None)
    reading.join()
    assert site.row(made)["state"] == "ended"
    assert not files(site.lane.folder)
    assert site.work(made) == "done"
    assert not files(site.lane.folder)


def test_the_lease_lasts_as_long_as_the_call(site: LaneSite) -> None:
    hasty = replace(site.lane, lease_s=0.3)
    site.plant.simulator.set_script(QUICK_API + rule("create", "ok", times=1, delay_s=1.5))
    site.submitted()
    made = site.packed()
    creating = Thread(target=site.work, args=(made, hasty))
    creating.start()
    eventually(lambda: site.row(made)["sent_at"], within_s=5, because="the create leaves")
    others = []
    while creating.is_alive():
        others.append(site.lane.batches.take(made, lease_s=60))
        creating.join(0.1)
    assert [*filter(None, others)] == []
    assert len(others) > 3
    assert (site.row(made)["state"], site.row(made)["is_proven"]) == ("under_way", True)


@pytest.mark.parametrize("call", ["retrieve", "list"])
def test_a_429_with_advice_is_obeyed_by_polls_and_looks(site: LaneSite, call: str) -> None:
    doubtful = rule("create", "500", times=1) if call == "list" else ""
    site.plant.simulator.set_script(QUICK_API + doubtful + rule(call, "429", retry_after_s=900))
    site.submitted()
    made = site.packed()
    states = [site.work(made), site.work(made)]
    assert states == (["doubtful"] * 2 if doubtful else ["under_way"] * 2)
    assert site.look_in_s(made) > 800


def test_a_429_without_advice_makes_polls_rarer_until_a_good_reply(site: LaneSite) -> None:
    limited = rule("retrieve", "429", times=4)
    site.plant.simulator.set_script("[batches]\ntakes_s = 600\n" + limited)
    site.submitted()
    made = site.packed()
    assert site.work(made) == "under_way"
    waits = []
    for _ in range(5):
        site.work(made)
        waits.append(site.look_in_s(made))
    assert waits[3] > 4 * site.lane.poll_s > waits[4]
    assert site.row(made)["looks"] == 0


def test_a_stray_of_a_lost_create_is_cancelled(site: LaneSite) -> None:
    stray = rule("create", "500", accepted="true", times=1, list_lag_s=2, takes_s=600)
    site.plant.simulator.set_script(QUICK_API + stray)
    site.submitted()
    made, hasty = site.packed(), replace(site.lane, poll_s=0.05, lost_s=0.75)
    eventually(lambda: site.work(made, hasty) == "lost", within_s=10, because="no list shows the message batch")
    eventually(lambda: site.work(made, hasty) == "cancelling", within_s=10, because="the list shows the stray")
    eventually(lambda: site.work(made, hasty) == "done", within_s=10, because="the stray ends by the cancel")
    assert site.plant.simulator.batches()[-1]["cancel_initiated_at"]


@pytest.mark.parametrize("fault", ["retrieve", "results", "list"])
def test_the_cost_of_items_that_nobody_can_ask_for_any_more_is_unknown(site: LaneSite, fault: str) -> None:
    doubtful = rule("create", "500", times=1) if fault == "list" else ""
    site.plant.simulator.set_script(QUICK_API + doubtful + rule(fault, "404"))
    batch = site.submitted()
    made = site.packed()
    site.work(made)
    site.work(made)
    site.change(made, sent_at=db_now(-30 * _DAY_S))
    site.work(made)
    assert site.row(made)["look_at"] is None
    assert {(row["outcome"], row["cost_status"], row["cost_nano_usd"]) for row in site.items(made)} == {
        ("unknown", "unknown", None)
    }
    assert all(row["closed_at"] for row in site.items(made))
    assert {(row["state"], row["outcome"]) for row in site.plant.jobs(batch)} == {("waiting", "moved")}


def test_results_after_weeks_fit_the_column_of_their_latency(site: LaneSite) -> None:
    site.plant.simulator.set_script(QUICK_API)
    batch = site.submitted()
    made = site.packed()
    now = site.worker.now
    wrong = replace(site.lane, worker=replace(site.worker, now=lambda: now().replace(year=now().year + 1)))
    assert [site.work(made, wrong) for _ in range(3)] == ["under_way", "ended", "done"]
    assert {row["state"] for row in site.plant.jobs(batch)} == {"succeeded"}


def test_a_job_cancelled_before_the_create_is_not_bought(site: LaneSite) -> None:
    site.plant.simulator.set_script(QUICK_API)
    dropped, kept = site.submitted(2), site.submitted(3)
    made = site.packed()
    dropped.cancel()
    assert [site.work(made) for _ in range(3)] == ["under_way", "ended", "done"]
    (created,) = [one for one in site.plant.simulator.batches() if one["id"] == site.row(made)["provider_id"]]
    assert {*created["custom_ids"]} == {row["id"] for row in site.plant.attempts(kept)}
    assert {row["cost_nano_usd"] for row in site.plant.attempts(dropped)} == {0}
    assert {row["state"] for row in site.plant.jobs(kept)} == {"succeeded"}


def test_a_message_batch_of_the_key_before_is_looked_after_by_its_successor(site: LaneSite) -> None:
    site.plant.simulator.set_script(QUICK_API)
    batch = site.submitted()
    made = site.packed()
    assert site.work(made) == "under_way"
    site.change(made, look_at=db_now(-600.0))
    assert site.lane.batches.due("the-next-key", most=9) == []
    site.change(made, look_at=db_now(-7200.0))
    assert site.lane.batches.due("the-next-key", most=9) == [made]
    lane = replace(site.lane, namespace="the-next-key")
    assert [site.work(made, lane), site.work(made, lane)] == ["ended", "done"]
    assert {row["state"] for row in site.plant.jobs(batch)} == {"succeeded"}


def test_a_create_of_the_key_before_is_left_to_its_own_key(site: LaneSite) -> None:
    site.submitted()
    made = site.packed()
    site.change(made, look_at=db_now(-7200.0))
    assert site.lane.batches.due("the-next-key", most=9) == []


def test_jobs_of_one_message_batch_have_near_deadlines(site: LaneSite) -> None:
    soon, late = site.submitted(1, deadline_s=10_000), site.submitted(2, deadline_s=80_000)
    first, second = site.packed(), site.packed()
    assert first != second
    assert {row["message_batch_id"] for row in site.plant.attempts(soon)} == {first}
    assert {row["message_batch_id"] for row in site.plant.attempts(late)} == {second}


def test_a_stray_is_recorded_beside_a_live_call_of_its_job(site: LaneSite) -> None:
    site.plant.simulator.set_script(QUICK_API + rule("create", "500", accepted="true", times=1, list_lag_s=2))
    batch = site.submitted(1)
    made, hasty, ledger = site.packed(), replace(site.lane, poll_s=0.05, lost_s=0.75), site.worker.store.ledger
    eventually(lambda: site.work(made, hasty) == "lost", within_s=10, because="no list shows the message batch")
    (job,) = site.plant.jobs(batch)
    claim = ledger.claim(job["id"], lease_s=60)
    assert claim is not None
    eventually(lambda: site.work(made, hasty) == "done", within_s=10, because="the stray is found")
    live = first_rung(claim, site.worker, 600)
    request = fit(live)
    assert isinstance(request, FittedRequest)
    assert ledger.open_attempt(claim, opening_of(live, request, worst_case_usd=None)) is True
    reasons = [(row["reason"], row["cost_nano_usd"] is None) for row in site.plant.attempts(batch)]
    assert reasons == [("start", False), ("late", True), ("late", False)]


def test_a_long_first_answer_proves_a_message_batch_ours(site: LaneSite) -> None:
    long = f'[[rules]]\nlane = "batch"\nanswer = "text"\ntext = "{"harbour " * 12_000}"\n'
    site.plant.simulator.set_script(QUICK_API + rule("create", "reset_before", times=1, foreign=2) + long)
    batch = site.submitted(1, max_tokens=60_000)
    made = site.packed()
    assert [site.work(made) for _ in range(4)] == ["doubtful", "under_way", "ended", "done"]
    assert {row["state"] for row in site.plant.jobs(batch)} == {"succeeded"}


def test_a_clock_of_the_provider_that_is_two_hours_ahead_hides_no_message_batch(site: LaneSite) -> None:
    site.plant.simulator.set_script(QUICK_API + "skew_s = 7200\n" + rule("create", "reset_before", times=1))
    site.submitted()
    made = site.packed()
    assert [site.work(made) for _ in range(4)] == ["doubtful", "under_way", "ended", "done"]


def test_a_download_that_drips_for_ever_is_ended(site: LaneSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_batches, "_DOWNLOAD_S", 0.3)
    site.plant.simulator.set_script(QUICK_API + rule("results", "ok", times=1, delay_s=30))
    site.submitted()
    made = site.packed()
    assert [site.work(made) for _ in range(3)] == ["under_way", "ended", "ended"]
    assert site.row(made)["error"] == "timed_out: no complete reply within 0.3 s"


def test_a_stray_has_its_cost_recorded_though_its_jobs_had_gone_on(site: LaneSite) -> None:
    site.plant.simulator.set_script(QUICK_API + rule("create", "500", accepted="true", times=1, list_lag_s=2))
    batch = site.submitted()
    made, hasty = site.packed(), replace(site.lane, poll_s=0.05, lost_s=0.75)
    assert site.work(made, hasty) == "doubtful"
    batch.cancel()
    eventually(lambda: site.work(made, hasty) == "lost", within_s=10, because="no list shows the message batch")
    eventually(lambda: site.work(made, hasty) == "done", within_s=10, because="the stray is found")
    costs = {row["reason"]: row["cost_nano_usd"] for row in site.items(made)}
    assert costs["start"] == 0
    assert costs["late"] > 0


def test_a_message_batch_is_halved_once(site: LaneSite) -> None:
    site.submitted(4)
    made, before = site.packed(), len(site.rows())
    taken = site.lane.batches.take(made, lease_s=60)
    assert taken is not None
    for _ in range(2):
        site.lane.batches.halve(taken)
    assert len(site.rows()) == before + 2


@pytest.mark.parametrize(
    ("script", "before", "after"),
    [(rule("create", "hang"), [], "doubtful"), (rule("results", "hang"), ["under_way", "ended"], "ended")],
)
def test_a_stopping_worker_cuts_the_calls_of_message_batches(
    site: LaneSite, script: str, before: list[str], after: str
) -> None:
    site.plant.simulator.set_script(QUICK_API + script)
    site.submitted()
    made = site.packed()
    assert [site.work(made) for _ in before] == before
    calling = Thread(target=site.work, args=(made,))
    calling.start()
    calling.join(1)
    assert calling.is_alive()
    site.worker.loop.run(site.worker.provider.cut())
    calling.join(5)
    assert (calling.is_alive(), site.row(made)["state"]) == (False, after)


def test_a_stopping_worker_leaves_message_batches_to_others(site: LaneSite) -> None:
    site.plant.simulator.set_script(QUICK_API)
    site.submitted()
    made = site.packed()
    stopping = replace(site.lane, worker=replace(site.worker, is_stopping=lambda: True))
    assert site.work(made, stopping) == "sending"
    assert site.row(made)["lease_until"] is None
    assert site.work(made) == "under_way"
