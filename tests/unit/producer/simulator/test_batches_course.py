"""The course of message batches by a clock that a test turns: durations, expiry, archive, cache, slices."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from typing import TYPE_CHECKING

import pytest

from producer.simulator.account.purchases import PurchaseLog
from producer.simulator.answer.script import parse_script
from producer.simulator.batches.choose import WELL, Call
from producer.simulator.batches.requests import Item
from producer.simulator.batches.workspace import Workspace
from producer.simulator.request.checks import RefusedError
from producer.simulator.request.versions import Head
from producer.simulator.simulation import Simulation

if TYPE_CHECKING:
    from producer.simulator.batches.batch import Batch

_START = datetime(2026, 11, 30, tzinfo=UTC)
_DAY_S = 86_400


@dataclass
class _Clock:
    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s

    def utc(self) -> datetime:
        return _START + timedelta(seconds=self.now_s - 1_000)


def _workspace(script: str = "", *, seed: int = 7) -> tuple[Workspace, _Clock]:
    clock = _Clock()
    log = PurchaseLog()
    simulation = Simulation(script=parse_script(script), log=log, clock=clock, utc_now=clock.utc, seed=seed)
    return Workspace(simulation), clock


def _items(count: int, system: str = "", ttl: str = "5m") -> list[Item]:
    blocks = [{"type": "text", "text": system, "cache_control": {"type": "ephemeral", "ttl": ttl}}]
    body = {"model": "claude-sonnet-4-6", "max_tokens": 50, **({"system": blocks} if system else {})}
    return [
        Item(f"i-{at}", json.dumps({**body, "messages": [{"role": "user", "content": f"Bridge {at}."}]}).encode())
        for at in range(count)
    ]


def _create(workspace: Workspace, count: int = 4, name: bytes = b"x", items: list[Item] | None = None) -> Batch:
    return workspace.create(items or _items(count), Head(), WELL, workspace.draw("create", name))


def _state(batch: Batch, clock: _Clock) -> object:
    return batch.as_api(clock(), "http://x")["processing_status"]


def test_durations_have_the_median_and_the_p95_of_the_settings() -> None:
    workspace, clock = _workspace()
    took = [_create(workspace, 1, str(number).encode()).ends_s - clock() for number in range(3_000)]
    assert 440 < median(took) < 520
    assert 3_500 < quantiles(took, n=20)[-1] < 5_000


def test_a_rule_makes_the_message_batches_of_one_model_slower() -> None:
    rule = "[[batch_rules]]\ncall = 'create'\nprompt_contains = 'claude-sonnet'\nmedian_s = 48_000\np95_s = 420_000"
    workspace, clock = _workspace(f"{rule}\nexpires_s = 1e9")
    draw, items = workspace.draw("create", b"x"), _items(1)
    slow = workspace.create(items, Head(), workspace.choose(Call(kind="create", number=1, items=items), draw), draw)
    plain = workspace.create(items, Head(), WELL, draw)
    assert slow.ends_s - clock() == pytest.approx((plain.ends_s - clock()) * 100)


def test_a_seed_fixes_the_durations() -> None:
    ends = [_create(_workspace(seed=seed)[0]).ends_s for seed in (1, 1, 2)]
    assert ends[0] == ends[1] != ends[2]


def test_times_faster_divides_every_time() -> None:
    slow, fast = _workspace()[0], _workspace("[batches]\ntimes_faster = 100")[0]
    one, other = _create(slow), _create(fast)
    assert (other.ends_s - 1_000) * 100 == pytest.approx(one.ends_s - 1_000)
    assert other.as_api(1_000, "")["expires_at"] == (_START + timedelta(seconds=864)).isoformat()


def test_items_run_one_after_another_and_no_count_moves_before_the_end() -> None:
    workspace, clock = _workspace("[batches]\ntakes_s = 1000")
    batch = _create(workspace, 20)
    clock.now_s += 500
    workspace.settle()
    bought = len(workspace.simulation.log.read())
    assert 0 < bought < 20
    assert workspace.waiting == 20 - bought
    assert batch.as_api(clock(), "")["request_counts"] == {
        "processing": 20,
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    }
    clock.now_s += 500
    assert workspace.settle() is None
    assert _state(batch, clock) == "ended"
    assert workspace.waiting == 0


def test_an_item_that_has_not_run_after_a_day_expires_free() -> None:
    workspace, clock = _workspace("[batches]\ntakes_s = 172_800")
    batch = _create(workspace, 40)
    clock.now_s += _DAY_S - 1
    workspace.settle()
    assert _state(batch, clock) == "in_progress"
    clock.now_s += 1
    workspace.settle()
    assert _state(batch, clock) == "ended"
    assert batch.counts["expired"] + batch.counts["succeeded"] == 40
    assert len(workspace.simulation.log.read()) == batch.counts["succeeded"]
    assert min(batch.counts.values()) > 0


def test_results_are_kept_for_29_days_from_the_creation() -> None:
    workspace, clock = _workspace("[batches]\ntakes_s = 0")
    batch = _create(workspace)
    workspace.settle()
    clock.now_s += 29 * _DAY_S - 1
    assert len(workspace.results(batch)) == 4
    clock.now_s += 1
    with pytest.raises(RefusedError, match="archived"):
        workspace.results(batch)
    shown = batch.as_api(clock(), "http://x")
    assert (shown["results_url"], shown["processing_status"]) == (None, "ended")
    assert shown["archived_at"] == (_START + timedelta(days=29)).isoformat()
    assert workspace.page(20, None, None)[0] == [batch]


def test_a_cancel_keeps_items_that_have_run_and_is_the_same_twice() -> None:
    workspace, clock = _workspace("[batches]\ntakes_s = 1000\ncancel_s = 60\nfinishes = 0.5")
    batch = _create(workspace, 40)
    clock.now_s += 500
    workspace.settle()
    ran = batch.counts["succeeded"]
    workspace.cancel(batch)
    since = batch.cancelled_at
    clock.now_s += 30
    workspace.cancel(batch)
    assert (_state(batch, clock), batch.cancelled_at) == ("canceling", since)
    clock.now_s += 30
    workspace.settle()
    assert _state(batch, clock) == "ended"
    assert batch.counts["succeeded"] == ran + round((40 - ran) / 2)
    assert batch.counts["canceled"] == 40 - batch.counts["succeeded"]


@pytest.mark.parametrize(("ttl", "share"), [("5m", 0.3), ("1h", 0.7)])
def test_cache_hits_are_best_effort_and_a_miss_writes_again(ttl: str, share: float) -> None:
    workspace, _ = _workspace("[batches]\ntakes_s = 0")
    _create(workspace, items=_items(400, "Rivers rise. " * 800, ttl))
    workspace.settle(1_000)
    usages = [one["usage"] for one in workspace.simulation.log.read()]
    hits = [usage for usage in usages if usage["cache_read_input_tokens"]]
    misses = [usage for usage in usages if usage["cache_creation_input_tokens"]]
    assert len(hits) + len(misses) == 400
    assert len(hits) == pytest.approx(400 * share, abs=40)


def test_a_large_message_batch_runs_in_slices() -> None:
    workspace, clock = _workspace("[batches]\ntakes_s = 0")
    batch = _create(workspace, 25)
    assert [workspace.settle(10), workspace.settle(10)] == [0.0, 0.0]
    assert _state(batch, clock) == "in_progress"
    assert workspace.settle(10) is None
    assert _state(batch, clock) == "ended"


def test_items_touch_neither_the_limits_nor_the_noise_of_live_requests() -> None:
    script = (
        "[batches]\ntakes_s = 0\n[limits.all]\nrequests_per_minute = 1\noutput_tokens_per_minute = 1\n[noise]\n500 = 1"
    )
    workspace, _ = _workspace(script)
    batch = _create(workspace, 5)
    workspace.settle()
    assert batch.counts == {"succeeded": 5}
