"""The receipt by model: how often, how deep, how quick and how dear; on both engines."""

from dataclasses import astuple
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text

from models.ledger.ledger import Ledger
from models.outcome import Outcome
from models.reports.jobs import Reports
from tests.support.ledgers.half_price_lane import BATCH, book_lane
from tests.support.ledgers.job_values import accepted, answered, claimed, closing, failing, opening, succeeded, unknown

_OPUS, _SONNET = "claude-opus-4-7", "claude-sonnet-4-6"


def _stepped_down(ledger: Ledger, job_id: str) -> None:
    """Fail on opus, be answered by sonnet at depth 1."""
    claim = claimed(ledger, job_id)
    first, second = opening(1, model=_OPUS), opening(2, model=_SONNET, rung=1, fallback_depth=1)
    ledger.open_attempt(claim, first)
    ledger.close_attempt(claim, failing(first.id))
    ledger.open_attempt(claim, second)
    end = succeeded(model_used=_SONNET, fallback_depth=1, rung=1)
    assert ledger.finish(claim, end, closing(second.id, cost_usd=Decimal("0.002"), latency_ms=300))


def test_each_model_has_a_line_for_each_depth_in_the_order_of_the_chain(ledger: Ledger, reports: Reports) -> None:
    batch_id, (one, two, three) = accepted(ledger, 3)
    answered(ledger, one)
    _stepped_down(ledger, two)
    _stepped_down(ledger, three)
    opus, sonnet = reports.models(batch_id)
    assert astuple(opus) == (_OPUS, 0, "live", 3, 1, 0, 0, 30, Decimal("0.01"), 0)
    assert astuple(sonnet) == (_SONNET, 1, "live", 2, 2, 0, 0, 300, Decimal("0.004"), 0)


@pytest.mark.parametrize(
    ("latencies", "middle"),
    [((7,), 7), ((1, 9), 1), ((9, 1, 5), 5), ((4, 3, 2, 1), 2), ((5, 5, 5, 5, 100), 5)],
)
def test_half_the_attempts_were_as_quick_as_the_middle_one(
    ledger: Ledger, reports: Reports, latencies: tuple[int, ...], middle: int
) -> None:
    batch_id, ids = accepted(ledger, len(latencies))
    for job_id, latency_ms in zip(ids, latencies, strict=True):
        answered(ledger, job_id, latency_ms=latency_ms)
    (line,) = reports.models(batch_id)
    assert line.p50_ms == middle


def test_an_attempt_that_has_not_ended_has_not_failed_and_its_cost_is_not_known(
    ledger: Ledger, reports: Reports
) -> None:
    batch_id, (job_id,) = accepted(ledger)
    ledger.open_attempt(claimed(ledger, job_id), opening())
    (line,) = reports.models(batch_id)
    assert line.failed == 0
    assert astuple(line) == (_OPUS, 0, "live", 1, 0, 0, 1, None, Decimal(0), 1)


def test_a_truncated_answer_is_an_answer_and_a_lost_one_is_not(ledger: Ledger, reports: Reports) -> None:
    batch_id, (one, two) = accepted(ledger, 2)
    answered(ledger, one, outcome=Outcome.TRUNCATED)
    claim, lost = claimed(ledger, two), opening()
    ledger.open_attempt(claim, lost)
    ledger.close_attempt(claim, unknown(lost.id))
    (line,) = reports.models(batch_id)
    assert (line.attempts, line.answered, line.unknown_costs, line.cost_usd) == (2, 1, 1, Decimal("0.01"))


def test_the_whole_ledger_is_all_its_batches(ledger: Ledger, reports: Reports) -> None:
    for latency_ms in (10, 20, 30):
        answered(ledger, accepted(ledger)[1][0], latency_ms=latency_ms)
    (line,) = reports.models()
    assert (line.attempts, line.p50_ms, line.cost_usd) == (3, 20, Decimal("0.03"))
    assert reports.depths() == {0: 3}


def test_depths_count_the_jobs_that_were_answered(ledger: Ledger, reports: Reports) -> None:
    batch_id, (one, two, three, _) = accepted(ledger, 4)
    answered(ledger, one)
    _stepped_down(ledger, two)
    _stepped_down(ledger, three)
    assert reports.depths(batch_id) == {0: 1, 1: 2}
    assert reports.depths(accepted(ledger)[0]) == {}


def test_a_batch_at_half_price_shows_its_saving_and_its_jobs_that_moved(engine: Engine, reports: Reports) -> None:
    book_lane(engine)
    use = reports.half_price(BATCH)
    assert use is not None
    assert (use.attempts, use.unknown_costs, use.cost_usd, use.saved_usd) == (
        5,
        1,
        Decimal("0.0034"),
        Decimal("0.0027"),
    )
    assert (use.moved_late, use.moved_errored, use.moved_expired, use.moved_lost) == (3, 1, 1, 1)
    assert (use.overlapped, use.overlapped_usd) == (3, Decimal("0.0056"))
    progress = reports.progress(BATCH)
    assert (progress.states["waiting"], progress.half_price) == (2, 2)


def test_lanes_have_lines_of_their_own_and_items_that_never_ran_no_latency(engine: Engine, reports: Reports) -> None:
    book_lane(engine)
    half_price, live = reports.models(BATCH)
    assert (half_price.lane, half_price.attempts, half_price.not_run, half_price.open) == ("half_price", 10, 3, 1)
    assert (live.lane, live.not_run, live.failed + live.answered) == ("live", 0, live.attempts)
    assert half_price.p50_ms == live.p50_ms
    with engine.begin() as connection:
        slow = "UPDATE attempts SET latency_ms = 90000 WHERE outcome <> 'not_run' AND message_batch_id > ''"
        connection.execute(text(slow))
    assert [line.p50_ms for line in reports.models(BATCH)] == [90_000, live.p50_ms]


def test_a_live_batch_has_no_use_of_half_price(ledger: Ledger, reports: Reports) -> None:
    batch_id, (one,) = accepted(ledger)
    answered(ledger, one)
    assert reports.half_price(batch_id) is None
    assert reports.progress(batch_id).half_price == 0


def test_an_empty_ledger_has_nothing_to_tell(reports: Reports) -> None:
    assert (reports.models(), reports.depths(), reports.batches(limit=10)) == ([], {}, [])
