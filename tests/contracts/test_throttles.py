"""The throttles that a person reads are those that admission control acts on: state made by its own script in Redis."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import redis

from models.chain.chain import Chain
from models.errors import BrokerError
from models.queue.throttles import QUIET_S, Throttle, ThrottleReader
from tests.support.plays.admission_scripts import FIRST, PREFIX, Clock, Door, in_redis
from tests.support.servers.ports import free_port
from worker.admission.admission import Denied, Granted

_CHAIN = Chain(models=("claude-opus-4-7", "claude-opus-4-6", "claude-haiku-4-5"))
_OPUS, _OLD, _HAIKU = _CHAIN.models
_LIMITS = {"requests": (600, 599), "input": (60_000, 60_000), "output": (12_000, 12_000)}
Read = Callable[[], list[Throttle]]


@pytest.fixture
def clock(redis_url: str) -> Clock:
    """Begin at the time of Redis, which the reader goes by."""
    with redis.Redis.from_url(redis_url) as client:
        seconds, microseconds = client.time()
    return Clock(at=seconds + microseconds / 1e6)


@pytest.fixture
def door(redis_url: str, clock: Clock) -> Door:
    """Stand before the primary."""
    return Door(in_redis(redis_url, clock, empty=True), clock, model=_OPUS, group="claude-opus-4")


@pytest.fixture
def read(redis_url: str) -> Read:
    """Read the throttles of the namespace that the door's script writes."""
    namespace = PREFIX.rstrip(":").rpartition(":")[2]
    return ThrottleReader(redis_url, namespace=namespace, chain=_CHAIN).read


def _near(at: datetime | None, clock: Clock, *, in_s: float = 0.0, within_s: float = 2.0) -> bool:
    there = datetime.fromtimestamp(clock(), tz=UTC) + timedelta(seconds=in_s)
    return at is not None and abs((at - there).total_seconds()) <= within_s


def test_a_fleet_that_nobody_holds_back_has_no_throttle(door: Door, read: Read) -> None:
    assert read() == []
    door.through(limits=_LIMITS)
    assert read() == []


def test_an_open_breaker_tells_its_model_its_failure_and_the_next_probe(door: Door, clock: Clock, read: Read) -> None:
    door.open()
    (found,) = read()
    assert (found.reason, found.models, found.kind) == ("circuit_open", (_OPUS,), "overloaded")
    assert _near(found.since, clock)
    assert _near(found.until, clock, in_s=5)


def test_a_breaker_is_told_no_more_once_a_probe_closed_it(door: Door, clock: Clock, read: Read) -> None:
    door.open()
    clock.pass_s(6)
    door.through("well")
    assert read() == []


def test_a_breaker_that_nobody_asks_throttles_nobody(door: Door, clock: Clock, read: Read) -> None:
    clock.pass_s(-QUIET_S - 6)  # the outage and its last probe were so long ago
    door.open()
    assert read() == []


def test_a_refused_key_holds_every_model_back(door: Door, clock: Clock, read: Read) -> None:
    door.through("key_refused")
    (found,) = read()
    assert (found.reason, found.models, found.kind) == ("key_paused", _CHAIN.models, "key_refused")
    assert _near(found.until, clock, in_s=60)


@pytest.mark.parametrize(("kind", "words"), [("input", {"input_tokens": 30_000}), ("output", {"output_tokens": 6_000})])
def test_used_up_limits_tell_which_and_how_many_a_minute(
    door: Door, clock: Clock, read: Read, kind: str, words: dict[str, int]
) -> None:
    door.through(limits=_LIMITS)
    while isinstance(answer := door.acquire(**words), Granted):
        pass
    assert answer.details["limit"] == kind
    (found,) = read()
    assert (found.reason, found.models, found.kind) == ("limited", (_OPUS, _OLD), kind)
    assert found.limit == _LIMITS[kind][0]
    assert _near(found.since, clock)
    assert found.until is not None


def test_a_retry_after_closes_its_group_until_then(door: Door, clock: Clock, read: Read) -> None:
    door.through(limits=_LIMITS)
    door.through("limited", retry_after_s=40.0, limits={"requests": (600, 0)})
    (found,) = read()
    assert (found.reason, found.models, found.kind) == ("limited", (_OPUS, _OLD), "retry-after")
    assert _near(found.until, clock, in_s=40)


def test_our_own_limit_of_calls_tells_how_many_are_in_flight(door: Door, read: Read) -> None:
    door.leave(FIRST)
    assert isinstance(door.acquire(), Denied)
    (found,) = read()
    assert (found.reason, found.models, found.limit, found.in_flight) == ("full", (_OPUS,), FIRST, FIRST)


def test_a_limit_of_calls_that_has_grown_since_holds_nobody(door: Door, read: Read) -> None:
    tickets = door.leave(FIRST)
    assert isinstance(door.acquire(), Denied)
    for ticket in tickets:
        door.release(ticket)
    assert read() == []


def test_a_bucket_that_has_filled_again_holds_nobody(door: Door, clock: Clock, read: Read) -> None:
    clock.pass_s(-30)
    door.through(limits=_LIMITS)
    while isinstance(door.acquire(output_tokens=6_000), Granted):
        pass
    assert read() == []  # half a minute has filled half of the bucket by now


def test_a_ramp_limit_tells_the_speed_and_when_it_is_whole_again(door: Door, clock: Clock, read: Read) -> None:
    door.through("ramped", retry_after_s=1.0)
    found = next(throttle for throttle in read() if throttle.reason == "ramp")
    assert found.models == _CHAIN.models
    assert found.speed == pytest.approx(0.5, abs=0.02)
    assert _near(found.until, clock, in_s=72.7, within_s=4)


def test_a_denial_that_is_old_throttles_nobody(door: Door, redis_url: str, read: Read) -> None:
    door.leave(FIRST)
    assert isinstance(door.acquire(), Denied)
    assert read() != []
    namespace = PREFIX.rstrip(":").rpartition(":")[2]
    assert ThrottleReader(redis_url, namespace=namespace, chain=_CHAIN, quiet_s=-5.0).read() == []


def test_another_keys_throttles_are_its_own(door: Door, redis_url: str) -> None:
    door.open()
    assert ThrottleReader(redis_url, namespace="another", chain=_CHAIN).read() == []


def test_fields_that_are_no_numbers_are_read_as_nothing(redis_url: str, read: Read) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for name in ("endpoint:anthropic", f"model:{_HAIKU}", "group:claude-opus-4"):
            for text in ('{"opened_at": "x", "closed_until": [], "full_speed_at": true}', "[1]", "no JSON"):
                client.set(f"{PREFIX}{name}", text)
    assert read() == []


def test_a_redis_that_is_away_is_told() -> None:
    reader = ThrottleReader(f"redis://127.0.0.1:{free_port()}/0", namespace="any", chain=_CHAIN)
    with pytest.raises(BrokerError, match="broker: ConnectionError"):
        reader.read()
