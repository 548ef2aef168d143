"""Redis emptied in the middle of a large batch, and messages sent again while their jobs are at work."""

from contextlib import closing
from pathlib import Path

import redis

from models.job.values import Unsent
from models.queue.broker import Broker
from models.queue.redis_keys import queue_key
from tests.faults.ends import ends_well, in_the_middle
from tests.faults.site import open_site
from tests.support.eventually import eventually


def test_a_restart_that_keeps_everything_needs_nobody(tmp_path: Path) -> None:
    with open_site("sqlite", tmp_path, latency_s=0.1, keeps=True) as site:
        site.hire()
        batch_id = in_the_middle(site, 300)
        site.broker.crash()
        site.broker.start()
        with redis.Redis.from_url(site.variables["REDIS_URL"]) as client:
            assert client.llen(queue_key(0)) > 0
        ends_well(site, batch_id, 300)


def test_a_flush_in_the_middle_of_five_thousand_is_healed(tmp_path: Path) -> None:
    with open_site("sqlite", tmp_path, WORKER_CONCURRENCY="64") as site:
        site.hire()
        batch_id = in_the_middle(site, 5000)
        with redis.Redis.from_url(site.variables["REDIS_URL"]) as client:
            client.flushall()
        ends_well(site, batch_id, 5000, within_s=240)


def test_messages_sent_again_and_again_during_long_calls_buy_nothing_twice(tmp_path: Path) -> None:
    script = "[[rules]]\nanswer = 'slow'\ndelay_s = 5"
    with open_site("sqlite", tmp_path, script=script, WORKER_CONCURRENCY="8") as site:
        worker = site.hire()
        batch = site.submit(6)
        eventually(lambda: site.simulator.stats()["in_flight"] == 6, within_s=30, because="all calls are under way")
        jobs = [str(row["id"]) for row in site.rows("SELECT id FROM jobs")]
        with closing(Broker(site.variables["REDIS_URL"])) as broker:
            for _ in range(3):
                broker.send([Unsent(id=job_id, rung=0) for job_id in jobs])
        ends_well(site, batch.id, 6)
        assert "delivery dropped" in worker.message(), "no message was handed out twice: nothing was tested"


def test_a_redis_that_goes_for_a_second_again_and_again_ends_no_worker(tmp_path: Path) -> None:
    with open_site("sqlite", tmp_path, latency_s=0.05) as site:
        site.hire()
        for again in range(1, 6):
            batch_id = in_the_middle(site, 100)
            site.broker.crash()
            site.broker.start()
            ends_well(site, batch_id, 100)
            assert len(site.simulator.purchases()) == again * 100
