"""Rate limits as the API keeps them: one set of buckets per model group, refilled continuously."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulator.script import Limits

_DEFAULT = {"requests": 4_000, "input-tokens": 4_000_000, "output-tokens": 800_000}  # shown, not enforced


@dataclass(slots=True)
class Bucket:
    """A bucket of `per_minute` tokens that starts full; its level may go below zero, and then it waits."""

    per_minute: int
    level: float
    at_s: float

    def refill(self, now_s: float) -> None:
        """Add what has dripped in since the last look."""
        gained = max(0.0, now_s - self.at_s) * self.per_minute / 60
        self.level = min(float(self.per_minute), self.level + gained)
        self.at_s = max(self.at_s, now_s)

    def wait_s(self, amount: float) -> float:
        """Seconds until this amount is there; more than the bucket holds needs only a full bucket."""
        missing = min(amount, self.per_minute) - self.level
        return max(0.0, missing * 60 / self.per_minute)

    def full_in_s(self) -> float:
        """Seconds until the bucket is full again."""
        return (self.per_minute - self.level) * 60 / self.per_minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a request may pass: `wait_s` is None when it may, else when to come back; `limit` which failed."""

    wait_s: int | None = None
    limit: str = ""


@dataclass(slots=True)
class RateLimits:
    """All groups' buckets; a group without limits lets everything pass."""

    limits: Mapping[str, Limits]
    started_s: float
    _groups: dict[str, dict[str, Bucket]] = field(init=False)

    def __post_init__(self) -> None:
        self._groups = {group: _buckets(limits, self.started_s) for group, limits in self.limits.items()}

    def admit(self, group: str, uncached_tokens: int, now_s: float) -> Admission:
        """Take one request and its uncached input, or say when there will be room for it.

        Output is taken afterwards by `charge_output`: `max_tokens` does not count, only what is generated.
        """
        buckets = self._groups.get(group, {})
        needs = {"requests": 1, "input-tokens": uncached_tokens, "output-tokens": 1}
        waits = {}
        for name, bucket in buckets.items():
            bucket.refill(now_s)
            waits[name] = bucket.wait_s(needs[name])
        slowest = max(waits, key=waits.__getitem__, default=None)
        if slowest is not None and waits[slowest] > 0:
            return Admission(wait_s=math.ceil(waits[slowest]), limit=slowest)
        for name, bucket in buckets.items():
            bucket.level -= 0 if name == "output-tokens" else needs[name]
        return Admission()

    def charge_output(self, group: str, tokens: int) -> None:
        """Take the output that was generated; the level may go below zero."""
        bucket = self._groups.get(group, {}).get("output-tokens")
        if bucket is not None:
            bucket.level -= tokens

    def headers(self, group: str, now_s: float) -> list[tuple[str, int, int, float]]:
        """List (kind, limit, remaining, seconds until full) for the response headers."""
        buckets = self._groups.get(group, {})
        rows = []
        for name, default in _DEFAULT.items():
            bucket = buckets.get(name)
            if bucket is None:
                rows.append((name, default, default, 0.0))
                continue
            bucket.refill(now_s)
            rows.append((name, bucket.per_minute, max(0, math.floor(bucket.level)), bucket.full_in_s()))
        return rows


def _buckets(limits: Limits, now_s: float) -> dict[str, Bucket]:
    per_minute = {
        "requests": limits.requests_per_minute,
        "input-tokens": limits.input_tokens_per_minute,
        "output-tokens": limits.output_tokens_per_minute,
    }
    return {
        name: Bucket(per_minute=rate, level=float(rate), at_s=now_s)
        for name, rate in per_minute.items()
        if rate is not None
    }
