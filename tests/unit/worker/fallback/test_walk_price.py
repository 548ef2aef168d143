"""A call over midnight is priced by the day it was opened on, as every sum over days counts it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain, repeat

from models.money.price_book import PriceBook
from models.money.pricing import Price, complete_rates
from tests.support.plays.walk_scene import OPUS, scene

_MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)


def test_a_call_over_midnight_costs_what_it_cost_when_it_began() -> None:
    rates = complete_rates({"input": Decimal(100), "output": Decimal(500)})
    dearer = Price(model=OPUS, source="from December on", rates=rates, valid_from=date(2026, 12, 1))
    # Twice before it: when the walk begins, and when its call does.
    times = chain([_MIDNIGHT - timedelta(seconds=1)] * 2, repeat(_MIDNIGHT + timedelta(seconds=1)))
    job = scene("ok", now=lambda: next(times), prices=PriceBook({}, {OPUS: [dearer]}))
    (closing,) = job.walk().attempts
    assert closing.cost_usd == Decimal("0.0075")
    assert closing.price_source != "from December on"
