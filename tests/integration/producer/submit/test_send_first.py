"""The broker may be away, full or slow to fill: what was accepted is kept, and is sent when it can be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, func, select

from models.job.values import Unsent
from models.ledger.outbox import Outbox
from models.queue.redis_keys import queue_key
from models.schema.job import Job
from models.settings import load_settings
from producer import Producer, Prompt
from producer.submit.send_first import FirstMessages
from tests.support.eventually import eventually
from tests.support.servers.fixtures import opened
from tests.support.servers.ports import free_port
from tests.support.sites.worker_site import ENGINES, idle_plant, running_worker


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """Look into the broker."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


def submitted(count: int, **settings: Any) -> tuple[str, str | None]:
    with Producer(load_settings(env_file=None, **settings)) as producer:
        batch = producer.submit([Prompt(f"Why {number}?") for number in range(count)])
        return batch.id, batch.not_sent


def unsent(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).where(Job.sent_at.is_(None), Job.state == "queued")) or 0


def test_a_ledger_that_goes_after_it_has_accepted_does_not_have_it_said_that_nothing_was(redis_url: str) -> None:
    settings = load_settings(env_file=None, redis_url=redis_url)
    with opened(f"postgresql://u:secret@127.0.0.1:{free_port()}/d") as gone:
        not_sent = FirstMessages(settings, Outbox(gone).mark_sent).send([Unsent(id="j", rung=0)])
    assert not_sent is not None
    assert not_sent.startswith("ledger ")
    assert "secret" not in not_sent


def test_with_redis_refusing_the_batch_is_accepted_and_we_are_told_why_it_was_not_sent(
    database_url: str, engine: Engine
) -> None:
    _, not_sent = submitted(3, database_url=database_url, redis_url=f"redis://u:secret@127.0.0.1:{free_port()}/0")
    assert not_sent is not None
    assert not_sent.startswith("broker: ")
    assert "refused" in not_sent
    assert "is Redis running, and is REDIS_URL right?" in not_sent
    assert "secret" not in not_sent
    assert unsent(engine) == 3


def test_with_a_wrong_password_too(database_url: str, engine: Engine, redis_url: str) -> None:
    _, password_and_host = redis_url.removeprefix("redis://").split(":", 1)
    host = password_and_host.partition("@")[2]
    _, not_sent = submitted(1, database_url=database_url, redis_url=f"redis://tests:wrong-one@{host}")
    assert not_sent is not None
    assert "password" in not_sent
    assert "wrong-one" not in not_sent
    assert unsent(engine) == 1


def test_with_no_broker_anywhere_we_are_told_how_to_have_one(database_url: str, engine: Engine, tmp_path: Path) -> None:
    _, not_sent = submitted(2, database_url=database_url, state_dir=tmp_path / "none")
    assert not_sent is not None
    assert "start `stepdown worker`, which brings its own, or set REDIS_URL" in not_sent
    assert unsent(engine) == 2


def test_only_as_many_are_sent_as_the_queue_has_room_for(
    database_url: str, engine: Engine, redis_url: str, client: redis.Redis
) -> None:
    where = {"database_url": database_url, "redis_url": redis_url, "queue_window": 5}
    assert submitted(8, **where)[1] is None
    assert (client.llen(queue_key(0)), unsent(engine)) == (5, 3)
    assert submitted(2, **where)[1] is None
    assert (client.llen(queue_key(0)), unsent(engine)) == (5, 5)


@pytest.mark.parametrize("engine_name", ENGINES)
def test_a_workers_clock_sends_the_rest_and_what_was_submitted_while_the_broker_was_away(
    request: pytest.FixtureRequest, tmp_path: Path, engine_name: str
) -> None:
    request.param = engine_name
    with idle_plant(request, tmp_path, QUEUE_WINDOW="4") as plant:
        large = plant.submit(*(f"Summarize: bridge {number}." for number in range(12)))
        away, not_sent = submitted(
            3,
            database_url=plant.variables["DATABASE_URL"],
            redis_url=f"redis://127.0.0.1:{free_port()}/0",
        )
        assert (plant.queued_messages(), not_sent is None) == (4, False)
        with running_worker(plant.variables, plant.worker_log):
            plant.finished(large)
            eventually(
                lambda: plant.producer.batch(away).progress().is_finished, within_s=30, because="the clock sends it"
            )
        assert large.progress().succeeded == 12
        assert len(plant.simulator.purchases()) == 15
