"""Recorded jobs beside the same jobs under another chain or other starts: figures added up by head."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, update

from models.chain.best_start import bounds
from models.money.price_book import PriceBook
from models.money.pricing import Price, Rates
from models.reports.job_history import JobHistory, RecordedJob, Scope
from models.reports.what_if import Assumption, Comparison, Plan, WhatIf
from models.schema.attempt import Attempt
from models.schema.job import Job
from tests.support.ledgers.past_attempts import remember
from tests.support.ledgers.small_ledger import HAIKU, OPUS, SONNET, book

_CHAIN = (OPUS, SONNET, HAIKU)
_CACHES = {"cache_read": Decimal(0), "cache_write_5m": Decimal(0), "cache_write_1h": Decimal(0)}
_PRICES = {
    model: Price(model=model, source="by hand", rates=Rates(input=Decimal(1), output=Decimal(output), **_CACHES))
    for model, output in ((OPUS, 25), (SONNET, 15), (HAIKU, 5))
}
_ON_HAIKU, _ON_SONNET = Decimal(1000 + 200 * 5) / 1_000_000, Decimal(1000 + 200 * 15) / 1_000_000
_NEWS = Scope(batch_id="news")


@pytest.fixture
def history(engine: Engine) -> JobHistory:
    """Read a small ledger by hand."""
    book(engine)
    return JobHistory(engine)


def _plan(**changes: Any) -> Plan:
    return Plan(**({"models": _CHAIN, "was": _CHAIN} | changes))


def _compared(history: JobHistory, jobs: Iterable[RecordedJob] | None = None, **changes: Any) -> Comparison:
    jobs = history.jobs(_NEWS) if jobs is None else jobs
    return WhatIf(_plan(**changes), history.records(), PriceBook(_PRICES)).compare(jobs)


def _only(history: JobHistory, *, depth: int = 0) -> list[RecordedJob]:
    return [job for job in history.jobs(_NEWS) if job.attempts and job.fallback_depth == depth]


def test_jobs_that_start_where_they_started_count_as_they_went(history: JobHistory) -> None:
    found = _compared(history)
    assert [found.happened.jobs, found.happened.attempts, found.happened.unknown_costs] == [5, 7, 1]
    assert found.happened.cost_usd == Decimal("0.039500003")
    assert found.happened.depths == {0: 1, 1: 2, 2: 1}
    assert set(found.would) == {"low", "expected", "high"}
    assert all(would == found.happened for would in found.would.values())
    assert found.tasks == {"summarize": (found.happened, found.happened)}
    assert (found.moved.total(), found.assumed) == (0, {})


def test_a_model_that_was_never_asked_costs_the_recorded_tokens_at_its_own_rates(history: JobHistory) -> None:
    found = _compared(history, _only(history), starts={"summarize": 2})
    assert (found.happened.cost_usd, found.would["expected"].cost_usd) == (Decimal("0.01"), _ON_HAIKU)
    assert found.assumed == {Assumption("nobody_asked", HAIKU, "summarize"): 1}
    assert [found.would[bound].depths[0] for bound in ("low", "expected", "high")] == [0, 1, 1]


def test_acceptance_and_costs_follow_the_records_and_a_poor_answer_climbs(engine: Engine, history: JobHistory) -> None:
    remember(engine, HAIKU, *["answered"] * 30, *["truncated"] * 10, cost_nano_usd=Decimal("0.002"))
    remember(engine, OPUS, *["answered"] * 40)  # $0.01 each
    found = _compared(history, _only(history), starts={"*": 2}, climbs=frozenset({"truncated"}))
    would = found.would["expected"]
    assert would.depths == {0: Decimal("0.75"), 1: Decimal("0.25")}
    assert would.attempts == Decimal("1.25")
    assert would.cost_usd == Decimal("0.002") + _ON_SONNET / 4  # a fifth of Opus, as recorded; Sonnet by its rates
    assert (would.named()["cost_per_answer_usd"], would.named()["mean_depth"]) == (would.cost_usd, Decimal("0.25"))
    low = bounds(30, 40)[0]
    climbing = (1 - low) * bounds(40, 40)[0]
    assert found.would["low"].depths[0] == low
    assert found.would["low"].depths[1] == climbing
    assert found.assumed == {Assumption("never_asked", SONNET, "summarize", OPUS): 1}
    assert {key: record.judged for key, record in found.records.items()} == {
        ("summarize", HAIKU): 40,
        ("summarize", SONNET): 0,
    }


def test_without_a_climb_a_truncated_answer_is_kept_and_a_refused_job_fails(
    engine: Engine, history: JobHistory
) -> None:
    remember(engine, HAIKU, *["answered"] * 20, *["truncated"] * 10, *["refused"] * 10)
    would = _compared(history, _only(history), starts={"summarize": 2}).would["expected"]
    assert would.named()["answered"] == Decimal("0.75")
    assert would.named()["failed"] == Decimal("0.25")
    assert would.attempts == 1


def test_few_judged_jobs_are_told_and_their_costs_are_not_compared(engine: Engine, history: JobHistory) -> None:
    remember(engine, HAIKU, *["answered"] * 29)
    remember(engine, OPUS, *["answered"] * 40)
    found = _compared(history, _only(history), starts={"summarize": 2})
    assert found.would["expected"].cost_usd == _ON_HAIKU
    assert found.assumed == {Assumption("few", HAIKU, "summarize"): 1}


def test_a_job_costs_the_same_again_on_a_model_that_it_asked(history: JobHistory) -> None:
    found = _compared(history, _only(history, depth=1), starts={"summarize": 1})
    assert found.happened.cost_usd == Decimal("0.009")
    assert found.would["expected"].cost_usd == Decimal("0.007")  # both answers of Sonnet, without the calls to Opus
    assert found.would["expected"].depths == {0: 2}


def test_a_model_without_a_price_has_unknown_costs_and_no_sum_hides_them(history: JobHistory) -> None:
    found = _compared(history, _only(history), models=("airship",))
    assert [found.would["expected"].cost_usd, found.would["expected"].unknown_costs] == [0, 1]
    assert found.would["expected"].named()["cost_per_answer_usd"] is None
    assert Assumption("no_price", "airship", "summarize") in found.assumed


def test_without_tokens_a_cost_is_unknown(history: JobHistory) -> None:
    jobs = [job for job in history.jobs(Scope()) if job.call and job.call.cost_usd == Decimal("0.007")]
    found = _compared(history, jobs, models=(HAIKU,))
    assert [found.would["expected"].unknown_costs, found.would["expected"].cost_usd] == [1, 0]
    assert Assumption("no_usage", HAIKU) in found.assumed


def test_without_tokens_the_records_tell_a_cost(engine: Engine, history: JobHistory) -> None:
    remember(engine, HAIKU, *["answered"] * 30, cost_nano_usd=Decimal("0.002"))
    with engine.begin() as connection:
        connection.execute(update(Attempt).where(Attempt.id == "a1").values(output_tokens=None))
    found = _compared(history, _only(history), models=(HAIKU,))
    assert (found.would["expected"].cost_usd, found.assumed) == (Decimal("0.002"), {})


def test_a_job_that_a_cap_kept_from_calling_counts_as_it_went(history: JobHistory) -> None:
    jobs = [job for job in history.jobs(_NEWS) if not job.attempts]
    found = _compared(history, jobs, starts={"summarize": 2})
    assert (found.moved.total(), found.would["expected"].jobs, found.would["expected"].depths) == (0, 1, {})


def test_under_another_chain_a_job_that_fell_moves_though_it_starts_where_it_did(history: JobHistory) -> None:
    assert _compared(history, models=(OPUS, HAIKU)).moved == {"summarize": 3}
    assert _compared(history, models=(SONNET, HAIKU)).moved == {"summarize": 4}


def test_bounds_are_taken_over_by_the_names_of_their_models(engine: Engine, history: JobHistory) -> None:
    with engine.begin() as connection:
        connection.execute(update(Job).values(floor_rung=1, ceiling_rung=1))
    (job,) = _only(history)
    span, gone = _plan(models=(HAIKU, SONNET, OPUS)).span(job)
    assert ((span.ceiling, span.start, span.floor), gone) == ((1, 1, 1), [])
    span, gone = _plan(models=(HAIKU, OPUS)).span(job)
    assert (span.ceiling, span.start, span.floor) == (0, 0, 1)
    assert gone == [Assumption("floor_gone", SONNET), Assumption("ceiling_gone", SONNET)]


def test_bounds_of_a_longer_chain_of_old_fit_the_chain_in_force(engine: Engine, history: JobHistory) -> None:
    with engine.begin() as connection:
        connection.execute(update(Job).values(start_rung=5, floor_rung=9, ceiling_rung=4))
    (job,) = _only(history)
    span, gone = _plan(starts={"summarize": 1}).span(job)
    assert ((span.ceiling, span.start, span.floor), gone) == ((2, 2, 2), [])


def test_a_start_that_the_caller_chose_is_kept_if_the_chain_has_it(engine: Engine, history: JobHistory) -> None:
    with engine.begin() as connection:
        connection.execute(update(Job).values(start_reason="asked", start_model=SONNET))
    (job,) = _only(history)
    assert _plan(starts={"summarize": 2}).span(job)[0].start == 1
    span, gone = _plan(models=(OPUS, HAIKU), starts={"summarize": 1}).span(job)
    assert (span.start, gone) == (1, [Assumption("start_gone", SONNET)])


def test_jobs_of_a_kind_whose_start_is_learned_keep_it_unless_the_question_names_another(
    engine: Engine, history: JobHistory
) -> None:
    with engine.begin() as connection:
        connection.execute(update(Job).values(start_reason="learned", start_model=SONNET))
    (job,) = _only(history)
    assert _plan(kept={"summarize"}).span(job)[0].start == 1
    assert _plan().span(job)[0].start == 0


def test_no_jobs_are_no_mistake(history: JobHistory) -> None:
    found = _compared(history, [])
    assert (found.happened.jobs, found.happened.named()["mean_depth"], found.tasks) == (0, None, {})
