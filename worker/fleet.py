"""The turnstile of the whole fleet: in Redis, and in each worker's own memory while Redis is away."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import TypeVar

import redis

from models.keys import WORKERS, turnstile_prefix
from worker.events import FleetAlone, FleetTogether, Tell
from worker.ownmemory import OwnMemory
from worker.script import TEXT, Script
from worker.turnstile import Change, Ended, Go, Later, Need, Room, Turnstile

_TIMEOUT_S = 0.25
_AGAIN_S = 2.0  # while Redis is away one thread looks whether it is back, so often
_HEARD_S = 10.0  # a worker that was not heard for so long shares no limits
_SHARED = ("_limit", "_level", "_promised", "cap", "threshold", "good_cap")  # what each worker alone has its part of
_MOST_UNTOLD = 10_000

_Answer = TypeVar("_Answer")


def alone(namespace: str, *, probe_every_s: float, key_pause_s: float) -> Turnstile:
    """Make the turnstile of a process that shares its limits with nobody it knows of."""
    memory = OwnMemory(turnstile_prefix(namespace))
    return Script(memory.run, probe_every_s=probe_every_s, key_pause_s=key_pause_s)


class Fleet:
    """Shared by the threads of a worker, and by all workers of one key. No question waits for a Redis that is away."""

    def __init__(
        self, url: str, *, namespace: str, worker: str, probe_every_s: float, key_pause_s: float, tell: Tell
    ) -> None:
        self._prefix = turnstile_prefix(namespace)
        self._worker = worker
        self._redis = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        script = self._redis.register_script(TEXT)
        self._shared = Script(
            lambda words: script(keys=[self._prefix], args=list(words)),
            probe_every_s=probe_every_s,
            key_pause_s=key_pause_s,
        )
        self._ahead_s = 0.0  # of our monotonic clock, Redis' time
        self._memory = OwnMemory(self._prefix, clock=lambda: time.monotonic() + self._ahead_s)
        self._own = Script(self._memory.run, probe_every_s=probe_every_s, key_pause_s=key_pause_s)
        self._tell_event = tell
        self._looking = Lock()
        self._away_until = 0.0  # 0: it is there
        self._untold: deque[Ended] = deque(maxlen=_MOST_UNTOLD)
        self._known: set[str] = set()
        self._workers = 1

    def ask(self, need: Need) -> Go | Later:
        """Let a request through, or say when to come back."""
        self._known |= {f"group:{need.group}", f"model:{need.model}"}
        return self._answered(lambda: self._shared.ask(need), lambda: self._own.ask(need))

    def tell(self, ended: Ended) -> Change:
        """Note how a request that was let through ended; returns what that made of its model's cooldown."""

        def to_own() -> Change:
            self._untold.append(ended)
            return self._own.tell(replace(ended, limits=self._part_of(ended.limits)))

        return self._answered(lambda: self._shared.tell(ended), to_own)

    def rooms(self, models: Mapping[str, str], *, horizon_s: float) -> Mapping[str, Room]:
        """Tell for each model, given with its group, how many requests could leave within `horizon_s`."""
        return self._answered(
            lambda: self._shared.rooms(models, horizon_s=horizon_s),
            lambda: self._own.rooms(models, horizon_s=horizon_s),
        )

    def recovered(self) -> tuple[str, ...]:
        """List the models that came back since somebody of the fleet asked last."""
        return self._answered(self._shared.recovered, self._own.recovered)

    def refresh(self) -> None:
        """Be heard, and keep a copy of what Redis knows, to go on with where it goes away. For a clock, each second."""
        self._answered(self._copy, lambda: None)

    def close(self) -> None:
        """Share limits no more."""
        with suppress(redis.RedisError):
            self._redis.zrem(WORKERS, self._worker)
        self._redis.close()

    def _answered(self, shared: Callable[[], _Answer], own: Callable[[], _Answer]) -> _Answer:
        is_away = self._away_until > 0
        if is_away and (time.monotonic() < self._away_until or not self._looking.acquire(blocking=False)):
            return own()
        try:
            answer = shared()
        except (redis.RedisError, OSError) as error:
            if not self._away_until:
                self._tell_event(FleetAlone(said=f"{type(error).__name__}: {error}", workers=self._workers))
            self._away_until = time.monotonic() + _AGAIN_S
            return own()
        finally:
            if is_away:
                self._looking.release()
        if is_away:
            self._come_back()
        return answer

    def _come_back(self) -> None:
        self._away_until = 0.0
        count = len(self._untold)
        while self._untold and not self._away_until:
            self.tell(self._untold.popleft())
        self._tell_event(FleetTogether(untold=count))

    def _copy(self) -> None:
        seconds, microseconds = self._redis.time()
        now = seconds + microseconds / 1_000_000
        self._ahead_s = now - time.monotonic()
        names = ["fleet", *sorted(self._known)]
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zadd(WORKERS, {self._worker: now})
            pipeline.zremrangebyscore(WORKERS, "-inf", now - _HEARD_S)
            pipeline.zcard(WORKERS)
            for name in names:
                pipeline.hgetall(self._prefix + name)
            _, _, workers, *hashes = pipeline.execute()
        self._workers = max(1, int(workers))
        self._memory.fill(
            {self._prefix + name: self._part(fields) for name, fields in zip(names, hashes, strict=True) if fields}
        )

    def _part(self, fields: Mapping[bytes, bytes]) -> dict[str, str]:
        told = {name.decode(): value.decode() for name, value in fields.items()}
        return {
            name: f"{float(value) / self._workers:.6f}" if name.endswith(_SHARED) else value
            for name, value in told.items()
        }

    def _part_of(self, limits: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        parts = {kind: (limit // self._workers, left // self._workers) for kind, (limit, left) in limits.items()}
        return {kind: (max(1, limit), left) for kind, (limit, left) in parts.items()}
