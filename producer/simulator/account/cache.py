"""The provider's prompt cache: prefixes written once per model, read again until they run out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from producer.simulator.request.prompt import Prompt, Ttl

_LIFE_S: dict[Ttl, float] = {"5m": 300.0, "1h": 3600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How a prompt's tokens divide between the cache and the rest."""

    uncached: int
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0


@dataclass(slots=True)
class PromptCache:
    """Prefixes by model and digest, each with its end in seconds of the caller's clock and its life."""

    _ends: dict[tuple[str, bytes], tuple[float, float]] = field(default_factory=dict)

    def split(self, prompt: Prompt, now_s: float) -> Split:
        """Return the tokens that a prompt would read and write, without writing."""
        if not prompt.is_marked:
            return Split(uncached=prompt.tokens)
        blocks = prompt.blocks()
        read = 0
        for block in blocks:
            if self._ends.get((prompt.model.id, block.digest), (0.0, 0.0))[0] > now_s:
                read = block.tokens
        written: dict[Ttl, int] = {"5m": 0, "1h": 0}
        reached = read
        for block in blocks:
            if block.ttl and block.tokens >= prompt.model.smallest_prefix and block.tokens > reached:
                written[block.ttl] += block.tokens - reached
                reached = block.tokens
        return Split(uncached=blocks[-1].tokens - reached, read=read, write_5m=written["5m"], write_1h=written["1h"])

    def keep(self, prompt: Prompt, now_s: float) -> None:
        """Write the marked prefixes, and renew the life of prefixes that were read."""
        if not prompt.is_marked:
            return
        for block in prompt.blocks():
            key = (prompt.model.id, block.digest)
            end, life = self._ends.get(key, (0.0, 0.0))
            if end > now_s:
                self._ends[key] = (now_s + life, life)
            if block.ttl and block.tokens >= prompt.model.smallest_prefix:
                life = max(life, _LIFE_S[block.ttl]) if end > now_s else _LIFE_S[block.ttl]
                self._ends[key] = (now_s + life, life)
