"""People ask the ledger in SQL, and both engines give the same answers, to the nano-dollar."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from migrations import views
from migrations.views import VIEWS
from tests.support.ledgers.small_ledger import HAIKU, OPUS, SERVED, SONNET, book

# ruff: noqa: S608 - all that is written into these questions is in this file

_NEWS, _ODD = 39_500_003, 16_400_000  # what the two batches are known to have cost


@pytest.fixture
def booked(engine: Engine) -> Engine:
    """Give the ledger by hand."""
    book(engine)
    return engine


def asked(engine: Engine, question: str) -> list[tuple[Any, ...]]:
    """Ask; days come as text, fractions as floats of nine places, whichever engine answers."""
    with engine.connect() as connection:
        return [tuple(_plain(value) for value in row) for row in connection.execute(text(question))]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal | float):
        return round(float(value), 9)
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else value


def test_an_attempt_costs_what_its_last_correction_says_and_what_was_booked_stays_beside_it(booked: Engine) -> None:
    columns = "attempt_id, cost_status, price_source, cost_nano_usd, input_nano_usd, output_nano_usd, corrections"
    rows = asked(
        booked,
        f"SELECT {columns}, booked_cost_status, booked_price_source, booked_nano_usd, cost_usd, credits"
        " FROM v_attempts WHERE attempt_id IN ('a1', 'a3', 'a6', 'a9') ORDER BY attempt_id",
    )
    assert rows == [
        ("a1", "exact", "by hand", 10**7, 5 * 10**6, 5 * 10**6, 0, "exact", "by hand", 10**7, 0.01, 1.0),
        ("a3", "corrected", "corrected", 6 * 10**6, 2 * 10**6, 4 * 10**6, 2, "exact", "by hand", 3_000_001, 0.006, 0.6),
        ("a6", "unknown", None, None, None, None, 0, "unknown", None, None, None, None),
        ("a9", "corrected", "corrected", 7 * 10**6, None, None, 1, "unknown", None, None, 0.007, 0.7),
    ]


def test_a_job_shows_where_it_is_and_what_it_cost(booked: Engine) -> None:
    columns = "job_id, state, outcome, start_model, model_used, fallback_depth, attempts, unknown_costs, cost_nano_usd"
    jobs = "'fell', 'cut', 'too-dear', 'held', 'unpriced', 'alone'"
    assert asked(booked, f"SELECT {columns} FROM v_jobs WHERE job_id IN ({jobs}) ORDER BY seq") == [
        ("fell", "succeeded", "answered", OPUS, SONNET, 1, 2, 0, 6 * 10**6),
        ("cut", "succeeded", "truncated", OPUS, HAIKU, 2, 2, 1, 20_500_003),
        ("too-dear", "failed", "over_budget", OPUS, None, None, 0, 0, 0),
        ("held", "waiting", "unknown", OPUS, None, None, 1, 1, 0),
        ("unpriced", "succeeded", "answered", SONNET, SERVED, 0, 1, 0, 7 * 10**6),
        ("alone", "failed", "cut", OPUS, None, None, 1, 1, 0),
    ]


def test_a_batch_counts_its_jobs_by_state_and_shows_its_cap(booked: Engine) -> None:
    states = "jobs, queued, running, waiting, succeeded, failed, cancelled, held, over_budget"
    money = "attempts, unknown_costs, cost_nano_usd, cost_usd, credits, cap_nano_usd, cap_usd"
    assert asked(booked, f"SELECT batch_id, name, task, {states}, {money} FROM v_batches ORDER BY batch_id") == [
        ("news", "News", "summarize", 6, 0, 0, 1, 4, 1, 0, 1, 1, 8, 2, _NEWS, 0.039500003, 3.9500003, 500 * 10**6, 0.5),
        ("odd", None, None, 6, 0, 1, 0, 2, 1, 1, 0, 0, 5, 1, _ODD, 0.0164, 1.64, None, None),
    ]


def test_a_days_cost_counts_what_it_could_not_sum(booked: Engine) -> None:
    rows = asked(booked, "SELECT * FROM v_cost_daily ORDER BY day, model, task")
    assert {endpoint for _, endpoint, *_ in rows} == {"anthropic"}
    assert [(day, *rest) for day, _, *rest in rows] == [
        ("2026-03-30", OPUS, "summarize", "live", 3, 2, 1, 0, 0, 2000, 0, 0, 0, 400, 0, 12 * 10**6, 0.012, 1.2),
        ("2026-03-30", SONNET, "summarize", "live", 2, 2, 0, 0, 0, 2000, 0, 0, 0, 400, 0, 7 * 10**6, 0.007, 0.7),
        (
            "2026-03-31",
            HAIKU,
            "summarize",
            "live",
            1,
            1,
            0,
            0,
            0,
            1000,
            7,
            8,
            9,
            200,
            2,
            20_500_003,
            0.020500003,
            2.0500003,
        ),
        ("2026-03-31", OPUS, "summarize", "live", 2, 0, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0),
        ("2026-04-01", HAIKU, "", "live", 1, 1, 0, 0, 0, 1000, 0, 0, 0, 200, 0, 100_000, 0.0001, 0.01),
        ("2026-04-01", OPUS, "", "live", 4, 0, 3, 1, 2, 2000, 0, 0, 0, 400, 0, 9_300_000, 0.0093, 0.93),
        ("2026-04-01", SERVED, "", "live", 1, 1, 0, 0, 0, 10, 0, 0, 0, 20, 0, 7 * 10**6, 0.007, 0.7),
    ]


def test_credits_of_a_month_are_never_rounded(booked: Engine) -> None:
    assert asked(booked, "SELECT * FROM v_credits_monthly ORDER BY month") == [
        ("2026-03", 8, 2, _NEWS, 0.039500003, 3.9500003),
        ("2026-04", 6, 2, _ODD, 0.0164, 1.64),
    ]


def test_fallback_depth_is_shared_out_by_day_and_start(booked: Engine) -> None:
    assert asked(booked, "SELECT * FROM v_fallback_histogram ORDER BY 1, 2, 3") == [
        ("2026-03-30", OPUS, 1, 2, 1.0),
        ("2026-03-31", OPUS, 0, 1, 0.5),
        ("2026-03-31", OPUS, 2, 1, 0.5),
        ("2026-04-01", OPUS, 0, 1, 1.0),
        ("2026-04-01", SONNET, 0, 1, 1.0),
    ]


def test_a_days_health_has_a_verdict_by_the_thresholds(booked: Engine) -> None:
    assert asked(booked, "SELECT * FROM v_primary_health ORDER BY 1, 2") == [
        ("2026-03-30", OPUS, 2, 0.5, 0.5, 0.0, "degraded", 1.0, 0.0),
        ("2026-03-31", OPUS, 2, 1.0, 0.5, 0.5, "primary unreliable", 0.5, 0.0),
        ("2026-04-01", OPUS, 1, 0.0, 1.0, 0.0, "too few jobs", 0.0, 0.0),
        ("2026-04-01", SONNET, 1, 0.0, 1.0, 0.0, "too few jobs", 0.0, 0.0),
    ]


@pytest.mark.parametrize(("percent", "verdict"), [(50, "degraded"), (51, "ok")])
def test_a_share_of_exactly_the_threshold_is_bad(booked: Engine, percent: int, verdict: str) -> None:
    with booked.begin() as connection:
        connection.execute(text("UPDATE thresholds SET value = 51 WHERE name = 'health_unreliable_percent'"))
        connection.execute(
            text("UPDATE thresholds SET value = :it WHERE name = 'health_degraded_percent'"), {"it": percent}
        )
    assert asked(booked, "SELECT verdict FROM v_primary_health WHERE day = '2026-03-31'") == [(verdict,)]


def test_errors_are_counted_by_their_type(booked: Engine) -> None:
    assert asked(booked, "SELECT * FROM v_errors ORDER BY day, outcome") == [
        ("2026-03-30", OPUS, "overloaded", "overloaded_error", None, 1),
        ("2026-03-31", OPUS, "timed_out", None, None, 1),
        ("2026-03-31", OPUS, "unknown", None, None, 1),
        ("2026-04-01", OPUS, "cut", "api_connection_error", None, 1),
        ("2026-04-01", OPUS, "late", None, None, 1),
        ("2026-04-01", OPUS, "refused", None, None, 1),
    ]


def test_a_percentile_is_a_time_that_was_taken(booked: Engine) -> None:
    with booked.begin() as connection:
        for attempt, latency_ms in (("a1", 900), ("a2", 30), ("a4", 1100)):
            at = {"attempt": attempt, "latency_ms": latency_ms}
            connection.execute(text("UPDATE attempts SET latency_ms = :latency_ms WHERE id = :attempt"), at)
    assert asked(booked, "SELECT * FROM v_latency WHERE day < '2026-04-01' ORDER BY day, model") == [
        ("2026-03-30", OPUS, 3, 900, 1100, 1100),
        ("2026-03-30", SONNET, 2, 1000, 1000, 1000),
        ("2026-03-31", HAIKU, 1, 1000, 1000, 1000),
    ]


def test_what_became_no_answer_is_wasted_and_the_unknown_of_it_is_counted(booked: Engine) -> None:
    columns = "day, model, outcome, reason, attempts, unknown_costs, at_most_nano_usd, cost_nano_usd"
    assert asked(booked, f"SELECT {columns} FROM v_wasted ORDER BY day, outcome") == [
        ("2026-03-30", OPUS, "truncated", "start", 1, 0, 0, 2 * 10**6),
        ("2026-03-31", OPUS, "timed_out", "start", 1, 1, 50 * 10**6, 0),
        ("2026-03-31", OPUS, "unknown", "start", 1, 1, 70 * 10**6, 0),
        ("2026-04-01", OPUS, "cut", "start", 1, 1, None, 0),
        ("2026-04-01", OPUS, "late", "start", 1, 0, 0, 9 * 10**6),
        ("2026-04-01", OPUS, "refused", "start", 1, 0, 0, 300_000),
    ]


def test_a_stream_that_broke_has_bounds_wherever_its_cost_is_unknown(booked: Engine) -> None:
    least = "cost_status = 'at_least', least_nano_usd = 2000000, reserved_nano_usd = 9000000"
    with booked.begin() as connection:
        connection.execute(text(f"UPDATE attempts SET {least} WHERE id = 'a14'"))
    bounds = "unknown_costs, at_least_nano_usd, at_most_nano_usd, cost_nano_usd"
    assert asked(booked, f"SELECT {bounds} FROM v_wasted WHERE outcome = 'cut'") == [(1, 2 * 10**6, 9 * 10**6, 0)]
    for view in ("v_unpriced", "v_attempts"):
        found = f"SELECT least_nano_usd, CAST(least_usd AS TEXT) FROM {view} WHERE attempt_id = 'a14'"
        ((nano, usd),) = asked(booked, found)
        assert (nano, Decimal(usd)) == (2 * 10**6, Decimal("0.002"))
    with booked.begin() as connection, pytest.raises(IntegrityError):
        connection.execute(text("UPDATE attempts SET cost_status = 'unknown' WHERE id = 'a14'"))
    with booked.begin() as connection:
        connection.execute(text("UPDATE attempts SET outcome = 'late', output_tokens = 1 WHERE id = 'a14'"))
    assert asked(booked, "SELECT explanation FROM v_unpriced WHERE attempt_id = 'a14'") == [("usage not whole",)]


def test_an_attempt_without_a_cost_says_why_and_what_it_costs_at_most(booked: Engine) -> None:
    with booked.begin() as connection:
        connection.execute(text("DELETE FROM corrections WHERE attempt_id = 'a9'"))
    assert asked(booked, "SELECT attempt_id, explanation, reserved_nano_usd FROM v_unpriced ORDER BY opened_at") == [
        ("a6", "timed out", 50 * 10**6),
        ("a8", "worker lost", 70 * 10**6),
        ("a9", "no price", None),
        ("a10", "open", 10**6),
        ("a14", "cut", None),
    ]


def test_truncated_answers_are_listed_with_what_they_cost(booked: Engine) -> None:
    columns = "job_id, batch_id, model_used, stop_reason, output_tokens, unknown_costs, cost_nano_usd"
    assert asked(booked, f"SELECT {columns} FROM v_truncated") == [
        ("cut", "news", HAIKU, "max_tokens", 200, 0, 20_500_003)
    ]


def test_a_budget_shows_what_is_left(booked: Engine) -> None:
    columns = "scope, day, cap_usd, spent_usd, unknown_usd, reserved_usd, left_usd, left_nano_usd"
    assert asked(booked, f"SELECT {columns} FROM v_budgets") == [
        ("batch:news", "", 0.5, 0.013, 0.12, 0.0, 0.367, 367 * 10**6)
    ]


def test_focus_charges_each_kind_of_token_and_by_the_request_what_is_not_split(booked: Engine) -> None:
    charges = '"SkuId", "SkuMeter", "ConsumedQuantity", "PricingQuantity", "PricingUnit", "ListUnitPrice", "BilledCost"'
    days = f"SELECT {charges} FROM v_focus WHERE \"ChargePeriodStart\" = '{{}}T00:00:00Z' ORDER BY 1, 2"
    assert asked(booked, days.format("2026-03-31")) == [
        (HAIKU, "Cache Read Tokens", 7, 0.000007, "1000000 Tokens", 14.285857143, 0.000100001),
        (HAIKU, "Cache Write 1h Tokens", 9, 0.000009, "1000000 Tokens", 11.111111111, 0.0001),
        (HAIKU, "Cache Write 5m Tokens", 8, 0.000008, "1000000 Tokens", 12.50025, 0.000100002),
        (HAIKU, "Input Tokens", 1000, 0.001, "1000000 Tokens", 0.1, 0.0001),
        (HAIKU, "Output Tokens", 200, 0.0002, "1000000 Tokens", 0.5, 0.0001),
        (HAIKU, "Web Searches", 2, 0.002, "1000 Searches", 10.0, 0.02),
    ]
    assert asked(booked, days.format("2026-04-01")) == [
        (HAIKU, "Input Tokens", 1000, 0.001, "1000000 Tokens", 0.1, 0.0001),
        (HAIKU, "Output Tokens", 200, 0.0002, "1000000 Tokens", 0.0, 0.0),
        (OPUS, "Input Tokens", 1000, 0.001, "1000000 Tokens", 0.3, 0.0003),
        (OPUS, "Output Tokens", 200, 0.0002, "1000000 Tokens", 0.0, 0.0),
        (OPUS, "Requests", 1, 1.0, "Requests", 0.009, 0.009),
        (SERVED, "Requests", 1, 1.0, "Requests", 0.007, 0.007),
    ]


def test_focus_loses_no_part_that_was_charged_for_tokens_nobody_counted(booked: Engine) -> None:
    with booked.begin() as connection:
        connection.execute(text("UPDATE attempts SET output_tokens = 0 WHERE id = 'a1'"))
    charge = (
        'SELECT "SkuMeter", "x_CostNanoUsd" FROM v_focus WHERE "SkuId" = :it AND "ChargePeriodStart" < \'2026-03-31\''
    )
    with booked.connect() as connection:
        rows = {tuple(row) for row in connection.execute(text(charge), {"it": OPUS})}
    assert rows == {("Requests", 10**7), ("Input Tokens", 2 * 10**6), ("Output Tokens", 0)}


def test_focus_tags_a_charge_with_its_batch_and_task(booked: Engine) -> None:
    ((tags, month, month_end, day_end),) = asked(
        booked,
        'SELECT "Tags", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodEnd" FROM v_focus'
        " WHERE \"SkuMeter\" = 'Web Searches'",
    )
    assert json.loads(tags) == {"batch": "News", "batch_id": "news", "task": "summarize"}
    assert (month, month_end, day_end) == ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z")


@pytest.mark.parametrize("source", ["v_attempts", "v_cost_daily", "v_credits_monthly", "v_jobs", "v_focus"])
def test_every_view_adds_up_to_the_same_nano_dollars(booked: Engine, source: str) -> None:
    column = '"x_CostNanoUsd"' if source == "v_focus" else "cost_nano_usd"
    assert asked(booked, f"SELECT CAST(SUM({column}) AS BIGINT) FROM {source}") == [(_NEWS + _ODD,)]


def test_a_cost_that_passes_what_a_float_can_hold_stays_exact(booked: Engine) -> None:
    with booked.begin() as connection:
        connection.execute(text("UPDATE attempts SET cost_nano_usd = 9007199254740993 WHERE id IN ('a1', 'a4')"))
    whole = "SELECT SUM(cost_nano_usd) FROM v_cost_daily WHERE day = '2026-03-30' AND model = 'claude-opus-4-7'"
    with booked.connect() as connection:
        assert int(connection.execute(text(whole)).scalar_one()) == 18014398509481986


def test_no_view_shows_a_prompt_an_answer_or_a_providers_words(booked: Engine) -> None:
    for view in VIEWS:
        assert "secret" not in str(asked(booked, f"SELECT * FROM {view}")), view


def test_every_text_is_a_view() -> None:
    texts = Path(str(views.__file__)).with_name("views").rglob("*.sql")
    assert sorted(path.stem for path in texts) == sorted(VIEWS)


def test_an_empty_ledger_answers_everything(engine: Engine) -> None:
    for view in VIEWS:
        assert asked(engine, f"SELECT * FROM {view}") == [], view
