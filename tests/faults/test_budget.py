"""A cap of ten and a half jobs buys ten, whoever works at once and whoever is killed meanwhile."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from producer.client import Batch
from tests.faults.invariants import examine
from tests.faults.site import Site, open_site
from tests.support.eventually import eventually

_HAIKU = "claude-haiku-4-5-20251001"
_THREADS: Mapping[str, Any] = {"MODEL_CHAIN": _HAIKU, "TASK_STARTS": "", "WORKER_CONCURRENCY": "25"}
_LONG = "[[rules]]\nanswer = 'max_tokens'"  # what a job costs is nearly its worst case
_AT_FIRST = 10  # whose worst cases fit under the cap
_JOBS = 30


def _cap(site: Site) -> Decimal:
    """Buy one job, and allow ten and a half of them."""
    probe = site.submit(1)
    site.finished(probe)
    return probe.progress().cost_usd * Decimal("10.5")


def _bought(site: Site, batch: Batch) -> list[dict[str, Any]]:
    ours = {row["id"] for row in site.rows("SELECT id FROM jobs WHERE batch_id = :batch", batch=batch.id)}
    return [purchase for purchase in site.simulator.purchases() if purchase["job"] in ours]


def _outcomes(site: Site, batch: Batch) -> Counter[str]:
    return Counter(
        row["outcome"] for row in site.rows("SELECT outcome FROM jobs WHERE batch_id = :batch", batch=batch.id)
    )


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_fifty_threads_under_twenty_caps_of_ten_and_a_half_jobs_buy_ten_under_each(tmp_path: Path, engine: str) -> None:
    with open_site(engine, tmp_path, script=_LONG, **_THREADS) as site:
        site.hire()
        cap = _cap(site)
        site.hire()
        batches = [site.submit(_JOBS, max_cost_usd=cap) for _ in range(20)]
        for batch in batches:
            site.finished(batch, within_s=120)
        assert [len(_bought(site, batch)) for batch in batches] == [10] * 20
        assert _outcomes(site, batches[0]) == {"truncated": 10, "over_budget": _JOBS - 10}
        found = examine(site)
        assert (found.wrong, found.unknown_costs) == ((), 0)


def test_a_worker_killed_under_a_cap_leaves_ten_purchases_too(tmp_path: Path) -> None:
    with open_site("postgres", tmp_path, script=_LONG, **_THREADS) as site:
        doomed = site.hire()
        cap = _cap(site)
        site.simulator.set_script(f"{_LONG}\ndelay_s = 2")
        batch = site.submit(_JOBS, max_cost_usd=cap)
        eventually(lambda: site.in_flight() == _AT_FIRST, within_s=30, because="so many fit, and may leave at once")
        doomed.kill()
        site.hire()
        site.finished(batch, within_s=90)
        found = examine(site)
        assert (found.wrong, len(_bought(site, batch)), found.unknown_costs) == ((), _AT_FIRST, _AT_FIRST)
        assert _outcomes(site, batch)["over_budget"] == _JOBS, "what was lost would be bought again, and does not fit"
