"""Rate limits in the API's way: a set of buckets for each model group, refilled continuously."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ALL = "all"  # the limits of every model together
_DEFAULT = {"requests": 4_000, "input-tokens": 4_000_000, "output-tokens": 800_000}  # shown, not enforced


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Rate limits of a model group, per minute; None is no limit."""

    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None


@dataclass(slots=True)
class Bucket:
    """A bucket of `per_minute` tokens that starts full; a level below zero makes requests wait."""

    per_minute: int
    level: float
    at_s: float

    def refill(self, now_s: float) -> None:
        """Add the tokens since the last refill."""
        gained = max(0.0, now_s - self.at_s) * self.per_minute / 60
        self.level = min(float(self.per_minute), self.level + gained)
        self.at_s = max(self.at_s, now_s)

    def wait_s(self, amount: float) -> float:
        """Return the seconds until the level reaches an amount. No level ever reaches more than `per_minute`."""
        return max(0.0, (amount - self.level) * 60 / self.per_minute)

    def full_in_s(self) -> float:
        """Seconds until the bucket is full again."""
        return (self.per_minute - self.level) * 60 / self.per_minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The admission of a request: `wait_s` is None if the request may pass, else the seconds to wait.

    `limit` names the bucket that failed, and `per_minute` its size.
    """

    wait_s: int | None = None
    limit: str = ""
    per_minute: int = 0

    @property
    def message(self) -> str:
        """The API's sentence about the limit."""
        words = f"{self.per_minute:,} {self.limit.replace('-', ' ')} per minute"
        return (
            f"This request would exceed your organization's rate limit of {words} (model: {{model}}). For details, "
            "refer to: https://docs.claude.com/en/api/rate-limits. You can see the response headers for current usage. "
            "Please reduce the prompt length or the maximum tokens requested, or try again later."
        )


@dataclass(slots=True)
class RateLimits:
    """All groups' buckets; a group without limits lets everything pass."""

    limits: Mapping[str, Limits]
    started_s: float
    _groups: dict[str, dict[str, Bucket]] = field(init=False)

    def __post_init__(self) -> None:
        self._groups = {group: _buckets(limits, self.started_s) for group, limits in self.limits.items()}

    def admit(self, group: str, uncached_tokens: int, now_s: float) -> Admission:
        """Take a request and its uncached input, or return the seconds to wait.

        Output is taken afterwards by `charge_output`: only generated tokens count, not `max_tokens`.
        """
        needs = {"requests": 1, "input-tokens": uncached_tokens, "output-tokens": 1}
        buckets = self._of(group, now_s)
        slowest = max(buckets, key=lambda each: each[1].wait_s(needs[each[0]]), default=None)
        if slowest is not None and (wait_s := slowest[1].wait_s(needs[slowest[0]])) > 0:
            return Admission(wait_s=math.ceil(wait_s), limit=slowest[0], per_minute=slowest[1].per_minute)
        for name, bucket in buckets:
            bucket.level -= 0 if name == "output-tokens" else needs[name]
        return Admission()

    def charge_output(self, group: str, tokens: int) -> None:
        """Take the output that was generated; the level may go below zero."""
        for name, bucket in self._of(group, self.started_s):
            bucket.level -= tokens if name == "output-tokens" else 0

    def headers(self, group: str, now_s: float) -> list[tuple[str, int, int, float]]:
        """List (kind, limit, remaining, seconds until full) for the response headers, of the emptier of two buckets."""
        tightest: dict[str, Bucket] = {}
        for name, bucket in self._of(group, now_s):
            if name not in tightest or bucket.level < tightest[name].level:
                tightest[name] = bucket
        rows = []
        for name, default in _DEFAULT.items():
            found = tightest.get(name)
            if found is None:
                rows.append((name, default, default, 0.0))
                continue
            rows.append((name, found.per_minute, max(0, math.floor(found.level)), found.full_in_s()))
        return rows

    def _of(self, group: str, now_s: float) -> list[tuple[str, Bucket]]:
        """Return the buckets of a group and those of all models, refilled until now."""
        buckets = [each for name in (group, ALL) for each in self._groups.get(name, {}).items()]
        for _, bucket in buckets:
            bucket.refill(now_s)
        return buckets


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
