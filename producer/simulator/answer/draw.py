"""Chance without surprises: every draw depends on the seed, the body and a label, never on the clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b

_SPREAD = 0.35  # sigma of the log of the latency: p95 is about 1.8 times the median
_SLOWEST = 8.0  # times the median


@dataclass(frozen=True, slots=True)
class Draw:
    """The chance of a request; two requests with the same key draw the same."""

    key: bytes

    def share(self, label: str) -> float:
        """Draw from 0 (included) to 1 (excluded)."""
        digest = blake2b(label.encode(), key=self.key, digest_size=8).digest()
        return (int.from_bytes(digest, "big") >> 11) / (1 << 53)

    def pick(self, label: str, low: int, high: int) -> int:
        """Draw a whole number from `low` to `high`, both included."""
        return low + int(self.share(label) * (high - low + 1))

    def token(self, label: str, length: int = 22) -> str:
        """Draw an id, as readable as the provider's own."""
        return blake2b(label.encode(), key=self.key, digest_size=16).hexdigest()[:length]

    def latency_s(self, median_s: float) -> float:
        """Draw a log-normal latency in seconds around the median; a median of 0 gives exactly 0."""
        if median_s <= 0:
            return 0.0
        return median_s * min(math.exp(_SPREAD * self.normal("latency")), _SLOWEST)

    def normal(self, label: str) -> float:
        """Draw from the normal distribution around 0 with the spread 1."""
        radius = math.sqrt(-2 * math.log(1 - self.share(f"{label} radius")))
        return radius * math.cos(2 * math.pi * self.share(f"{label} angle"))


def draw_for(seed: int, body_digest: bytes, occurrence: int = 0) -> Draw:
    """Fix the chance of a body's n-th occurrence; the digest has at most 64 bytes."""
    key = seed.to_bytes(8, "big", signed=True)
    return Draw(blake2b(body_digest, key=key, salt=occurrence.to_bytes(8, "big"), digest_size=16).digest())
