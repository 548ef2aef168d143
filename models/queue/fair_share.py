"""The turns of batches, which share a queue by weight (stride scheduling), so that none is starved."""

from collections.abc import Mapping
from heapq import heapify, heapreplace


class FairShare:
    """The progress of each batch through its share, as a pass: a job adds one divided by the batch's weight.

    The batch with the smallest pass is next. A loss of this state makes all batches equal, nothing worse.
    """

    def __init__(self, passes: Mapping[str, float] | None = None) -> None:
        self.passes = dict(passes or {})

    def admit(self, weights: Mapping[str, int]) -> None:
        """Let in the batches that have jobs now, each with its weight. A new batch begins level with the last in line.

        A batch that was away keeps its lead until the others have caught up. The time away is no credit.
        """
        known = self.passes
        least = min((known[batch] for batch in weights if batch in known), default=0.0)
        ahead = {batch: at - least for batch, at in known.items() if batch in weights or at > least}
        self.passes = dict.fromkeys(weights, 0.0) | ahead

    def split(self, weights: Mapping[str, int], count: int) -> dict[str, int]:
        """Return how many of the next jobs belong to each batch, if each has enough jobs.

        >>> FairShare({"big": 0, "small": 0}).split({"big": 1, "small": 3}, 4)
        {'big': 1, 'small': 3}
        """
        line = [(self.passes[batch], batch) for batch in weights]
        heapify(line)
        quotas: dict[str, int] = {}
        for _ in range(count if line else 0):
            at, batch = line[0]
            quotas[batch] = quotas.get(batch, 0) + 1
            heapreplace(line, (at + 1 / weights[batch], batch))
        return quotas

    def charge(self, batch: str, count: int, *, weight: int) -> None:
        """Add `count` jobs to a batch's pass."""
        self.passes[batch] += count / weight
