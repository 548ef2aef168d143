"""What a replay had to assume, each in a sentence."""

from collections.abc import Mapping
from decimal import Decimal

from producer.output.format import usd_rounded
from producer.whatif.replayed import Replayed
from producer.whatif.spent import Assumed

NOT_REPLAYED = (
    "caps and budgets, the provider's limits, and what a cache would have read are not replayed: input is as recorded",
    (
        "times: waits as recorded, calls as long as their models' middle one; a batch ends earlier or later by the "
        "change in work over the calls it had at a time"
    ),
)
_SAID: Mapping[str, str] = {
    "never_asked": "{model} was never asked in this time; taken to answer as {instead} did, priced at its own rates",
    "nobody_asked": "{model} was never asked in this time, nor any other model; taken to answer always",
    "few": "{model} gave only {instead} replies{at}; what they tell may be chance",
    "not_asked_then": "{model} was not asked within the same ten minutes; taken to have been available",
    "length": "{model} is taken to write as much{at} as the model that did: 10% more would be {tenth} more",
    "no_price": "{model} had no price on their day: their cost is unknown, set MODEL_COSTS",
    "no_usage": "no model answered, so nobody knows how long they are: calls that were not made have unknown costs",
    "start_gone": "asked to start with {model}, which this chain lacks; started as their task",
    "floor_gone": "their floor was {model}, which this chain lacks; taken to have none",
    "ceiling_gone": "their ceiling was {model}, which this chain lacks; taken to have none",
}


def said(assumed: Assumed, found: Replayed) -> str:
    """Word an assumption."""
    return _SAID[assumed.because].format(
        model=assumed.model,
        instead=assumed.instead,
        at=f" at {assumed.task}" if assumed.task else "",
        tenth=usd_rounded(found.notes.output_usd.get(assumed, Decimal(0)) / 10),
    )
