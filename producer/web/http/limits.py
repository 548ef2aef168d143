"""Limits of a caller: its requests a minute, and the tokens that its day cap still buys, told as the provider does."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from starlette.concurrency import run_in_threadpool

from models.callers import CALLER, Caller
from models.errors import StepdownError
from models.money.price_book import PriceBook
from models.settings import Settings
from producer.client import Producer
from producer.web.http.errors import Refusal

_KEPT_S = 2.0
_MINUTE_S = 60.0
_MILLION = 1_000_000
_PREFIX = "anthropic-ratelimit"


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(slots=True, kw_only=True)
class Limits:
    """Counts the requests of each caller in this process, and reads its day cap in the ledger."""

    producer: Producer
    settings: Settings
    _buckets: dict[str, _Bucket] = field(default_factory=dict)
    _kept: dict[str, tuple[float, dict[str, str]]] = field(default_factory=dict)

    def take(self, caller: Caller | None, method: str) -> None:
        """Count one POST. Raises Refusal (429) where the caller has none left in this minute."""
        if caller is None or caller.requests_per_minute is None or method != "POST":
            return
        bucket = self._bucket(caller, caller.requests_per_minute)
        if bucket.tokens < 1:
            wait_s = -int(-(1 - bucket.tokens) * _MINUTE_S // caller.requests_per_minute)
            said = f"you have {caller.requests_per_minute} requests a minute (requests_per_minute in CALLERS_FILE)"
            raise Refusal(429, f"{said}; send it again in {wait_s} s", retry_after_s=wait_s)
        bucket.tokens -= 1

    async def headers(self, caller: Caller | None) -> dict[str, str]:
        """Return the headers that tell what a caller may still do; nothing of a limit that it has not."""
        told = dict[str, str]()
        if caller is None:
            return told
        if (most := caller.requests_per_minute) is not None:
            bucket = self._bucket(caller, most)
            full_at = datetime.now(UTC) + timedelta(seconds=(most - bucket.tokens) * _MINUTE_S / most)
            told |= _three("requests", most, int(bucket.tokens), full_at)
        cap = self.settings.tag_caps.get(f"{CALLER}={caller.name}")
        return told if cap is None else told | await self._of_cap(caller, cap)

    async def _of_cap(self, caller: Caller, cap: Decimal) -> dict[str, str]:
        looked_at, told = self._kept.get(caller.name, (0.0, {}))
        if not told or time.monotonic() - looked_at > _KEPT_S:
            try:
                told = await run_in_threadpool(self._bought_by, caller, cap)
            except StepdownError:  # the request itself tells that the ledger is away
                return {}
            self._kept[caller.name] = (time.monotonic(), told)
        return told

    def _bought_by(self, caller: Caller, cap: Decimal) -> dict[str, str]:
        """Tell how many tokens of the primary the cap buys, in all and from now on."""
        store, now = self.producer.store, datetime.now(UTC)
        left = max(Decimal(0), cap - store.served_batches.gone_today(f"tag:{CALLER}={caller.name}"))
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        told = {"x-stepdown-day-cap-usd": f"{cap:f}", "x-stepdown-day-left-usd": f"{left:f}"}
        price = PriceBook(self.settings.price_overrides, store.price_list.dated()).price(
            self.producer.models[0], at=now
        )
        rates = () if price is None else (("input-tokens", price.rates.input), ("output-tokens", price.rates.output))
        for kind, rate in rates:
            if rate > 0:
                told |= _three(kind, int(cap * _MILLION / rate), int(left * _MILLION / rate), midnight)
        return told

    def _bucket(self, caller: Caller, most: int) -> _Bucket:
        now = time.monotonic()
        bucket = self._buckets.setdefault(caller.name, _Bucket(tokens=float(most), at=now))
        bucket.tokens = min(float(most), bucket.tokens + (now - bucket.at) * most / _MINUTE_S)
        bucket.at = now
        return bucket


def _three(kind: str, most: int, left: int, reset: datetime) -> dict[str, str]:
    at = reset.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {f"{_PREFIX}-{kind}-{word}": str(value) for word, value in zip(_WORDS, (most, left, at), strict=True)}


_WORDS = ("limit", "remaining", "reset")
