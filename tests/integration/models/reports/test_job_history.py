"""Recorded jobs are read as they went: their attempts, their corrected costs, and their bounds."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, update

from models.money.usage import Usage
from models.reports.job_history import Call, JobHistory, RecordedJob, Scope
from models.schema.job import Job
from tests.support.ledgers.half_price_lane import BATCH, book_lane
from tests.support.ledgers.small_ledger import HAIKU, OPUS, SONNET, book


@pytest.fixture
def history(engine: Engine) -> JobHistory:
    """Read a small ledger by hand."""
    book(engine)
    return JobHistory(engine)


def _read(history: JobHistory, **scope: Any) -> list[RecordedJob]:
    return [*history.jobs(Scope(**scope))]


def test_jobs_that_have_ended_are_read_with_the_sums_of_their_attempts(history: JobHistory) -> None:
    reported = {
        (job.attempts, job.cost_usd, job.unknown_costs, job.fallback_depth) for job in _read(history, task="summarize")
    }
    assert reported == {
        (1, Decimal("0.01"), 0, 0),
        (2, Decimal("0.006"), 0, 1),  # as corrected
        (2, Decimal("0.003"), 0, 1),
        (2, Decimal("0.020500003"), 1, 2),
        (0, Decimal(0), 0, 0),
    }


def test_the_call_of_a_job_is_its_last_attempt_with_an_answer_and_known_tokens(history: JobHistory) -> None:
    calls = [(job.call.model, job.call.cost_usd) for job in _read(history, batch_id="news") if job.call]
    assert sorted(calls) == [
        (HAIKU, Decimal("0.020500003")),
        (OPUS, Decimal("0.01")),
        (SONNET, Decimal("0.001")),
        (SONNET, Decimal("0.006")),
    ]
    (cut,) = (job.call for job in _read(history) if job.fallback_depth == 2)
    cached: dict[str, Any] = {
        "cache_read_tokens": 7,
        "cache_write_5m_tokens": 8,
        "cache_write_1h_tokens": 9,
        "web_searches": 2,
    }
    assert isinstance(cut, Call)
    assert cut.usage == Usage(input_tokens=1000, output_tokens=200, **cached)
    assert [job.call for job in _read(history) if not job.attempts] == [None]


def test_a_call_without_all_of_its_counters_has_no_usage_and_the_first_model_is_the_start(history: JobHistory) -> None:
    (unpriced,) = (job for job in _read(history) if job.call and job.call.cost_usd == Decimal("0.007"))
    assert (unpriced.call and unpriced.call.usage, unpriced.start_model) == (None, SONNET)


def test_an_item_that_never_ran_is_no_attempt_and_no_unknown_cost(engine: Engine, history: JobHistory) -> None:
    book_lane(engine)
    jobs = [*history.jobs(Scope(batch_id=BATCH))]
    assert sorted((job.attempts, job.unknown_costs, int(job.cost_usd * 10**9)) for job in jobs) == [
        (1, 0, 1_000_000),
        (1, 0, 3_000_000),
        (1, 0, 3_000_000),
        (2, 0, 3_000_000),
        (2, 0, 3_700_000),
        (2, 0, 3_900_000),
        (2, 0, 4_500_000),
    ]


def test_a_scope_is_days_a_task_kind_and_a_batch(history: JobHistory) -> None:
    day = date(2026, 3, 31)
    assert len(_read(history)) == 9  # neither open nor cancelled
    assert [len(_read(history, task="summarize")), len(_read(history, batch_id="news"))] == [5, 5]
    assert len(_read(history, since=day, until=day)) == 3
    assert history.left_out(Scope()) == {"waiting": 1, "running": 1, "cancelled": 1}
    assert history.left_out(Scope(batch_id="news")) == {"waiting": 1}


def test_the_ends_on_which_a_job_climbs_are_its_own(engine: Engine, history: JobHistory) -> None:
    with engine.begin() as connection:
        connection.execute(update(Job).where(Job.id == "plain").values(climb_on="refused,truncated"))
        connection.execute(update(Job).where(Job.id == "fell").values(climb_on=""))
    assert {job.climbs for job in _read(history)} == {None, frozenset(), frozenset({"refused", "truncated"})}
