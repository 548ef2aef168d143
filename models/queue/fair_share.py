"""Whose turn it is: batches share a queue by weight (stride scheduling), and none is starved."""

from collections.abc import Mapping
from heapq import heapify, heapreplace


class FairShare:
    """How far each batch is with its share, as a pass: one job costs it one, divided by its weight.

    The caller with the smallest share is next. A loss of this state makes all callers equal, nothing worse.
    """

    def __init__(self, passes: Mapping[str, float] | None = None) -> None:
        self.passes = dict(passes or {})

    def admit(self, weights: Mapping[str, int]) -> None:
        """Let in the batches that have jobs now, each with its weight. A new one begins level with the last in line.

        One that was away is ahead by what it had, until the others have caught up: it has no credit for the time.
        """
        known = self.passes
        least = min((known[batch] for batch in weights if batch in known), default=0.0)
        ahead = {batch: at - least for batch, at in known.items() if batch in weights or at > least}
        self.passes = dict.fromkeys(weights, 0.0) | ahead

    def split(self, weights: Mapping[str, int], count: int) -> dict[str, int]:
        """Tell how many of the next jobs are whose, if each has enough of them.

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
        """Note that a batch had so many."""
        self.passes[batch] += count / weight
