"""The fleet's admission control on a real Redis: shared with Redis, each worker's own without."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from threading import Barrier, Thread
from typing import Any, TypeAlias

import pytest
import redis

from tests.support.eventually import eventually
from tests.support.plays.admission_scripts import FIRST
from tests.support.servers.valkey import Broker
from worker.admission.admission import (
    CIRCUIT_OPEN,
    FULL,
    LIMITED,
    Capacity,
    Change,
    Denied,
    Granted,
    Request,
    Result,
    ResultKind,
)
from worker.admission.lua_script import Tuning
from worker.admission.shared import SharedAdmission
from worker.events import Event, RedisLost, RedisRecovered

_MODEL, _GROUP = "opus", "opus-4"
_LONGEST_S = 1.0  # no question takes longer, whatever Redis does
Joins: TypeAlias = Callable[..., SharedAdmission]
_numbers = count(1)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    server = Broker(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def joins(broker: Broker, events: list[Event]) -> Iterator[Joins]:
    with ExitStack() as fleets:

        def join(worker: str = "one", *, namespace: str = "key") -> SharedAdmission:
            tuning = Tuning(probe_every_s=5, key_pause_s=60)
            choices: dict[str, Any] = {"namespace": namespace, "worker": worker, "report": events.append}
            return fleets.enter_context(closing(SharedAdmission(broker.url, tuning, **choices)))

        yield join


def _ask(fleet: SharedAdmission, **words: Any) -> Granted | Denied:
    ticket = f"t{next(_numbers)}"
    usual = {"ticket": ticket, "job": ticket, "input_tokens": 100, "output_tokens": 50, "hold_s": 150, "patience_s": 5}
    need = Request(model=_MODEL, group=_GROUP, **{**usual, **words})
    began_at = time.monotonic()
    answer = fleet.acquire(need)
    assert time.monotonic() - began_at < _LONGEST_S
    return answer


def _report(fleet: SharedAdmission, ticket: str, how: ResultKind = "well", **words: Any) -> Change:
    began_at = time.monotonic()
    change = fleet.release(Result(ticket=ticket, model=_MODEL, group=_GROUP, how=how, latency_ms=500, **words))
    assert time.monotonic() - began_at < _LONGEST_S
    return change


def _through(fleet: SharedAdmission, how: ResultKind = "well", **words: Any) -> Change:
    ticket = f"t{next(_numbers)}"
    assert isinstance(_ask(fleet, ticket=ticket), Granted)
    return _report(fleet, ticket, how, **words)


def _why(answer: Granted | Denied) -> str:
    return answer.reason if isinstance(answer, Denied) else "go"


def test_what_one_worker_learns_every_worker_knows(joins: Joins) -> None:
    one, two = joins("one"), joins("two")
    for _ in range(3):
        _through(one, "overloaded")
    assert _why(_ask(two)) == CIRCUIT_OPEN
    assert two.capacity({_MODEL: _GROUP}, horizon_s=1) == {_MODEL: Capacity(free=0, is_closed=True)}


def test_what_a_lost_worker_had_in_flight_is_in_nobodys_way(broker: Broker, joins: Joins) -> None:
    lost, other = joins("lost"), joins("other")
    while isinstance(_ask(lost), Granted):
        pass  # it is lost before its clock has ticked
    assert _why(_ask(other)) == FULL
    with redis.Redis.from_url(broker.url) as client:
        (logged,) = client.keys("*workers")
        client.zadd(logged, {"lost": 0}, xx=True)  # it was not heard since 1970
    other.refresh()
    assert isinstance(_ask(other), Granted)


def test_more_threads_than_redis_has_connections_for_ask_at_once_and_none_is_left_alone(
    joins: Joins, events: list[Event]
) -> None:
    fleet, start = joins(), Barrier(200)

    def asks(_number: int) -> None:
        start.wait()
        fleet.capacity({_MODEL: _GROUP}, horizon_s=1)

    with ThreadPoolExecutor(200) as threads:
        list(threads.map(asks, range(200)))
    assert events == []


def test_another_key_is_another_matter(joins: Joins) -> None:
    one, other = joins(), joins(namespace="another key")
    _through(one, "key_refused")
    assert isinstance(_ask(other), Granted)


def test_a_redis_that_is_killed_keeps_nobody_waiting_and_one_line_tells_it(
    broker: Broker, joins: Joins, events: list[Event]
) -> None:
    fleet = joins()
    _through(fleet)
    broker.kill()
    threads = [Thread(target=_through, args=(fleet,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(event) for event in events] == [RedisLost]


def test_a_redis_that_is_frozen_keeps_nobody_waiting(broker: Broker, joins: Joins) -> None:
    fleet = joins()
    fleet.refresh()
    _through(fleet)
    process = broker.process()
    process.suspend()
    try:
        for _ in range(50):
            _through(fleet)
        fleet.refresh()
        assert fleet.capacity({"opus": "opus-4"}, horizon_s=0)["opus"].free > 0
    finally:
        process.resume()


def test_what_was_closed_stays_closed_without_redis(broker: Broker, joins: Joins) -> None:
    fleet = joins()
    for _ in range(3):
        _through(fleet, "overloaded")
    fleet.refresh()
    broker.kill()
    later = _ask(fleet)
    assert isinstance(later, Denied)
    assert later.reason == CIRCUIT_OPEN
    assert later.wait_s <= 5  # on Redis' clock, as it was told


def test_each_worker_alone_keeps_to_its_part_of_the_limits(broker: Broker, joins: Joins) -> None:
    one, two = joins("one"), joins("two")
    _through(one, limits={"requests": (60, 40)})
    for fleet in (one, two):
        _ask(fleet, ticket="known to both")
        fleet.refresh()
    one.refresh()
    broker.kill()
    for fleet in (one, two):
        passed = 0
        while _ask(fleet, ticket=f"own {passed}") == Granted():
            _report(fleet, f"own {passed}")
            passed += 1
        assert 15 <= passed <= 20
        assert _why(_ask(fleet, patience_s=0, has_waited=False, input_tokens=1)) in {LIMITED, "go"}  # one in hand


def test_headers_of_the_whole_fleet_are_read_as_a_part(broker: Broker, joins: Joins) -> None:
    one, two = joins("one"), joins("two")
    for fleet in (one, two, one):
        fleet.refresh()
    broker.kill()
    _through(one, limits={"requests": (60, 40)})
    passed = 0
    while _ask(one, ticket=f"own {passed}") == Granted():
        _report(one, f"own {passed}")
        passed += 1
    assert 17 <= passed <= 20


def test_a_redis_that_comes_back_empty_is_taught_by_the_first_headers(
    broker: Broker, joins: Joins, events: list[Event]
) -> None:
    fleet = joins()
    _through(fleet, limits={"requests": (60, 40)})
    broker.kill()
    _through(fleet, limits={"requests": (60, 5)})
    broker.start()
    _back(fleet, events)
    with redis.Redis.from_url(broker.url) as client:
        known = json.loads(client.get(f"stepdown:admission:key:group:{_GROUP}") or "{}")
    requests = known["buckets"][0]
    assert (requests["kind"], requests["limit"]) == ("requests", 60)
    assert requests["tokens"] < 10


def test_a_redis_that_comes_back_empty_is_told_what_its_workers_knew(
    broker: Broker, joins: Joins, events: list[Event]
) -> None:
    one, two = joins("one"), joins("two")
    _through(one, limits={"requests": (60, 10)})
    for _ in range(3):
        _through(one, "overloaded")
    for fleet in (one, two, one):
        fleet.refresh()
    _ask(one)  # a place in the line, which ends with its Redis
    broker.kill()
    assert _why(_ask(one)) == CIRCUIT_OPEN
    broker.start()
    _back(one, events)
    with redis.Redis.from_url(broker.url) as client:
        known = json.loads(client.get(f"stepdown:admission:key:group:{_GROUP}") or "{}")
    requests = known["buckets"][0]
    assert requests["limit"] == 60
    assert requests["tokens"] < 15  # a minute of requests were not given anew
    assert requests.get("reserved", 0) == 0
    assert _why(_ask(two)) == CIRCUIT_OPEN  # nor does the dead model get the fleet's next requests


def test_a_redis_that_was_frozen_forgets_nobody_who_is_done(broker: Broker, joins: Joins, events: list[Event]) -> None:
    fleet = joins()
    tickets = [f"before {number}" for number in range(FIRST)]
    assert all(isinstance(_ask(fleet, ticket=ticket), Granted) for ticket in tickets)
    assert _why(_ask(fleet)) == FULL
    fleet.refresh()
    process = broker.process()
    process.suspend()
    try:
        for ticket in tickets:
            _report(fleet, ticket)
        asked = [f"meanwhile {number}" for number in range(4)]
        assert all(isinstance(_ask(fleet, ticket=ticket), Granted) for ticket in asked)
    finally:
        process.resume()
    _back(fleet, events)
    for ticket in asked:
        _report(fleet, ticket)

    def is_free() -> bool:
        return fleet.capacity({_MODEL: _GROUP}, horizon_s=0)[_MODEL].free >= FIRST

    # Whatever Redis did late of what it had been asked is ended, too.
    eventually(is_free, within_s=2, because="nobody is in flight")


def _back(fleet: SharedAdmission, events: list[Event]) -> None:
    def is_back() -> bool:
        fleet.refresh()
        return isinstance(events[-1], RedisRecovered)

    eventually(is_back, within_s=10, because="Redis is looked for again")


@pytest.mark.parametrize("is_granted_alone", [False, True])
def test_advice_to_wait_holds_while_redis_is_away_and_after(
    broker: Broker, joins: Joins, events: list[Event], is_granted_alone: bool
) -> None:
    one, two = joins("one"), joins("two")
    _through(two)
    if not is_granted_alone:
        assert isinstance(_ask(one, ticket="limited"), Granted)
    process = broker.process()
    process.suspend()
    try:
        if is_granted_alone:
            assert isinstance(_ask(one, ticket="first"), Granted)
            assert isinstance(_ask(one, ticket="limited"), Granted)
        _report(one, "limited", "limited", retry_after_s=20)
        alone = _ask(one)
    finally:
        process.resume()
    assert isinstance(alone, Denied)
    assert (alone.reason, round(alone.wait_s)) == (LIMITED, 20)

    _back(one, events)
    after = _ask(two)
    assert isinstance(after, Denied)
    assert (after.reason, after.wait_s > 10) == (LIMITED, True)
