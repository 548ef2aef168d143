"""Who warms a cache and who waits: the same promises from a process's own memory and from a real Valkey."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import redis

from models.money.usage import Usage
from models.queue.redis_keys import cache_state_key
from tests.support.plays.awaited import directly, finished
from tests.support.plays.walk_scene import OPUS, SONNET, HandClock
from tests.support.servers.ports import free_port
from tests.support.threads_at_once import at_once
from worker.admission.cache_warmup import KEPT_S, WARMING_S, CachedPrefix, CacheState, CacheWarmup
from worker.admission.cache_warmup_shared import SharedCacheState

_SPOT = CachedPrefix(model=OPUS, prefix="shared")
_READ = Usage(input_tokens=10, output_tokens=1, cache_read_tokens=5000)
_PLAIN = Usage(input_tokens=10, output_tokens=1)


@pytest.fixture
def clock() -> HandClock:
    """Give a clock that is set by hand; a real Redis has its own."""
    return HandClock()


@pytest.fixture(params=["own", "fleet"])
def warmth(request: pytest.FixtureRequest, clock: HandClock) -> Iterator[CacheState]:
    """Give each kind in turn."""
    if request.param == "own":
        yield CacheState(clock)
        return
    with closing(SharedCacheState(request.getfixturevalue("redis_url"), clock)) as fleet:
        yield fleet


def test_one_warms_and_the_others_wait_until_it_is_warm(warmth: CacheState) -> None:
    assert [warmth.look(_SPOT) for _ in range(3)] == ["warmer", "warming", "warming"]
    assert not warmth.is_warm(_SPOT)
    warmth.note(_SPOT, cached_tokens=5000)
    assert [warmth.look(_SPOT), warmth.is_warm(_SPOT)] == ["warm", True]


def test_of_many_at_once_one_warms(warmth: CacheState) -> None:
    assert sorted(at_once(20, lambda _: warmth.look(_SPOT))) == ["warmer", *["warming"] * 19]


def test_each_model_and_each_beginning_has_a_cache_of_its_own(warmth: CacheState) -> None:
    warmth.note(_SPOT, cached_tokens=5000)
    assert warmth.look(CachedPrefix(model=SONNET, prefix="shared")) == "warmer"
    assert warmth.look(CachedPrefix(model=OPUS, prefix="another")) == "warmer"


def test_after_a_failure_another_warms(warmth: CacheState) -> None:
    warmth.look(_SPOT)
    warmth.note(_SPOT, cached_tokens=None)
    assert warmth.look(_SPOT) == "warmer"


def test_a_failure_cools_nothing_that_is_warm(warmth: CacheState) -> None:
    warmth.note(_SPOT, cached_tokens=5000)
    warmth.note(_SPOT, cached_tokens=None)
    assert warmth.is_warm(_SPOT)


def test_where_nothing_was_kept_nobody_waits_again(warmth: CacheState) -> None:
    warmth.look(_SPOT)
    warmth.note(_SPOT, cached_tokens=0)
    assert [warmth.look(_SPOT), warmth.is_warm(_SPOT)] == ["never", False]


def test_own_memory_ends_with_the_providers_and_so_does_a_turn(clock: HandClock) -> None:
    warmth = CacheState(clock)
    warmth.look(_SPOT)
    clock.now_s = WARMING_S
    assert warmth.look(_SPOT) == "warmer"
    warmth.note(_SPOT, cached_tokens=1)
    clock.now_s += KEPT_S - 1
    warmth.note(_SPOT, cached_tokens=1)  # each use is a new beginning
    clock.now_s += KEPT_S - 1
    assert warmth.is_warm(_SPOT)
    clock.now_s += 1
    assert [warmth.is_warm(_SPOT), warmth.look(_SPOT)] == [False, "warmer"]


def test_what_is_in_redis_ends_with_the_providers_and_so_does_a_turn(redis_url: str, clock: HandClock) -> None:
    key = cache_state_key("", OPUS, "shared")
    with closing(SharedCacheState(redis_url, clock)) as fleet, redis.Redis.from_url(redis_url) as client:
        fleet.look(_SPOT)
        assert 0 < client.pttl(key) <= WARMING_S * 1000
        fleet.note(_SPOT, cached_tokens=1)
        assert WARMING_S * 1000 < client.pttl(key) <= KEPT_S * 1000


def test_workers_share_it(redis_url: str, clock: HandClock) -> None:
    with closing(SharedCacheState(redis_url, clock)) as one, closing(SharedCacheState(redis_url, clock)) as other:
        assert [one.look(_SPOT), other.look(_SPOT)] == ["warmer", "warming"]
        one.note(_SPOT, cached_tokens=1)
        assert other.is_warm(_SPOT)


def test_a_worker_without_redis_goes_by_its_own_memory_and_asks_again_later(redis_url: str, clock: HandClock) -> None:
    with closing(SharedCacheState(f"redis://127.0.0.1:{free_port()}/0", clock)) as alone:
        assert [alone.look(_SPOT), alone.look(_SPOT)] == ["warmer", "warming"]
        alone.note(_SPOT, cached_tokens=1)
        assert alone.is_warm(_SPOT)
    with closing(SharedCacheState(redis_url, clock)) as back:
        assert back.look(_SPOT) == "warmer"


def test_what_somebody_else_wrote_there_is_no_warmth(redis_url: str, clock: HandClock) -> None:
    with closing(SharedCacheState(redis_url, clock)) as fleet, redis.Redis.from_url(redis_url) as client:
        client.set(cache_state_key("", OPUS, "shared"), b"\xff!")
        assert (fleet.look(_SPOT), fleet.is_warm(_SPOT)) == ("warming", False)
        client.delete(cache_state_key("", OPUS, "shared"))
        client.lpush(cache_state_key("", OPUS, "shared"), "a list")
        assert not fleet.is_warm(_SPOT)


@contextmanager
def _waiting(
    clock: HandClock, *, at_each_wait: Callable[[CacheState], object]
) -> Iterator[tuple[CacheWarmup, list[float]]]:
    own, waits = CacheState(clock), list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.now_s += seconds
        at_each_wait(own)

    own.look(_SPOT)
    yield CacheWarmup(warmth=own, clock=clock, sleep=sleep, in_thread=directly), waits


def _nothing(_: object = None) -> None:
    return None


def test_nobody_waits_longer_than_ten_seconds_or_a_second_at_a_time(clock: HandClock) -> None:
    with _waiting(clock, at_each_wait=_nothing) as (warming, waits):
        found, held_s = finished(warming.hold(_SPOT, is_stopping=lambda: False))
    assert (found, held_s) == ("warmer", WARMING_S)  # by then the turn is its own
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(waits) == 1


def test_whoever_waits_goes_as_soon_as_it_is_warm(clock: HandClock) -> None:
    with _waiting(clock, at_each_wait=lambda own: own.note(_SPOT, cached_tokens=1)) as (warming, waits):
        assert finished(warming.hold(_SPOT, is_stopping=lambda: False)) == ("warm", 0.1)
    assert waits == [0.1]


def test_a_worker_that_stops_waits_for_no_cache(clock: HandClock) -> None:
    with _waiting(clock, at_each_wait=_nothing) as (warming, waits):
        assert finished(warming.hold(_SPOT, is_stopping=lambda: True)) == ("warming", 0)
    assert waits == []


@pytest.mark.parametrize(
    ("usage", "then"),
    [(_READ, "warm"), (_PLAIN, "never"), (Usage(input_tokens=0, output_tokens=0), "warmer"), (None, "warmer")],
)
def test_a_call_warms_by_what_it_used(clock: HandClock, usage: Usage | None, then: str) -> None:
    with _waiting(clock, at_each_wait=_nothing) as (warming, _):
        finished(warming.note(_SPOT, "warmer", usage=usage))
        assert warming.warmth.look(_SPOT) == then


def test_what_is_urgent_waits_for_no_cache_and_a_call_that_had_to_wait_leaves_the_turn_to_its_holder(
    clock: HandClock,
) -> None:
    with _waiting(clock, at_each_wait=_nothing) as (warming, waits):
        assert finished(warming.hold(_SPOT, is_urgent=True, is_stopping=lambda: False)) == ("warming", 0)
        finished(warming.note(_SPOT, "warming", usage=None))
        assert warming.warmth.look(_SPOT) == "warming"
    assert waits == []
