"""Starts learned from the ledger: what is read is what was recorded, and new jobs start there."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select, text

from models.chain.best_start import bounds, picked
from models.chain.chain import RungRange
from models.errors import InputError
from models.reports.learned_starts import LearnedStarts
from models.schema.attempt import Attempt
from models.schema.job import Job
from models.settings import Settings, load_settings
from producer import Batch, Producer, Prompt
from tests.support.ledgers.job_values import new_job
from tests.support.ledgers.past_attempts import HAIKU, OPUS, SONNET, remember

_CLIMB = "truncated,refused"


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    """Have the start of summaries learned."""
    return load_settings(
        env_file=None, database_url=database_url, redis_url=redis_url, task_starts="summarize:auto", climb_on=_CLIMB
    )


@pytest.fixture
def producer(settings: Settings) -> Iterator[Producer]:
    """Submit with these settings."""
    with Producer(settings) as producer:
        yield producer


def asked(engine: Engine, columns: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT {columns} FROM v_starts ORDER BY task, model"))  # noqa: S608 - ours
        return [tuple(float(cell) if isinstance(cell, Decimal) else cell for cell in row) for row in rows]


def starts(engine: Engine, batch: Batch) -> list[tuple[str, int, str | None]]:
    columns = (Job.start_model, Job.start_rung, Job.start_reason)
    with engine.connect() as connection:
        rows = connection.execute(select(*columns).where(Job.batch_id == batch.id).order_by(Job.seq))
        return [(row[0] or "", row[1], row[2]) for row in rows]


def test_an_end_that_tells_nothing_of_quality_is_in_no_share_but_in_the_cost(engine: Engine) -> None:
    remember(engine, HAIKU, *["answered"] * 6, "truncated", "refused", "empty", "invalid", "too_long")
    remember(engine, HAIKU, "overloaded", "server_error", "cut")
    counts = "attempts, judged, accepted, truncated, refused, empty, invalid, too_long, climbed, unknown_costs"
    assert asked(engine, counts) == [(14, 11, 6, 1, 1, 1, 1, 1, 0, 0)]
    assert asked(engine, "mean_cost_nano_usd, mean_cost_usd") == [(2_545_454, 0.002545454)]  # 14 attempts for 11 jobs


def test_the_bounds_of_the_view_are_those_the_choice_is_made_by(engine: Engine) -> None:
    remember(engine, HAIKU, *["answered"] * 37, *["truncated"] * 3)
    remember(engine, OPUS, *["answered"] * 7)
    remember(engine, SONNET, *["refused"] * 5)
    rows = asked(engine, "judged, accepted, accepted_share, low, high")
    assert [(row[0], row[1], row[2]) for row in rows] == [(40, 37, 0.925), (7, 7, 1.0), (5, 0, 0.0)]
    for judged, accepted, _, low, high in rows:
        assert (low, high) == pytest.approx(tuple(map(float, bounds(accepted, judged))), abs=1e-6)


def test_a_job_counts_once_for_a_model_and_its_best_end_counts(engine: Engine) -> None:
    remember(engine, HAIKU, "truncated")
    with engine.begin() as connection:
        row = dict(connection.execute(select(Attempt.__table__)).mappings().one())
        raised = {"id": "raised", "attempt_no": 2, "reason": "retry", "outcome": "answered"}
        connection.execute(insert(Attempt).values(**(row | raised)))
    columns = "attempts, judged, accepted, truncated, mean_cost_nano_usd"
    assert asked(engine, columns) == [(2, 1, 1, 0, 4_000_000)]


def test_jobs_that_came_up_from_below_are_counted_apart(engine: Engine) -> None:
    remember(engine, SONNET, "answered", "answered")
    remember(engine, SONNET, "answered", "refused", "refused", reason="climb")
    assert asked(engine, "judged, accepted, refused, climbed, climbed_accepted") == [(2, 2, 0, 3, 1)]


def test_what_is_old_open_of_no_kind_or_of_unknown_cost_is_not_taken_for_knowledge(engine: Engine) -> None:
    remember(engine, OPUS, "answered", opened_at=datetime.now(UTC) - timedelta(days=31))
    remember(engine, OPUS, "answered", task=None)  # type: ignore[arg-type]  # a job may have none
    remember(engine, OPUS, "unknown", closed_at=None)
    assert asked(engine, "model") == []
    remember(engine, HAIKU, "answered", cost_nano_usd=None, cost_status="unknown")
    assert asked(engine, "judged, unknown_costs, mean_cost_nano_usd, mean_cost_usd") == [(1, 1, None, None)]


def test_jobs_start_where_an_accepted_answer_costs_least(producer: Producer, engine: Engine) -> None:
    for model in (OPUS, SONNET):
        remember(engine, model, *["answered"] * 60)
    remember(engine, HAIKU, *["answered"] * 6, *["truncated"] * 54)
    batch = producer.submit([Prompt("Bridges were closed.")] * 20, task="summarize", key="news")
    assert (SONNET, 1, "learned") in starts(engine, batch)
    assert {start for start in starts(engine, batch) if start[2] == "learned"} == {(SONNET, 1, "learned")}


def test_a_model_bought_at_half_price_is_compared_at_the_price_of_live_calls(
    producer: Producer, engine: Engine
) -> None:
    remember(engine, SONNET, *["answered"] * 60)
    bought: dict[str, Any] = {"service_tier": "batch", "cost_nano_usd": Decimal("0.005")}
    remember(engine, OPUS, *["answered"] * 60, **bought)  # 10,000,000 live: dearer than the other model
    assert asked(engine, "model, mean_cost_nano_usd") == [(OPUS, 10_000_000), (SONNET, 6_000_000)]
    searched = {"web_searches": 1, "web_search_nano_usd": Decimal("0.01"), "cost_nano_usd": Decimal("0.015")}
    remember(engine, OPUS, "answered", task="search", **bought | searched)
    assert asked(engine, "task, mean_cost_nano_usd")[0] == ("search", 20_000_000)
    found = starts(engine, producer.submit([Prompt("a")] * 5, task="summarize"))
    assert {start for start in found if start[2] != "explored"} == {(SONNET, 1, "learned")}


def test_with_a_cheap_model_that_does_they_start_there(producer: Producer, engine: Engine) -> None:
    for model in (OPUS, SONNET, HAIKU):
        remember(engine, model, *["answered"] * 60)
    assert set(starts(engine, producer.submit([Prompt("a")], task="summarize"))) == {(HAIKU, 2, "learned")}


def test_with_nothing_learned_they_start_on_the_primary(producer: Producer, engine: Engine) -> None:
    remember(engine, HAIKU, *["answered"] * 60)
    batch = producer.submit([Prompt("a")], task="summarize")
    assert {start for start in starts(engine, batch) if start[2] is None} <= {(OPUS, 0, None)}


def test_the_same_prompts_under_one_key_are_one_batch_whatever_was_learned_meanwhile(
    settings: Settings, engine: Engine
) -> None:
    with Producer(settings) as before:
        first = before.submit([Prompt("a")], task="summarize", key="news")
    for model in (OPUS, SONNET, HAIKU):
        remember(engine, model, *["answered"] * 60)
    with Producer(settings) as after:
        again = after.submit([Prompt("a")], task="summarize", key="news")
        assert (again.id, again.is_new) == (first.id, False)


def test_what_names_its_own_start_keeps_it_and_floor_and_ceiling_hold(producer: Producer, engine: Engine) -> None:
    for model in (OPUS, SONNET, HAIKU):
        remember(engine, model, *["answered"] * 60)
    prompts = [Prompt("a", start=OPUS), Prompt("b", floor=SONNET), Prompt("c", ceiling=SONNET, floor=SONNET)]
    batch = producer.submit(prompts, task="summarize")
    assert starts(engine, batch) == [(OPUS, 0, "asked"), (SONNET, 1, "learned"), (SONNET, 1, "learned")]
    with pytest.raises(InputError, match="must lie between"):
        producer.submit([Prompt("d", ceiling=HAIKU, floor=SONNET)], task="summarize")


def test_a_kind_that_is_not_auto_reads_nothing(engine: Engine, settings: Settings) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP VIEW v_starts"))
    learned = LearnedStarts(engine)
    jobs = [new_job(task="extract"), new_job(), new_job(task="summarize", start_reason="asked")]
    assert [*map(learned.starting(settings), jobs)] == jobs


def test_exploring_ends_at_the_days_cap_and_is_marked(database_url: str, redis_url: str, engine: Engine) -> None:
    for model in (OPUS, SONNET, HAIKU):
        remember(engine, model, *["answered"] * 60 if model != HAIKU else ["truncated"] * 60)
    given = {"database_url": database_url, "redis_url": redis_url, "explore_share": "0.1", "explore_per_day": 7}
    settings = load_settings(env_file=None, task_starts="summarize:auto", climb_on=_CLIMB, **given)
    counts = []
    for _ in range(2):
        with Producer(settings) as producer:
            batch = producer.submit([Prompt("a")] * 300, task="summarize")
        rows = starts(engine, batch)
        assert set(rows) <= {(SONNET, 1, "learned"), (HAIKU, 2, "explored")}
        counts.append(sum(row[2] == "explored" for row in rows))
    assert counts == [7, 0]
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).where(Job.start_reason == "explored")) == 7


def test_what_was_read_is_kept_for_ten_minutes(engine: Engine, settings: Settings) -> None:
    now = [0.0]
    learned, span = LearnedStarts(engine, clock=lambda: now[0]), RungRange(start=0, floor=2, ceiling=0)

    def start() -> int | None:
        return picked(learned.weighed("summarize", span, settings, settings.climbs)[1])

    assert start() is None
    for model in (OPUS, SONNET, HAIKU):
        remember(engine, model, *["answered"] * 60)
    now[0] = 599
    assert start() is None
    now[0] = 600
    assert start() == 2
