"""Values in the queues that are no messages: a worker discards them, tells it, and answers what comes after them."""

import json
from base64 import b64encode
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import redis

from models.ids import new_id
from models.queue.redis_keys import PREFIX, TASK_NAME, queue_key
from producer.prompt.prompt import Prompt
from tests.support.eventually import eventually
from tests.support.sites.worker_site import Plant, idle_plant, running_worker

_COUNT = 500


def _message(body: bytes | str, **changes: Any) -> bytes:
    headers = {"task": TASK_NAME, "id": "nobody", "lang": "py"}
    delivery = {"exchange": "", "routing_key": "rung-0"}
    properties = {"delivery_tag": new_id(), "delivery_info": delivery, "body_encoding": "base64"}
    reported = {
        "body": body if isinstance(body, str) else b64encode(body).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": properties,
    }
    return json.dumps({name: value for name, value in (reported | changes).items() if value is not ...}).encode()


_GOOD = b'[[], {"v": 1, "id": "nobody"}, {}]'
_KINDS = (
    b"rubbish",
    b"\xff\xfe\x00",
    b"null",
    b'{"body": 1}',
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b'"' + b"x" * 1_000_000 + b'"',
    b'{"__type__": "decimal", "__value__": "x"}',
    _message("****"),
    _message("A"),
    _message(b"[" * 200_000),
    _message(b"\xff\xfe"),
    _message(b"[[], {}, {}]"),
    _message(b'{"v": 1}'),
    _message(b'[[], {"v": 1, "id": ["nobody"]}, {}]'),
    _message(b'[[], {"v": 1, "id": "no\\u0000body"}, {}]'),
    _message(b'[[], {"v": 1, "id": "' + b"x" * 100_000 + b'"}, {}]'),
    _message(_GOOD, headers=...),
    _message(_GOOD, headers=[]),
    _message(_GOOD, headers={"task": ["a"]}),
    _message(_GOOD, headers={"task": "os.system", "id": "x"}),
    _message(_GOOD, properties=...),
    _message(_GOOD, properties={"delivery_tag": {}, "delivery_info": 7, "body_encoding": "rot13"}),
    _message(_GOOD, **{"content-type": "application/x-python-serialize"}),
    _message(_GOOD, **{"content-type": None, "content-encoding": 7}),
    # What names a job that nobody has, with words that Celery would fail over: only the job's id is taken from it.
    _message(_GOOD, headers={"task": TASK_NAME, "id": {}, "eta": "never", "timelimit": 3, "compression": "zip"}),
    _message(_GOOD, properties={"delivery_tag": [], "delivery_info": None, "body_encoding": "base64"}),
)


@pytest.fixture(params=["sqlite"])
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    """Prepare everything but the worker."""
    with idle_plant(request, tmp_path) as plant:
        yield plant


def _strew(client: redis.Redis) -> None:
    for lane in (0, None):
        client.lpush(queue_key(lane), *islice(cycle(_KINDS), _COUNT))


def _answered(plant: Plant) -> None:
    batch = plant.submit("Ten harbours were dredged in spring.")
    urgent = plant.producer.submit([Prompt("Ten bridges were closed.")], urgent=True)
    for one in (batch, urgent):
        assert [answer.state for answer in plant.finished(one, within_s=60)] == ["succeeded"]


def test_five_hundred_values_that_are_no_messages_keep_no_job_waiting_also_after_a_restart(plant: Plant) -> None:
    _strew(plant.redis)
    for log in ("first.log", "second.log"):
        path = plant.worker_log.with_name(log)
        with running_worker(plant.variables, path):
            _strew(plant.redis)
            _answered(plant)
            eventually(lambda: plant.redis.llen(queue_key(0)) == 0, within_s=60, because="all of them are taken")
            eventually(lambda: plant.redis.llen(queue_key(None)) == 0, within_s=60, because="the urgent ones, too")
            _answered(plant)
        text = path.read_text()
        reported = [line for line in text.splitlines() if "is no message was discarded" in line]
        assert 5 <= len(reported) <= 40, "each kind is told once, and then its tenth, its hundredth"
        assert "Traceback" not in text
        assert "nobody" not in "".join(reported)


def test_a_key_in_the_place_of_a_queue_is_renamed_and_the_queue_serves(plant: Plant) -> None:
    plant.redis.set(queue_key(0), "a string")
    plant.redis.hset(queue_key(None), "a", "hash")
    with running_worker(plant.variables, plant.worker_log):
        eventually(lambda: len(plant.redis.keys(f"{PREFIX}*.no-queue-*")) == 2, within_s=30, because="both are renamed")
        _answered(plant)


def test_a_worker_fetches_no_message_whose_job_it_could_not_begin_but_begins_urgent_ones(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 'slow'\ndelay_s = 4")
    few = {**plant.variables, "WORKER_CONCURRENCY": "2", "URGENT_CONCURRENCY": "1"}
    with running_worker(few, plant.worker_log):
        batch = plant.submit(*(f"Harbour {number} was dredged." for number in range(6)))
        in_flight = plant.simulator.stats
        eventually(lambda: in_flight()["in_flight"] == 2, within_s=30, because="both places are taken")
        assert plant.redis.llen(queue_key(0)) == 4
        urgent = plant.producer.submit([Prompt("Ten bridges were closed.")], urgent=True)
        eventually(lambda: in_flight()["in_flight"] == 3, within_s=30, because="the urgent job has a place of its own")
        for one in (batch, urgent):
            assert {answer.state for answer in plant.finished(one, within_s=60)} == {"succeeded"}
        assert in_flight()["most_in_flight"] == 3
