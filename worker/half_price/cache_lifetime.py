"""The lifetime of shared prefixes in the provider's cache: the cheapest by the hits that message batches had.

Items run side by side, so that a hit is luck. A miss writes the prefix, at more than the price of plain input.
"""

from collections import Counter
from collections.abc import Sequence

from models.job.message_batch import OpenItem
from models.money.prompt_cache import FIVE_MINUTES, ONE_HOUR, prefix_tokens
from worker.half_price.lane import TIER, Lane

_LEAST_MEASURED = 20  # items; a lifetime with fewer is tried
_LONGER_FROM = 0.5  # of the price of plain input: the longer lifetime is tried if the shorter costs more


def shared_prefixes(items: Sequence[OpenItem], lane: Lane) -> frozenset[str]:
    """Return the prefixes that two items or more begin with, if the model's cache keeps so short a prompt."""
    if lane.worker.warming is None:
        return frozenset()
    firsts = {item.claim.prefix: item for item in items}
    counts = Counter(item.claim.prefix for item in items)
    return frozenset(
        prefix
        for prefix, item in firsts.items()
        if prefix and counts[prefix] > 1 and prefix_tokens(item.claim.params) >= _smallest(item, lane)
    )


def cheapest_ttl(lane: Lane, model: str) -> str | None:
    """Return the lifetime at which a prefix costs least, by measured hits. Returns None if no cache costs less."""
    price = lane.worker.prices.price(model, at=lane.worker.now(), service_tier=TIER)
    if price is None:
        return None
    rates, costs = price.rates, dict[str | None, float]()
    for ttl, write in ((FIVE_MINUTES, rates.cache_write_5m), (ONE_HOUR, rates.cache_write_1h)):
        if min(costs.values(), default=1.0) <= _LONGER_FROM:
            break
        hits = lane.history.cache_hits(model, ttl, least=_LEAST_MEASURED)
        if hits is None:
            return ttl
        costs[ttl] = (hits * float(rates.cache_read) + (1 - hits) * float(write)) / float(rates.input)
    return min({None: 1.0, **costs}.items(), key=lambda each: each[1])[0]


def _smallest(item: OpenItem, lane: Lane) -> int:
    return lane.worker.capabilities_of(item.opening.model).smallest_prefix
