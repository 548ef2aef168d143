"""No prompt, no answer and no key in Redis, in its events, in the log or among the attempts."""

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis

from tests.support.eventually import eventually
from tests.support.sites.worker_site import API_KEY, ENGINES, Plant, idle_plant, running_worker

_PROMPT, _ANSWER = "canary-of-the-prompt", "canary-of-the-answer"
_SECRETS = (_PROMPT, _ANSWER, API_KEY)
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")
_SCRIPT = f"""
[[rules]]
prompt_contains = "refuse me"
answer = 400

[[rules]]
answer = "text"
text = "{_ANSWER}"
delay_s = 0.2
"""


@pytest.fixture(params=ENGINES)
def plant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Prepare everything but the worker."""
    with idle_plant(request, tmp_path_factory.mktemp("secrets")) as plant:
        plant.simulator.set_script(_SCRIPT)
        yield plant


def test_no_canary_leaves_the_ledger(plant: Plant) -> None:
    with _listening(plant.redis) as listener:
        batch = plant.submit(f"{_PROMPT} one", f"{_PROMPT} refuse me", f"{_PROMPT} two")
        queued = _dump(plant.redis)
        assert plant.jobs(batch)[0]["id"].encode() in queued
        _assert_no_secret(queued)
        with running_worker(plant.variables, plant.worker_log):
            eventually(lambda: plant.purchases(batch), within_s=30, because="the first call is made")
            _assert_no_secret(_dump(plant.redis))
            answers = plant.finished(batch)
            events = _received(listener, until=b"task-succeeded")
    assert [answer.text for answer in answers] == [_ANSWER, None, _ANSWER]
    log = plant.worker_log.read_bytes()
    assert b"attempt 1 (start) on opus-4-7" in log
    rows = repr(plant.attempts(batch)).encode()
    for place in (_dump(plant.redis), events, log, rows):
        _assert_no_secret(place)


def _assert_no_secret(place: bytes) -> None:
    opened = place + b"\n".join(_decoded(place))
    assert [secret for secret in _SECRETS if secret.encode() in opened] == []


def _decoded(place: bytes) -> Iterator[bytes]:
    """Open what Kombu wraps: message bodies are base64."""
    for match in _BASE64.findall(place):
        with suppress(ValueError):
            yield base64.b64decode(match)


def _dump(client: redis.Redis) -> bytes:
    """Read every key and every value there is."""
    parts: list[Any] = []
    for key in client.scan_iter("*"):
        match client.type(key):
            case b"string":
                parts.append((key, client.get(key)))
            case b"list":
                parts.append((key, client.lrange(key, 0, -1)))
            case b"hash":
                parts.append((key, client.hgetall(key)))
            case b"set":
                parts.append((key, client.smembers(key)))
            case b"zset":
                parts.append((key, client.zrange(key, 0, -1)))
            case b"none":
                continue  # gone since the scan: a worker is at work
            case other:
                pytest.fail(f"{key!r} is a {other!r}: nobody looked into it")
    whole = repr(parts).encode()
    return whole + b"\n".join(_decoded(whole))


def _listening(client: redis.Redis) -> Any:
    listener: Any = redis.client.PubSub(client.connection_pool)
    listener.psubscribe("*")
    return listener


def _received(listener: Any, *, until: bytes) -> bytes:
    """Read the events that are published, up to the one that is waited for."""
    logged: list[bytes] = []

    def has_come() -> bool:
        while (message := listener.get_message(timeout=0.1)) is not None:
            logged.extend((repr(message).encode(), *_decoded(repr(message).encode())))
        return until in b"\n".join(logged)

    eventually(has_come, within_s=30, because=f"{until!r} is published")
    return b"\n".join(logged)
