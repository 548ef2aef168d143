"""Every request has its row before it leaves and is closed once; an answer and its cost are kept together."""

import sqlite3
from decimal import Decimal

import psycopg
import pytest
from sqlalchemy import Engine, text

from models.ledger.job_actions import JobActions
from models.ledger.ledger import Ledger
from models.ledger.outbox import Outbox
from models.money.usage import Usage
from models.outcome import CostStatus, Outcome, Reason, State
from models.reports.jobs import Reports
from tests.support.ledgers.job_values import (
    accepted,
    answered,
    claimed,
    closing,
    failed,
    failing,
    opening,
    parked,
    succeeded,
    unknown,
)

_REFUSED = (sqlite3.IntegrityError, psycopg.IntegrityError)


def test_an_attempt_is_in_the_ledger_before_its_request_leaves(ledger: Ledger, reports: Reports) -> None:
    batch_id, (job_id,) = accepted(ledger)
    claim = claimed(ledger, job_id)
    first = opening(1, rung=1, fallback_depth=1, reason=Reason.FALLBACK, model="claude-sonnet-4-6")
    assert ledger.open_attempt(claim, first)
    (row,) = reports.attempts(job_id)
    assert (row["id"], row["attempt_no"], row["rung"], row["fallback_depth"]) == (first.id, 1, 1, 1)
    assert (row["reason"], row["requested_model"], row["batch_id"]) == ("fallback", "claude-sonnet-4-6", batch_id)
    assert (row["cost_nano_usd"], row["cost_status"], row["outcome"]) == (None, CostStatus.UNKNOWN, None)
    assert (row["worker"], row["lease_token"], row["closed_at"]) == ("here", 1, None)
    assert row["opened_at"] is not None


def test_nothing_may_be_sent_for_a_cancelled_job(ledger: Ledger, reports: Reports, job_actions: JobActions) -> None:
    batch_id, (job_id,) = accepted(ledger)
    claim = claimed(ledger, job_id)
    job_actions.cancel(batch_id)
    assert not ledger.open_attempt(claim, opening())
    assert reports.attempts(job_id) == []


def test_nothing_may_be_sent_under_a_claim_that_was_taken_over(ledger: Ledger, reports: Reports) -> None:
    _, (job_id,) = accepted(ledger)
    stale = claimed(ledger, job_id)
    ledger.finish(stale, parked(0), None)
    claimed(ledger, job_id)
    assert not ledger.open_attempt(stale, opening())
    assert reports.attempts(job_id) == []


def test_an_answer_its_receipt_and_the_jobs_end_are_kept_together(ledger: Ledger, reports: Reports) -> None:
    batch_id, (job_id,) = accepted(ledger)
    answered(ledger, job_id, Outcome.OVERLOADED)
    (answer,) = reports.answers(batch_id)
    assert (answer.state, answer.outcome, answer.error) == (State.SUCCEEDED, Outcome.ANSWERED, None)
    assert (answer.text, answer.model) == ("Bridges are closed.", "claude-opus-4-7")
    assert answer.cost_usd == Decimal("0.01")
    overloaded, last = reports.attempts(job_id)
    assert (overloaded["outcome"], overloaded["cost_nano_usd"], overloaded["http_status"]) == ("overloaded", 0, 529)
    assert (last["outcome"], last["stop_reason"], last["latency_ms"]) == ("answered", "end_turn", 1200)
    assert (last["message_id"], last["request_id"], last["price_source"]) == ("msg_1", "req_1", "by hand")
    row = reports.job(job_id)
    assert row["finished_at"] is not None
    assert row["lease_until"] is None


def test_a_usage_is_kept_by_counter_and_as_it_came(ledger: Ledger, reports: Reports) -> None:
    _, (job_id,) = accepted(ledger)
    raw = {"input_tokens": 1, "counter_of_tomorrow": 9}
    usage = Usage(
        input_tokens=1,
        output_tokens=2,
        cache_read_tokens=3,
        cache_write_5m_tokens=4,
        cache_write_1h_tokens=5,
        thinking_tokens=2,
        web_searches=7,
        service_tier="batch",
        speed="fast",
        inference_geo="us",
        raw=raw,
    )
    answered(ledger, job_id, usage=usage)
    (row,) = reports.attempts(job_id)
    counters = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
    assert [row[name] for name in counters] == [1, 2, 3, 4, 5]
    assert (row["thinking_tokens"], row["web_searches"], row["usage"]) == (2, 7, raw)
    assert (row["service_tier"], row["speed"], row["inference_geo"]) == ("batch", "fast", "us")


def test_a_truncated_answer_is_kept_and_flagged(ledger: Ledger, engine: Engine) -> None:
    _, (job_id,) = accepted(ledger)
    claim, last = claimed(ledger, job_id), opening()
    ledger.open_attempt(claim, last)
    assert ledger.finish(claim, succeeded(is_truncated=True), closing(last.id, outcome=Outcome.TRUNCATED))
    with engine.connect() as connection:
        kept = connection.execute(text("SELECT attempt_id, is_truncated FROM answers")).one()
    assert (kept.attempt_id, bool(kept.is_truncated)) == (last.id, True)


@pytest.mark.parametrize("how", ["cancelled", "taken over", "finished"])
def test_a_late_answer_is_paid_in_the_ledger_and_leaves_the_job_alone(
    ledger: Ledger, reports: Reports, how: str, job_actions: JobActions
) -> None:
    batch_id, (job_id,) = accepted(ledger)
    claim, late = claimed(ledger, job_id), opening()
    assert ledger.open_attempt(claim, late)
    if how == "cancelled":
        job_actions.cancel(batch_id)
    elif how == "taken over":
        ledger.finish(claim, parked(0), None)
        claimed(ledger, job_id)
    else:
        ledger.finish(claim, failed(), None)
    before = reports.job(job_id)
    assert not ledger.finish(claim, succeeded(), closing(late.id, cost_usd=Decimal("0.75")))
    (row,) = reports.attempts(job_id)
    assert (row["outcome"], row["cost_nano_usd"], row["cost_status"]) == ("late", Decimal("0.75"), "exact")
    assert reports.job(job_id) == before
    assert next(reports.answers(batch_id)).message is None


def test_an_attempt_is_closed_once_and_never_changed_again(ledger: Ledger, reports: Reports) -> None:
    _, (job_id,) = accepted(ledger)
    claim, first = claimed(ledger, job_id), opening()
    ledger.open_attempt(claim, first)
    ledger.close_attempt(claim, closing(first.id))
    ledger.close_attempt(claim, unknown(first.id))
    ledger.finish(claim, failed(), failing(first.id))
    (row,) = reports.attempts(job_id)
    assert (row["outcome"], row["cost_nano_usd"]) == ("answered", Decimal("0.01"))


@pytest.mark.parametrize(
    ("cost", "status"),
    [
        (None, CostStatus.EXACT),
        (None, CostStatus.FREE),
        (Decimal(0), CostStatus.UNKNOWN),
        (Decimal("-0.01"), CostStatus.EXACT),
    ],
)
def test_a_cost_without_its_status_is_refused_by_the_database(
    ledger: Ledger, reports: Reports, cost: Decimal | None, status: CostStatus
) -> None:
    _, (job_id,) = accepted(ledger)
    claim, first = claimed(ledger, job_id), opening()
    ledger.open_attempt(claim, first)
    with pytest.raises(_REFUSED, match=r"ck_attempts_cost_known|ck_attempts_cost_positive"):
        ledger.finish(claim, succeeded(), closing(first.id, cost_usd=cost, cost_status=status))
    assert reports.job(job_id)["state"] == State.RUNNING


def test_the_same_attempt_number_is_not_opened_twice(ledger: Ledger, reports: Reports) -> None:
    _, (job_id,) = accepted(ledger)
    claim = claimed(ledger, job_id)
    ledger.open_attempt(claim, opening(1))
    with pytest.raises(_REFUSED):
        ledger.open_attempt(claim, opening(1))
    assert len(reports.attempts(job_id)) == 1


def test_a_parked_job_is_due_by_the_databases_clock_and_has_no_message(
    ledger: Ledger, reports: Reports, outbox: Outbox
) -> None:
    _, (job_id,) = accepted(ledger)
    outbox.mark_sent(outbox.unsent(0, limit=1))
    claim = claimed(ledger, job_id)
    before = reports.job(job_id)
    assert before["sent_at"] is not None
    assert ledger.finish(claim, parked(90, rung=1, error="overloaded: later"), None)
    row = reports.job(job_id)
    assert (row["state"], row["rung"], row["error"]) == (State.WAITING, 1, "overloaded: later")
    assert (row["sent_at"], row["finished_at"], row["lease_until"]) == (None, None, None)
    assert (row["due_at"] - before["lease_until"]).total_seconds() == pytest.approx(90 - 60, abs=5)


def test_a_failed_job_says_why(ledger: Ledger, reports: Reports) -> None:
    batch_id, (job_id,) = accepted(ledger)
    claim, only = claimed(ledger, job_id), opening()
    ledger.open_attempt(claim, only)
    message = "bad_request: max_tokens: \u00e4\n\U0001f6a7" * 100
    assert ledger.finish(claim, failed(error=message), failing(only.id, Outcome.BAD_REQUEST, http_status=400))
    (answer,) = reports.answers(batch_id)
    assert (answer.state, answer.outcome, answer.error) == (State.FAILED, Outcome.BAD_REQUEST, message)
    assert (answer.cost_usd, answer.message) == (Decimal(0), None)


def test_the_turn_of_a_failed_job_is_kept_beside_its_failure_until_it_is_tried_again(
    ledger: Ledger, reports: Reports, job_actions: JobActions
) -> None:
    batch_id, (job_id,) = accepted(ledger)
    claim, first = claimed(ledger, job_id), opening()
    assert ledger.open_attempt(claim, first)
    turn = {"stop_reason": "refusal", "content": []}
    assert ledger.finish(claim, failed(message=turn), closing(first.id))
    (answer,) = reports.answers(batch_id)
    assert (answer.message, answer.declined, answer.turn) == (None, turn, turn)
    assert job_actions.retry(deadline_s=60, job_id=job_id) == 1
    again = claimed(ledger, job_id)
    assert ledger.finish(again, failed(), None)
    assert next(reports.answers(batch_id)).turn is None
