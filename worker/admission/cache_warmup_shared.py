"""The state of all caches, shared by the fleet in Redis; in each worker's own memory while Redis is away."""

from collections.abc import Callable
from typing import Any, cast

import redis

from models.queue.redis_keys import cache_state_key
from worker.admission.cache_warmup import KEPT_S, WARMING_S, CachedPrefix, CacheState, Warm
from worker.admission.shared import connected

_TIMEOUT_S = 0.25
_LEFT_ALONE_S = 5.0  # after a failure Redis is left alone: each call would wait for an answer
_WORDS = ("warming", "warm", "never")


class SharedCacheState(CacheState):
    """Asks Redis, and remembers each own result: losing Redis costs a few calls their turn, no more."""

    def __init__(
        self, url: str, clock: Callable[[], float], *, namespace: str = "", timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._redis = connected(url, timeout_s=timeout_s)
        self._namespace = namespace
        super().__init__(clock)
        self._away_until = 0.0

    def look(self, spot: CachedPrefix) -> Warm:
        """Take the turn to warm the cache, if no worker of the fleet has the turn."""
        return self._asked(lambda: self._look(spot)) or super().look(spot)

    def is_warm(self, spot: CachedPrefix, *, in_s: float = 0.0) -> bool:
        """Look only."""
        found = self._asked(lambda: self._is_warm(spot, in_s))
        return super().is_warm(spot, in_s=in_s) if found is None else bool(found)

    def note(self, spot: CachedPrefix, *, cached_tokens: int | None) -> None:
        """Record the result for the fleet."""
        super().note(spot, cached_tokens=cached_tokens)
        self._asked(lambda: self._note(spot, cached_tokens))

    def close(self) -> None:
        """End the connections."""
        self._redis.close()

    def _look(self, spot: CachedPrefix) -> Warm:
        if self._redis.set(self._key(spot), "warming", nx=True, px=_ms(WARMING_S)):
            return "warmer"
        return cast("Warm", self._read(spot) or "warming")

    def _is_warm(self, spot: CachedPrefix, in_s: float) -> bool:
        return self._read(spot) == "warm" and self._redis.pttl(self._key(spot)) > _ms(in_s)

    def _key(self, spot: CachedPrefix) -> str:
        return cache_state_key(self._namespace, spot.model, spot.prefix)

    def _read(self, spot: CachedPrefix) -> str:
        found = cast("bytes | None", self._redis.get(self._key(spot)))
        word = (found or b"").decode(errors="replace")
        return word if word in _WORDS else ""

    def _note(self, spot: CachedPrefix, cached_tokens: int | None) -> str:
        key = self._key(spot)
        if cached_tokens is not None:
            self._redis.set(key, "warm" if cached_tokens else "never", px=_ms(KEPT_S))
        elif self._read(spot) == "warming":
            self._redis.delete(key)
        return ""

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """Ask Redis. Returns None if Redis does not answer, and for a while after."""
        if self._clock() < self._away_until:
            return None
        try:
            return ask()
        except (redis.RedisError, OSError):
            self._away_until = self._clock() + _LEFT_ALONE_S
            return None


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
