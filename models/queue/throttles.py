"""Throttles: the causes that hold the fleet's requests back now, in the admission control's state in Redis.

A worker writes the state with every request (worker/admission). Nothing here changes a key.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from models.chain.chain import Chain
from models.errors import BrokerError
from models.queue.redis_keys import admission_prefix
from models.rung_name import endpoint_of

QUIET_S = 60.0  # an older denial throttles nobody any more
_TIMEOUT_S = 2.0
_DOUBLES_S = 73.0  # as in limits.lua: the speed after a ramp limit doubles in so long
_BUSY_SHARE = 0.8  # of the calls that our own limit allows: with fewer in flight the limit has grown since the denial
_FRESH_S = 10.0  # a denial as young counts even if a mean request fits: the denied request may have been a large one
_KEPT_SHARE = 0.01  # of each limit, for urgent requests

_OUTAGE = "outage"  # as in breaker.lua: the kind of a breaker that holds a whole endpoint back

Reason = Literal["key_paused", "endpoint_out", "circuit_open", "limited", "full", "ramp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """One reason why requests wait, step down or are parked now.

    `models` are the models of the chain that the throttle holds back. `kind` is the failure that opened a breaker, or
    the exhausted limit: requests, input, output, retry-after. `until` is the next probe, or the time when a mean
    request fits again, None if unknown. `limit` is the limit a minute, or the calls at a time. All times are by Redis'
    clock, `read_at` among them.
    """

    reason: Reason
    models: tuple[str, ...]
    since: datetime
    read_at: datetime
    until: datetime | None = None
    kind: str = ""
    limit: int | None = None
    in_flight: int | None = None
    speed: float | None = None  # of a ramp limit, from 0 to 1

    @property
    def for_s(self) -> float:
        """Return the seconds since the throttle began."""
        return max(0.0, (self.read_at - self.since).total_seconds())

    @property
    def left_s(self) -> float | None:
        """Return the seconds until the next chance. Returns None if unknown."""
        return None if self.until is None else max(0.0, (self.until - self.read_at).total_seconds())


class ThrottleReader:
    """Reads the throttles of one key in one round trip. A reading raises BrokerError if Redis is away."""

    def __init__(self, url: str, *, namespace: str, chain: Chain, quiet_s: float = QUIET_S) -> None:
        self._url = url
        self._prefix = admission_prefix(namespace)
        self._chain = chain
        self._quiet_s = quiet_s

    def read(self) -> list[Throttle]:
        """Return the throttles of now, those of endpoints first, then each model's and each limit group's."""
        now, state, flights = self._state()
        return throttles_in(state, flights, self._chain, now=now, quiet_s=self._quiet_s)

    def _state(self) -> tuple[float, dict[str, "_Fields"], dict[str, int]]:
        import redis  # noqa: PLC0415 - a command that asks nothing of Redis need not load the client

        groups = sorted({self._chain.group_of(model) for model in self._chain.models})
        endpoints = dict.fromkeys(f"endpoint:{endpoint_of(model)}" for model in self._chain.models)
        names = [
            *endpoints,
            *(f"model:{model}" for model in self._chain.models),
            *(f"group:{group}" for group in groups),
        ]
        client = redis.Redis.from_url(self._url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        try:
            with client, client.pipeline(transaction=False) as pipeline:
                pipeline.time()
                for name in names:
                    pipeline.get(self._prefix + name)
                for model in self._chain.models:
                    pipeline.zcard(f"{self._prefix}flight:{model}")
                (seconds, microseconds), *found = pipeline.execute()
        except (redis.RedisError, OSError) as error:
            raise BrokerError(f"broker: {type(error).__name__}: {error}") from error
        records, counts = found[: len(names)], found[len(names) :]
        state = {name: _Fields.of(text) for name, text in zip(names, records, strict=True)}
        return seconds + microseconds / 1e6, state, dict(zip(self._chain.models, map(int, counts), strict=True))


def throttles_in(
    state: Mapping[str, "_Fields"], flights: Mapping[str, int], chain: Chain, *, now: float, quiet_s: float
) -> list[Throttle]:
    """Return the throttles that a state holds at `now`, in seconds of Redis' clock.

    An open breaker without a request for `quiet_s` throttles nobody: the next request is a probe.
    """
    look = _Look(state=state, flights=flights, chain=chain, now=now, quiet_s=quiet_s)
    models = [throttle for model in chain.models for throttle in look.of_model(model)]
    groups = {chain.group_of(model): None for model in chain.models}
    endpoints = dict.fromkeys(map(endpoint_of, chain.models))
    of_endpoints = [throttle for endpoint in endpoints for throttle in look.of_endpoint(endpoint)]
    return [*of_endpoints, *models, *(throttle for group in groups for throttle in look.of_group(group))]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    """One record of the state. An absent number is 0, an absent word is empty."""

    values: Mapping[str, Any]

    @classmethod
    def of(cls, text: bytes | None) -> "_Fields":
        try:
            values = json.loads(text or b"{}")
        except ValueError:
            values = {}
        return cls(values=values if isinstance(values, dict) else {})

    def number(self, name: str) -> float:
        value = self.values.get(name, 0)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return float(value) if is_number else 0.0

    def word(self, name: str) -> str:
        return str(self.values.get(name, ""))

    @property
    def buckets(self) -> dict[str, "_Fields"]:
        """Return the token bucket of each kind of a group."""
        found = self.values.get("buckets")
        rows = [_Fields(values=row) for row in found if isinstance(row, dict)] if isinstance(found, list) else []
        return {row.word("kind"): row for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One look at the whole state."""

    state: Mapping[str, _Fields]
    flights: Mapping[str, int]
    chain: Chain
    now: float
    quiet_s: float

    def of_endpoint(self, name: str) -> list[Throttle]:
        """Return the throttles of an endpoint: an outage or a pause of the key, a ramp limit."""
        endpoint, models = self._fields(f"endpoint:{name}"), self._models_at(name)
        found: list[Throttle] = []
        if self._is_open(endpoint):
            reason: Reason = "endpoint_out" if endpoint.word("kind") == _OUTAGE else "key_paused"
            found.append(self._breaker(endpoint, reason, models))
        if (speed := self._speed(models[0])) < 1:
            since, until = endpoint.number("ramped_at"), endpoint.number("full_speed_at")
            found.append(self._throttle("ramp", models, since, until=until, speed=speed))
        return found

    def of_model(self, name: str) -> list[Throttle]:
        """Return the throttle of one model: an open breaker, else our own limit of calls at a time."""
        model = self._fields(f"model:{name}")
        if self._is_open(model):
            return [self._breaker(model, "circuit_open", (name,))]
        if not self._denies(model, "full"):
            return []
        limit = max(1, math.floor(model.number("concurrency_limit") * self._speed(name) ** 2))
        since, flying = model.number("throttled_since"), self.flights.get(name, 0)
        if flying + 1 < limit * _BUSY_SHARE:
            return []
        return [self._throttle("full", (name,), since, limit=limit, in_flight=flying)]

    def of_group(self, name: str) -> list[Throttle]:
        """Return the throttle of one limit group: closed by a 429, or out of requests or tokens."""
        group = self._fields(f"group:{name}")
        models = tuple(model for model in self.chain.models if self.chain.group_of(model) == name)
        closed_until, kind = group.number("closed_until"), group.word("throttle_kind")
        is_denying, since = self._denies(group, "limited"), group.number("throttled_since")
        if closed_until > self.now:
            since = since if is_denying else group.number("kept_at")
            return [self._throttle("limited", models, since, until=closed_until, kind="retry-after")]
        bucket = group.buckets.get(kind)
        if not is_denying or bucket is None:
            return []
        wait_s = self._wait_s(group, bucket, self._speed(models[0]))
        if wait_s <= 0 and self.now - group.number("throttled_at") > _FRESH_S:
            return []
        until, limit = self.now + max(0.0, wait_s), round(bucket.number("limit"))
        return [self._throttle("limited", models, since, until=until, kind=kind, limit=limit)]

    def _fields(self, name: str) -> _Fields:
        return self.state.get(name, _Fields(values={}))

    def _is_open(self, owner: _Fields) -> bool:
        asked_at = max(owner.number("next_probe_at"), owner.number("probe_until"))
        return owner.number("opened_at") > 0 and self.now - asked_at <= self.quiet_s

    def _denies(self, owner: _Fields, reason: str) -> bool:
        return owner.word("throttle") == reason and self.now - owner.number("throttled_at") <= self.quiet_s

    def _breaker(self, owner: _Fields, reason: Reason, models: Sequence[str]) -> Throttle:
        since, until = owner.number("opened_at"), max(self.now, owner.number("next_probe_at"))
        return self._throttle(reason, models, since, until=until, kind=owner.word("kind"))

    def _throttle(
        self, reason: Reason, models: Sequence[str], since: float, *, until: float | None = None, **details: Any
    ) -> Throttle:
        return Throttle(
            reason=reason,
            models=tuple(models),
            since=_time(since),
            read_at=_time(self.now),
            until=None if until is None else _time(until),
            **details,
        )

    def _models_at(self, endpoint: str) -> tuple[str, ...]:
        return tuple(model for model in self.chain.models if endpoint_of(model) == endpoint)

    def _speed(self, model: str) -> float:
        left_s = self._fields(f"endpoint:{endpoint_of(model)}").number("full_speed_at") - self.now
        return 1.0 if left_s <= 0 else float(2 ** (-min(1e3, left_s / _DOUBLES_S)))

    def _wait_s(self, group: _Fields, bucket: _Fields, speed: float) -> float:
        """Return the seconds until a mean request fits behind all reserved tokens."""
        limit = bucket.number("limit")
        rate, kept = limit / 60 * speed, _KEPT_SHARE * limit
        dripped = max(0.0, self.now - group.number("at")) * rate
        tokens = min(limit, bucket.number("tokens") + dripped)
        needed = min(max(1.0, bucket.number("mean")), limit - kept) + kept + bucket.number("reserved")
        return (needed - tokens) / rate if rate > 0 else 0.0


def _time(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=min(seconds, 1e11))
