"""Admission control of the whole fleet: in Redis, and in each worker's own memory while Redis is away."""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha1
from threading import Lock
from typing import Any, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.queue.redis_keys import admission_prefix
from models.rung_name import DEFAULT_ENDPOINT, endpoint_of
from worker.admission.admission import BlockingAdmission, Capacity, Change, Denied, Granted, Request, Result
from worker.admission.in_process import InProcessRedis
from worker.admission.lua_script import TEXT, TICKETS, LuaScript, Tuning, results_of_lost
from worker.events import RedisLost, RedisRecovered, Report

_SHA = sha1(TEXT.encode(), usedforsecurity=False).hexdigest()  # by which Redis knows the script
_TIMEOUT_S = 0.25
_CONNECTIONS = 50
_AGAIN_S = 2.0  # while Redis is away, one thread looks for Redis so often
_HEARD_S = 5.0  # a worker without a sign of life for so long shares no limits, and has no call in flight
# A worker without Redis has a share of these.
_SHARED = ("limit", "tokens", "reserved", "concurrency_limit", "slow_start_threshold", "good_concurrency")
_OF_REQUESTS = ("reserved", "output_held")  # ... and these belong to requests that are not handed back
_SKEW_S = 1.0  # a Redis whose clock is further off is another machine's: records of the old time are wrong there
_FORGET_S = 86_400
_MOST_UNTOLD = 10_000

_Answer = TypeVar("_Answer")


def in_process_admission(namespace: str, tuning: Tuning) -> BlockingAdmission:
    """Return the admission control of a process that shares its limits with no other process."""
    return LuaScript(InProcessRedis(admission_prefix(namespace)).run, tuning)


def connected(url: str, *, timeout_s: float) -> redis.Redis:
    """Return a client with a few connections, each tried once. A thread waits if all connections are busy."""
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,  # redis' own pool refuses the 101st thread, as if Redis were away
        timeout=4 * timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis.from_pool(pool)


class SharedAdmission:
    """The admission control of a worker's threads, and of all workers of one key. No call waits for an absent Redis."""

    def __init__(self, url: str, tuning: Tuning, *, namespace: str, worker: str, report: Report) -> None:
        self._prefix = admission_prefix(namespace)
        self._worker, self._workers_key = worker, f"{self._prefix}workers"
        self._redis = connected(url, timeout_s=_TIMEOUT_S)
        self._shared = LuaScript(self._run, tuning, worker=worker)
        self._ahead_s, self._is_on_redis_time = 0.0, False  # of our monotonic clock, Redis' time
        self._memory = InProcessRedis(self._prefix, clock=lambda: time.monotonic() + self._ahead_s)
        self._own = LuaScript(self._memory.run, tuning)
        self._report = report
        self._looking, self._turning = Lock(), Lock()
        self._away_until = 0.0  # 0: Redis is there
        self._untold: deque[Result] = deque(maxlen=_MOST_UNTOLD)
        self._let_through_alone: set[str] = set()  # tickets that Redis does not know
        self._last_results: dict[str, Result] = {}  # group -> the limits of its last headers, while Redis was away
        self._known: set[tuple[str, str]] = set()  # the groups asked for, each with a model
        self._workers = 1
        self.refresh()  # registered before the first call: a worker that is lost within a second is missed, too

    def acquire(self, need: Request) -> Granted | Denied:
        """Grant or deny a request; a denial has a time to wait."""
        return cast("Granted | Denied", self.answer([need])[0])

    def release(self, ended: Result) -> Change:
        """Record the end of a granted request. Returns the change of the model's circuit breaker."""
        return cast("Change", self.answer([ended])[0])

    def answer(self, group: Sequence[Request | Result]) -> Sequence[Granted | Denied | Change]:
        """Acquire and release, in the order of the group, in one round trip."""
        self._known |= {(asked.group, asked.model) for asked in group if isinstance(asked, Request)}
        was_sent = False

        def shared() -> Sequence[Granted | Denied | Change]:
            nonlocal was_sent
            was_sent = True  # a frozen Redis runs its commands late, long after the client has given up
            return self._shared.answer(group)

        def own() -> Sequence[Granted | Denied | Change]:
            return [
                self._acquire_alone(asked, was_sent=was_sent) if isinstance(asked, Request) else self._end_alone(asked)
                for asked in group
            ]

        answers = self._answered(shared, own)
        self._let_through_alone -= {asked.ticket for asked in group if isinstance(asked, Result)}
        return answers

    def _acquire_alone(self, need: Request, *, was_sent: bool) -> Granted | Denied:
        answer = self._own.acquire(need)
        if was_sent and isinstance(answer, Denied):
            self._untold.append(Result(ticket=need.ticket, model=need.model, group=need.group, how="not_sent"))
        elif isinstance(answer, Granted) and not was_sent:
            self._let_through_alone.add(need.ticket)
        return answer

    def _end_alone(self, ended: Result) -> Change:
        if ended.ticket not in self._let_through_alone:
            self._untold.append(replace(ended, limits={}, retry_after_s=None))  # by then they are old
        if ended.limits:
            self._last_results[ended.group] = replace(ended, ticket="", how="not_sent")
        return self._own.release(replace(ended, limits=part_of_limits(ended.limits, self._workers)))

    def _run(self, group: Sequence[Sequence[str]]) -> Sequence[Sequence[Any]]:
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for words in group:
                    pipeline.evalsha(_SHA, 1, self._prefix, *words)
                return list(pipeline.execute())
        except redis.exceptions.NoScriptError:  # nothing of the group has run
            self._redis.script_load(TEXT)
            return self._run(group)

    def capacity(self, models: Mapping[str, str], *, horizon_s: float) -> Mapping[str, Capacity]:
        """Return for each model the number of requests that could leave within `horizon_s`. `models` has each group."""
        return self._answered(
            lambda: self._shared.capacity(models, horizon_s=horizon_s),
            lambda: self._own.capacity(models, horizon_s=horizon_s),
        )

    def refresh(self) -> None:
        """Register as alive, and copy the records of Redis, to go on without Redis. Called each second."""
        self._answered(self._copy, lambda: None)

    def close(self) -> None:
        """Share limits no more."""
        with suppress(redis.RedisError):
            self._redis.zrem(self._workers_key, self._worker)
        self._redis.close()

    def _answered(self, shared: Callable[[], _Answer], own: Callable[[], _Answer]) -> _Answer:
        is_away = self._away_until > 0
        if is_away and (time.monotonic() < self._away_until or not self._looking.acquire(blocking=False)):
            return own()
        try:
            if is_away:
                self._hand_back()
            answer = shared()
        except (redis.RedisError, OSError) as error:
            self._go_alone(error)
            return own()
        finally:
            if is_away:
                self._looking.release()
        if is_away:
            self._come_back()
        return answer

    def _go_alone(self, error: Exception) -> None:
        with self._turning:
            was_there, self._away_until = self._away_until == 0, time.monotonic() + _AGAIN_S
        if was_there:
            self._report(RedisLost(message=f"{type(error).__name__}: {error}", workers=self._workers))

    def _hand_back(self) -> None:
        known, now = self._memory.copied(), time.monotonic() + self._ahead_s
        for group, model in sorted(self._known):
            record = json.loads(known.get(f"{self._prefix}group:{group}", "{}"))
            if (wait_s := record.get("closed_until", 0) - now) > 0:
                closed = Result(ticket="", model=model, group=group, how="not_sent", retry_after_s=wait_s)
                self._shared.release(closed)
        # For a Redis that lost its memory: a record that Redis still has stays.
        if not self._is_on_redis_time or abs(self._redis_now() - time.monotonic() - self._ahead_s) > _SKEW_S:
            return
        with self._redis.pipeline(transaction=False) as pipeline:
            for key in {self._prefix + name for name in self._names()} & known.keys():
                pipeline.set(key, whole_of_state(known[key], self._workers), nx=True, ex=_FORGET_S)
            pipeline.execute()

    def _names(self) -> list[str]:
        pairs = sorted(self._known)  # copied at once: other threads add to the set
        endpoints = {DEFAULT_ENDPOINT: None} | {endpoint_of(model): None for _, model in pairs}
        return [
            *(f"endpoint:{name}" for name in endpoints),
            *dict.fromkeys(name for group, model in pairs for name in (f"group:{group}", f"model:{model}")),
        ]

    def _redis_now(self) -> float:
        seconds, microseconds = self._redis.time()
        return float(seconds + microseconds / 1_000_000)

    def _come_back(self) -> None:
        with self._turning:
            was_away, self._away_until = self._away_until > 0, 0.0
        if not was_away:
            return
        count = len(self._untold)
        with suppress(IndexError):
            while not self._away_until:
                self.release(self._untold.popleft())
        with suppress(KeyError):
            while not self._away_until:
                self.release(self._last_results.popitem()[1])
        self._report(RedisRecovered(untold=count))

    def _copy(self) -> None:
        now = self._redis_now()
        self._ahead_s, self._is_on_redis_time = now - time.monotonic(), True
        names = self._names()
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zadd(self._workers_key, {self._worker: now})
            pipeline.zrangebyscore(self._workers_key, "-inf", now - _HEARD_S)
            pipeline.zremrangebyscore(self._workers_key, "-inf", now - _HEARD_S)
            pipeline.zcard(self._workers_key)
            pipeline.mget([self._prefix + name for name in names])
            _, lost, _, workers, texts = pipeline.execute()
        for worker in lost:
            self._give_back(worker.decode())
        self._workers = max(1, int(workers))
        self._memory.fill(
            {
                self._prefix + name: part_of_state(text, self._workers)
                for name, text in zip(names, texts, strict=True)
                if text is not None
            }
        )

    def _give_back(self, worker: str) -> None:
        begins = f"{self._prefix}{TICKETS}"
        keys = [key.decode() for key in self._redis.scan_iter(match=f"{begins}*", count=1_000)]
        texts = self._redis.mget(keys) if keys else []
        tickets = dict(zip((key.removeprefix(begins) for key in keys), texts, strict=True))
        for ended in results_of_lost(tickets, worker):
            self._shared.release(ended)


def part_of_state(text: bytes | str, workers: int) -> str:
    """Return one worker's part of a record: its share of the limits, and all other fields unchanged."""
    record = json.loads(text)
    for fields in (record, *record.get("buckets", ())):
        fields |= {name: fields[name] / workers for name in _SHARED if name in fields}
    return json.dumps(record)


def whole_of_state(text: str, workers: int) -> str:
    """Return the whole of a record from one worker's part, without the requests that are under way."""
    record = json.loads(text)
    for fields in (record, *record.get("buckets", ())):
        fields |= {name: fields[name] * workers for name in _SHARED if name in fields}
        fields |= {name: 0 for name in _OF_REQUESTS if name in fields}
    return json.dumps(record)


def part_of_limits(limits: Mapping[str, tuple[int, int]], workers: int) -> dict[str, tuple[int, int]]:
    """Return one worker's share of limits and of their rests."""
    return {kind: (max(1, limit // workers), left // workers) for kind, (limit, left) in limits.items()}
