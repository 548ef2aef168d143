"""The limits of a caller: requests a minute, the tokens that the day cap still buys, and requests in hand.

The headers are those of the provider.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

from starlette.concurrency import run_in_threadpool

from models.callers import CALLER, Caller
from models.errors import StepdownError
from models.settings import Settings
from producer.client import Producer
from producer.web.http.errors import Refusal

_KEPT_S = 2.0
_MINUTE_S = 60.0
_MILLION = 1_000_000
_PREFIX = "anthropic-ratelimit"
_AGAIN_S = 5


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(slots=True, kw_only=True)
class Limits:
    """Counts the requests of each caller in this process, and reads the caller's day cap from the ledger."""

    producer: Producer
    settings: Settings
    _buckets: dict[str, _Bucket] = field(default_factory=dict)
    _kept: dict[str, tuple[float, dict[str, str]]] = field(default_factory=dict)

    def take(self, caller: Caller | None, method: str) -> None:
        """Count a POST request. Raises Refusal (429) if the caller has no request left in this minute."""
        if caller is None or caller.requests_per_minute is None or method != "POST":
            return
        bucket = self._bucket(caller, caller.requests_per_minute)
        if bucket.tokens < 1:
            wait_s = -int(-(1 - bucket.tokens) * _MINUTE_S // caller.requests_per_minute)
            limit = f"you have {caller.requests_per_minute} requests a minute (requests_per_minute in CALLERS_FILE)"
            raise Refusal(429, f"{limit}; send it again in {wait_s} s", retry_after_s=wait_s)
        bucket.tokens -= 1

    async def headers(self, caller: Caller | None) -> dict[str, str]:
        """Return the headers with the limits of a caller. A limit that the caller has not is left out."""
        headers = dict[str, str]()
        if caller is None:
            return headers
        if (most := caller.requests_per_minute) is not None:
            bucket = self._bucket(caller, most)
            full_at = datetime.now(UTC) + timedelta(seconds=(most - bucket.tokens) * _MINUTE_S / most)
            headers |= _three("requests", most, int(bucket.tokens), full_at)
        cap = self.settings.tag_caps.get(f"{CALLER}={caller.name}")
        return headers if cap is None else headers | await self._of_cap(caller, cap)

    async def _of_cap(self, caller: Caller, cap: Decimal) -> dict[str, str]:
        looked_at, headers = self._kept.get(caller.name, (0.0, {}))
        if not headers or time.monotonic() - looked_at > _KEPT_S:
            try:
                headers = await run_in_threadpool(self._bought_by, caller, cap)
            except StepdownError:  # the request itself fails for want of the ledger
                return {}
            self._kept[caller.name] = (time.monotonic(), headers)
        return headers

    def _bought_by(self, caller: Caller, cap: Decimal) -> dict[str, str]:
        """Return the tokens of the primary that the cap buys, in all and from now on, as headers."""
        store, now = self.producer.store, datetime.now(UTC)
        left = max(Decimal(0), cap - store.served_batches.gone_today(f"tag:{CALLER}={caller.name}"))
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        headers = {"x-stepdown-day-cap-usd": f"{cap:f}", "x-stepdown-day-left-usd": f"{left:f}"}
        price = self.settings.price_book(store.price_list.dated()).price(self.producer.models[0], at=now)
        rates = () if price is None else (("input-tokens", price.rates.input), ("output-tokens", price.rates.output))
        for kind, rate in rates:
            if rate > 0:
                headers |= _three(kind, int(cap * _MILLION / rate), int(left * _MILLION / rate), midnight)
        return headers

    def _bucket(self, caller: Caller, most: int) -> _Bucket:
        now = time.monotonic()
        bucket = self._buckets.setdefault(caller.name, _Bucket(tokens=float(most), at=now))
        bucket.tokens = min(float(most), bucket.tokens + (now - bucket.at) * most / _MINUTE_S)
        bucket.at = now
        return bucket


@dataclass(slots=True, kw_only=True)
class Slots:
    """A concurrency limit for `what`: slots `per_caller` and `in_all`. A request waits up to `patience_s` for both."""

    what: str
    per_caller: int
    in_all: int
    patience_s: float
    _own: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    _all: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._all = asyncio.Semaphore(self.in_all)

    @asynccontextmanager
    async def slot(self, caller: str) -> AsyncIterator[None]:
        """Hold a slot for a block. Raises Refusal: 429 if the caller has no slot left, 503 if no caller has."""
        own = self._own.setdefault(caller, asyncio.Semaphore(self.per_caller))
        full = partial(Refusal, retry_after_s=_AGAIN_S, hangs_up=True)
        of_yours = f"{self.per_caller} {self.what} of yours are in hand already; send one when another has ended"
        of_all = f"this server has {self.in_all} {self.what} in hand already; send it again later"
        async with AsyncExitStack() as until_end:
            for slots, refusal in (own, full(429, of_yours)), (self._all, full(503, of_all)):
                await self._take(slots, refusal)
                until_end.callback(slots.release)
            yield

    async def _take(self, slots: asyncio.Semaphore, full: Refusal) -> None:
        try:
            async with asyncio.timeout(self.patience_s):
                await slots.acquire()
        except TimeoutError:
            raise full from None


def _three(kind: str, most: int, left: int, reset: datetime) -> dict[str, str]:
    at = reset.isoformat(timespec="seconds").replace("+00:00", "Z")
    values = {"limit": str(most), "remaining": str(left), "reset": at}
    return {f"{_PREFIX}-{kind}-{word}": value for word, value in values.items()}
