"""Calls that the provider refuses for the key, for its load, or for their number: the lane waits, and loses nothing."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from sqlalchemy import delete

from models.queue.broker import Broker
from models.queue.redis_keys import BATCH_QUEUE, PREFIX
from models.schema.columns import db_now
from models.schema.message_batch import MessageBatch
from tests.integration.worker.half_price.test_lane_attacks import rule
from tests.support.ledgers.half_price_lane import book_message_batch
from tests.support.sites.lane_site import QUICK_API, LaneSite, running_lane
from tests.support.sites.worker_site import ENGINES, one_test
from worker.events import KeyPaused
from worker.half_price.lane import Lane
from worker.half_price.pack import Packer
from worker.half_price.work import work
from worker.periodic.half_price_timer import HalfPriceTimer

_PAUSE_S = 900.0
_REFUSALS = {"401": "unauthorized", "400_spend_limit": "spend_limit", "429_spend_limit": "spend_limit"}


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaneSite]:
    """Open one worker for all tests of this file."""
    with running_lane(request, tmp_path_factory.mktemp("lane-calls")) as site:
        yield site


@pytest.fixture
def site(whole: LaneSite) -> Iterator[LaneSite]:
    """Lend the site to one test."""
    with one_test(whole.plant):
        whole.events.clear()
        yield whole


def _patient(site: LaneSite) -> Lane:
    return replace(site.lane, worker=replace(site.worker, key_pause_s=_PAUSE_S))


def _paused(site: LaneSite) -> list[tuple[str, float]]:
    return [(str(one.outcome), one.for_s) for one in site.events if isinstance(one, KeyPaused)]


@pytest.mark.parametrize("answer", _REFUSALS)
@pytest.mark.parametrize(
    ("call", "before", "after"),
    [
        ("retrieve", ["under_way"], ["ended", "done"]),
        ("list", ["doubtful"], ["under_way", "ended", "done"]),
        ("results", ["under_way", "ended"], ["done"]),
    ],
)
def test_a_refused_key_pauses_and_the_message_batch_is_not_lost(
    site: LaneSite, call: str, before: list[str], after: list[str], answer: str
) -> None:
    lost_reply = rule("create", "reset_before", times=1) if call == "list" else ""
    site.plant.simulator.set_script(QUICK_API + lost_reply + rule(call, answer, times=1))
    batch = site.submitted()
    made, lane = site.packed(), _patient(site)
    assert [site.work(made, lane) for _ in before] == before
    assert site.work(made, lane) == before[-1]
    assert _paused(site) == [(_REFUSALS[answer], _PAUSE_S)]
    assert 0.9 * _PAUSE_S < site.look_in_s(made) <= _PAUSE_S
    assert {row["state"] for row in site.plant.jobs(batch)} == {"waiting"}
    assert [site.work(made, lane) for _ in after] == after
    assert {row["state"] for row in site.plant.jobs(batch)} == {"succeeded"}


def test_a_key_refused_at_the_switch_time_has_the_cancel_repeated_within_the_grace(site: LaneSite) -> None:
    site.plant.simulator.set_script(QUICK_API.replace("takes_s = 0", "takes_s = 600") + rule("cancel", "401", times=1))
    site.submitted()
    made, lane = site.packed(), _patient(site)
    assert site.work(made, lane) == "under_way"
    site.change(made, switch_at=db_now(0.0))
    assert site.work(made, lane) == "cancelling"
    assert _paused(site) == [("unauthorized", _PAUSE_S)]
    assert site.look_in_s(made) < lane.grace_s
    assert site.row(made)["cancelled_at"] is None
    assert [site.work(made, lane) for _ in range(3)] == ["cancelling", "ended", "done"]


@pytest.mark.parametrize("answer", ["500", "503", "504", "529"])
def test_a_create_that_a_5xx_answers_is_doubtful_and_is_not_sent_again(site: LaneSite, answer: str) -> None:
    site.plant.simulator.set_script(QUICK_API + rule("create", answer, accepted="true", times=1))
    site.submitted()
    made, before = site.packed(), len(site.plant.simulator.batches())
    assert [site.work(made) for _ in range(4)] == ["doubtful", "under_way", "ended", "done"]
    assert len(site.plant.simulator.batches()) == before + 1


def test_after_an_outage_the_message_batches_under_way_are_polled_some_at_a_time_and_part(site: LaneSite) -> None:
    count, at_once, advice_s = 50, 20, 900
    lane = replace(site.lane, namespace="after-an-outage")
    site.plant.simulator.set_script(QUICK_API + rule("retrieve", "429", retry_after_s=advice_s))
    site.submitted()
    made = site.packed()
    assert site.work(made) == "under_way"
    theirs = {"namespace": lane.namespace, "provider_id": site.row(made)["provider_id"], "is_proven": False}
    start = datetime.now(UTC) - timedelta(minutes=10)
    with site.plant.engine.begin() as connection:
        for number in range(count):
            times = {"look_at": number, "switch_at": 86_400, "sent_at": 0}
            book_message_batch(connection, f"after-outage-{number}", start, **theirs, **times)
    broker = Broker(site.plant.variables["REDIS_URL"])
    timer = HalfPriceTimer(
        queues=broker, lane=lane, packer=Packer(lane=lane, clock=monotonic), holder="here", tick_s=0.002
    )
    sent = []
    for _ in range(4):
        due = lane.batches.due(lane.namespace, most=at_once)
        sent.append(timer.tick())
        site.plant.redis.delete(f"{PREFIX}{BATCH_QUEUE}")
        for batch_id in due:
            site.worker.loop.run(work(batch_id, lane))
    assert sent == [20, 20, 10, 0]
    looks = [site.look_in_s(row["id"]) for row in site.rows() if row["namespace"] == lane.namespace]
    assert (len(looks), min(looks) > 0.95 * advice_s, max(looks) - min(looks) > 0.1 * advice_s) == (count, True, True)
    with site.plant.engine.begin() as connection:
        connection.execute(delete(MessageBatch).where(MessageBatch.namespace == lane.namespace))
