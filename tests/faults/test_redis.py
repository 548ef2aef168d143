"""Redis restarted, frozen, flushed, full, evicting, or fed with rubbish: every job ends all the same."""

from collections.abc import Iterator

import pytest
import redis

from models.queue.redis_keys import queue_key
from tests.faults.ends import ends_well, in_the_middle
from tests.faults.site import Site, open_site

_RUBBISH = ("rubbish", b"\xff\xfe", "[]", "{}", "null", "3", '{"body": 1}', '{"body": "e30=", "properties": {}}')
_FORGED = (
    '{"body": "%s", "content-encoding": "utf-8", "content-type": "%s", "headers": {"task": "%s", "id": "x"},'
    ' "properties": {"delivery_tag": "x%d", "delivery_info": {}, "body_encoding": "base64"}}'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run one worker, slow enough that a fault meets it in the middle."""
    with open_site("sqlite", tmp_path_factory.mktemp("redis"), latency_s=0.05) as site:
        site.hire()
        yield site


@pytest.fixture
def client(site: Site) -> Iterator[redis.Redis]:
    """Open Redis as somebody who may do anything."""
    with redis.Redis.from_url(site.variables["REDIS_URL"]) as client:
        yield client


def test_a_restart_that_loses_everything_is_healed(site: Site) -> None:
    batch_id = in_the_middle(site, 300)
    site.broker.stop()
    site.broker.start()
    ends_well(site, batch_id, 300)


def test_a_flush_is_healed_without_a_word_from_anyone(site: Site, client: redis.Redis) -> None:
    batch_id = in_the_middle(site, 300)
    client.flushall()
    ends_well(site, batch_id, 300)


def test_messages_that_were_evicted_are_sent_again(site: Site, client: redis.Redis) -> None:
    batch_id = in_the_middle(site, 100)
    client.ltrim(queue_key(0), 0, 2)
    ends_well(site, batch_id, 100)


def test_a_redis_that_is_away_takes_nothing_from_a_submission(site: Site) -> None:
    site.broker.stop()
    batch = site.submit(10)
    assert batch.progress().job_count == 10
    site.broker.start()
    ends_well(site, batch.id, 10)


def test_a_redis_that_is_frozen_keeps_nobody_waiting(site: Site) -> None:
    site.broker.freeze()
    try:
        batch = site.submit(10)
        assert batch.progress().job_count == 10
    finally:
        site.broker.thaw()
    ends_well(site, batch.id, 10)


def test_a_redis_that_is_full_takes_nothing_from_a_submission(site: Site, client: redis.Redis) -> None:
    client.config_set("maxmemory", "1")
    try:
        batch = site.submit(10)
        assert batch.progress().job_count == 10
    finally:
        client.config_set("maxmemory", "0")
    ends_well(site, batch.id, 10)


def test_values_that_are_not_ours_end_neither_worker_nor_batch(site: Site, client: redis.Redis) -> None:
    batch_id = in_the_middle(site, 60)
    client.rpush(queue_key(0), *_RUBBISH)
    ends_well(site, batch_id, 60)


@pytest.mark.parametrize(
    ("body", "content_type", "task"),
    [
        ("gASVCAAAAAAAAACMBHJtIC+ULg==", "application/x-python-serialize", "stepdown.run"),  # a pickle
        ("W1tdLCB7fSwge31d", "application/json", "os.system"),  # an unknown task
        ("W1tdLCB7InYiOiAxLCAiaWQiOiAibm9ib2R5In0sIHt9XQ==", "application/json", "stepdown.run"),  # an unknown job
        ("W1tdLCB7InYiOiA5LCAiaWQiOiAieCJ9LCB7fV0=", "application/json", "stepdown.run"),  # a later version
        ("W1tdLCB7ImEiOiAxfSwge31d", "application/json", "stepdown.run"),  # other arguments
    ],
)
def test_forged_messages_buy_nothing(site: Site, client: redis.Redis, body: str, content_type: str, task: str) -> None:
    before = len(site.simulator.purchases())
    client.rpush(queue_key(0), _FORGED % (body, content_type, task, before))
    batch = site.submit(3)
    ends_well(site, batch.id, 3)
    assert len(site.simulator.purchases()) == before + 3
