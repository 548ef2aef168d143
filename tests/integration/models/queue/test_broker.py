"""Messages carry an id to the queue of its rung, and nothing a customer wrote; with a real Valkey."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.contrib.testing.worker import start_worker

from models.errors import BrokerError
from models.ids import new_id
from models.job.values import Unsent
from models.ledger.ledger import Ledger
from models.ledger.outbox import Outbox
from models.queue.broker import Broker
from models.queue.celery_app import celery_app, route
from models.queue.redis_keys import PREFIX, TASK_NAME, queue_key
from tests.support.eventually import eventually
from tests.support.ledgers.job_values import new_batch, new_job
from tests.support.servers.fixtures import opened
from tests.support.servers.ports import free_port
from tests.support.servers.valkey import running_valkey

_RUNGS = 3


@pytest.fixture
def broker(redis_url: str) -> Iterator[Broker]:
    """Open the queues, and close them at the end."""
    broker = Broker(redis_url)
    yield broker
    broker.close()


@pytest.fixture
def valkey(redis_url: str) -> Iterator[redis.Redis]:
    """Look at the server from outside."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


def _unsent(count: int, rung: int = 0) -> list[Unsent]:
    return [Unsent(id=new_id(), rung=rung) for _ in range(count)]


def _messages(valkey: redis.Redis, rung: int) -> list[dict[str, Any]]:
    raw: Any = valkey.lrange(queue_key(rung), 0, -1)
    return [json.loads(message) for message in raw]


def _everything(valkey: redis.Redis) -> str:
    """Read all keys and values, as the server keeps them and as Celery will read them."""
    keys: Any = valkey.keys("*")
    parts = [repr(keys)]
    for key in keys:
        kind: Any = valkey.type(key)
        value: Any = valkey.lrange(key, 0, -1) if kind == b"list" else valkey.dump(key)
        parts.append(repr(value))
        if kind == b"list":
            parts += [base64.b64decode(json.loads(message)["body"]).decode() for message in value]
    return "\n".join(parts)


def test_each_rung_has_its_queue() -> None:
    assert route(TASK_NAME, (), {"rung": 2}) == {"queue": "rung-2"}
    assert route(TASK_NAME, (), {}) == {"queue": "rung-0"}


def test_a_message_is_the_jobs_id_and_its_rung(broker: Broker, valkey: redis.Redis) -> None:
    (job,) = _unsent(1, rung=2)
    broker.send([job])
    (message,) = _messages(valkey, 2)
    _, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    assert kwargs == {"v": 1, "id": job.id, "rung": 2}
    assert (message["headers"]["id"], message["headers"]["task"]) == (job.id, TASK_NAME)
    assert message["headers"]["kwargsrepr"] == job.id
    assert message["properties"]["delivery_info"]["routing_key"] == "rung-2"


def test_no_word_of_a_customer_is_in_the_server(broker: Broker, valkey: redis.Redis, sqlite_url: str) -> None:
    params = {"system": "canary-1", "messages": [{"role": "user", "content": "canary-2"}]}
    job = new_job(prompt_id="canary-3", task="canary-4", params=params, columns={"canary-5": "canary-6"})
    with opened(sqlite_url) as engine:
        ledger = Ledger(engine, worker="here")
        ledger.enqueue(new_batch(name="canary-7", key="canary-8", tags={"canary-9": ""}), [job])
        broker.send(Outbox(engine).unsent(0, limit=10))
    everything = _everything(valkey)
    assert job.id in everything
    assert "canary" not in everything


def test_every_key_has_our_prefix(broker: Broker, valkey: redis.Redis) -> None:
    broker.send(_unsent(2))
    broker.try_lead("here", for_s=5)
    keys: Any = valkey.keys("*")
    assert len(keys) >= 2
    assert all(key.startswith(PREFIX.encode()) for key in keys)


def test_jobs_go_to_the_queues_of_their_rungs_in_their_order(broker: Broker, valkey: redis.Redis) -> None:
    first, second = _unsent(3, rung=0), _unsent(2, rung=1)
    broker.send([*first, *second])
    assert [broker.depth(rung) for rung in range(_RUNGS)] == [3, 2, 0]
    # A queue is read from its right end.
    assert [message["headers"]["id"] for message in _messages(valkey, 0)][::-1] == [job.id for job in first]


def test_thousands_are_sent_without_loss(broker: Broker, valkey: redis.Redis) -> None:
    jobs = _unsent(2_500)
    broker.send(jobs)
    assert broker.depth(0) == 2_500
    assert {message["headers"]["id"] for message in _messages(valkey, 0)} == {job.id for job in jobs}


def test_a_message_is_one_of_celerys_own(broker: Broker, valkey: redis.Redis, redis_url: str) -> None:
    (job,) = _unsent(1, rung=1)
    broker.send([job])
    kwargs = {"v": 1, "id": job.id, "rung": 1}
    with closing(celery_app(redis_url, rungs=_RUNGS)) as app, app.producer_pool.acquire(block=True) as producer:
        made = app.amqp.as_task_v2(job.id, TASK_NAME, kwargs=kwargs, argsrepr="()", kwargsrepr=job.id)
        to_rung = {"exchange": "", "routing_key": "rung-1", "serializer": "json"}
        producer.publish(made.body, headers=made.headers, **to_rung, **made.properties)
    theirs, ours = _messages(valkey, 1)
    assert ours["properties"].pop("delivery_tag") != theirs["properties"].pop("delivery_tag")
    assert (ours["headers"].pop("origin"), bool(theirs["headers"].pop("origin"))) == (None, True)
    assert ours == theirs


def test_a_plain_worker_of_celerys_runs_our_messages(broker: Broker, redis_url: str) -> None:
    jobs, ran = _unsent(3, rung=1), []
    with closing(celery_app(redis_url, rungs=_RUNGS)) as app:

        @app.task(name=TASK_NAME, shared=False, bind=True)  # type: ignore[untyped-decorator]  # celery has no types
        def run(task: Any, **kwargs: Any) -> None:
            ran.append((kwargs, task.request.id, task.request.argsrepr, task.request.delivery_info["routing_key"]))

        broker.send(jobs)
        with start_worker(app, pool="solo", perform_ping_check=False):
            eventually(lambda: len(ran) == len(jobs), within_s=60, because="a worker reads the queue")
    assert ran == [({"v": 1, "id": job.id, "rung": 1}, job.id, "()", "rung-1") for job in jobs]


def test_thousands_are_sent_in_a_few_commands(broker: Broker, valkey: redis.Redis) -> None:
    before = int(valkey.info("stats")["total_commands_processed"])
    broker.send(_unsent(2_500))
    assert int(valkey.info("stats")["total_commands_processed"]) - before < 20


def test_sending_nothing_is_no_message(broker: Broker, valkey: redis.Redis) -> None:
    broker.send([])
    assert valkey.dbsize() == 0


def test_celery_itself_sends_a_job_to_its_rungs_queue(broker: Broker, redis_url: str) -> None:
    celery_app(redis_url, rungs=_RUNGS).send_task(TASK_NAME, kwargs={"v": 1, "id": new_id(), "rung": 1})
    assert [broker.depth(rung) for rung in range(_RUNGS)] == [0, 1, 0]


def test_one_clock_has_the_turn_until_it_lapses(broker: Broker) -> None:
    assert broker.try_lead("here", for_s=0.2)
    assert not broker.try_lead("there", for_s=0.2)
    assert not broker.try_lead("here", for_s=0.2)
    eventually(lambda: broker.try_lead("there", for_s=5), within_s=5, because="the turn lapses")
    assert not broker.try_lead("here", for_s=5)


def test_the_facts_are_what_doctor_judges(broker: Broker) -> None:
    facts = broker.facts()
    assert facts["version"].startswith("valkey ")
    assert (facts["maxmemory-policy"], facts["appendonly"]) == ("noeviction", "no")
    assert facts["open"] == "no"


def test_a_server_without_a_password_is_open(tmp_path: Path) -> None:
    with running_valkey(tmp_path) as url:
        with redis.Redis.from_url(url) as client:
            client.acl_setuser("default", enabled=True, nopass=True, categories=["+@all"], keys=["*"])
        broker = Broker(url)
        assert broker.facts()["open"] == "yes"
        broker.close()


def test_a_server_with_a_password_is_asked_once_whether_it_is_open(tmp_path: Path) -> None:
    with running_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
        client.acl_setuser("default", enabled=True, reset_passwords=True, passwords=["+secret"], categories=["+@all"])
        broker = Broker(url)
        broker.facts()
        before = client.info("stats")["total_connections_received"]
        assert broker.facts()["open"] == "no"
        assert client.info("stats")["total_connections_received"] - before == 1, "each more is a wait of seconds"
        broker.close()


def test_a_server_that_refuses_us_is_told_and_one_that_is_away_is_waited_for(redis_url: str) -> None:
    for refused in (redis_url.replace("://tests:", "://tests:wrong-"), f"redis://{redis_url.partition('@')[2]}"):
        broker = Broker(refused)
        with pytest.raises(BrokerError, match="put the right user and password into REDIS_URL"):
            broker.knock()
        broker.close()
    for there_or_away in (redis_url, f"redis://127.0.0.1:{free_port()}/0"):
        broker = Broker(there_or_away)
        broker.knock()
        broker.close()


def test_a_server_that_is_away_is_told_without_its_password() -> None:
    broker = Broker(f"redis://us:canary-7391@127.0.0.1:{free_port()}/0")
    for use in (broker.facts, lambda: broker.depth(0), lambda: broker.send(_unsent(1))):
        with pytest.raises(BrokerError, match="is Redis running, and is REDIS_URL right") as caught:
            use()
        assert "canary-7391" not in str(caught.value)
    broker.close()


def test_whoever_sends_is_told_at_once_that_nobody_is_there() -> None:
    broker = Broker(f"redis://127.0.0.1:{free_port()}/0")
    started = time.monotonic()
    with pytest.raises(BrokerError):
        broker.send(_unsent(1))
    assert time.monotonic() - started < 1
    broker.close()


def test_a_wrong_password_is_told_without_it(valkey_url: str) -> None:
    wrong = f"redis://tests:canary-7391@{valkey_url.partition('@')[2]}"
    broker = Broker(wrong)
    for use in (lambda: broker.depth(0), lambda: broker.send(_unsent(1))):
        with pytest.raises(BrokerError, match="invalid username-password") as caught:
            use()
        assert "canary-7391" not in str(caught.value)
    broker.close()


def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    again = partial(running_valkey, tmp_path, port=free_port(), password="again", keeps=True)
    with again() as url:
        broker = Broker(url)
        broker.send(_unsent(2))
    with pytest.raises(BrokerError):
        broker.send(_unsent(1))
    with again():
        broker.send(_unsent(1))
        assert broker.depth(0) == 3
    broker.close()
