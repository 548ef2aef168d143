"""The first call warms a model's cache with a batch's prefix; other calls wait a moment, and read."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

from models.money.usage import Usage

# The API keeps a prefix for five minutes from each use. The API's clock starts before ours: a little less.
KEPT_S = 290.0
WARMING_S = 10.0  # no call waits longer for a call that warms
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 1.0

Warm = Literal["warmer", "warming", "warm", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedPrefix:
    """A model's cache of a prefix."""

    model: str
    prefix: str


class CacheState:
    """Knows which prefixes are in which model's cache, and which prefixes a call is writing.

    This state is of one process, for a worker without Redis. The worker's threads share the state.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[CachedPrefix, tuple[Warm, float]] = {}
        self._lock = Lock()

    def look(self, spot: CachedPrefix) -> Warm:
        """Return the state. `warmer`: the cache was cold, and this caller warms the cache, within ten seconds.

        `never`: the provider cached nothing at the last request, so no call waits.
        """
        with self._lock:
            known, until = self._known.get(spot, ("warming", 0.0))
            if until > self._clock():
                return known
            self._known = {one: ends for one, ends in self._known.items() if ends[1] > self._clock()}
            self._known[spot] = ("warming", self._clock() + WARMING_S)
            return "warmer"

    def is_warm(self, spot: CachedPrefix, *, in_s: float = 0.0) -> bool:
        """Return whether the cache can be read in so many seconds, without taking a turn."""
        known, until = self._known.get(spot, ("warming", 0.0))
        return known == "warm" and until > self._clock() + in_s

    def note(self, spot: CachedPrefix, *, cached_tokens: int | None) -> None:
        """Record the tokens read and written by a marked call. After a failure (None) another may warm the cache."""
        with self._lock:
            if cached_tokens is not None:
                self._known[spot] = ("warm" if cached_tokens else "never", self._clock() + KEPT_S)
            elif spot in self._known and self._known[spot][0] == "warming":
                del self._known[spot]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheWarmup:
    """Lets calls wait for the call that warms, and records their usage. `clock` and `sleep` are in seconds."""

    warmth: CacheState
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]
    in_thread: Callable[..., Awaitable[Any]]  # asks a `warmth` that would block the loop

    async def hold(
        self, spot: CachedPrefix, *, is_urgent: bool = False, is_stopping: Callable[[], bool]
    ) -> tuple[Warm, float]:
        """Wait in hand while another call warms the cache, at most ten seconds.

        Returns the state, and the seconds waited. Urgent jobs do not wait.
        """
        if is_urgent:
            return ("warm" if await self.is_warm(spot) else "warming"), 0.0
        since, wait_s = self.clock(), _FIRST_WAIT_S
        while (found := await self.in_thread(self.warmth.look, spot)) == "warming" and not is_stopping():
            left_s = WARMING_S - (self.clock() - since)
            if left_s <= 0:
                break
            await self.sleep(min(wait_s, left_s))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        return found, self.clock() - since

    async def is_warm(self, spot: CachedPrefix, *, in_s: float = 0.0) -> bool:
        """Return whether the cache can be read in so many seconds."""
        return bool(await self.in_thread(self.warmth.is_warm, spot, in_s=in_s))

    async def note(self, spot: CachedPrefix, found: Warm, *, usage: Usage | None) -> None:
        """Record the usage of a marked call. After a failure, or without a call (None), another warms the cache."""
        if usage is not None and usage.prompt_tokens:
            await self._note(spot, usage.prompt_tokens - usage.input_tokens)
        elif found == "warmer":
            await self._note(spot, None)

    async def _note(self, spot: CachedPrefix, cached_tokens: int | None) -> None:
        await self.in_thread(self.warmth.note, spot, cached_tokens=cached_tokens)
