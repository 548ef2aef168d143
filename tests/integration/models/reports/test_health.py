"""A primary that most of a day's jobs step two rungs down from is called unreliable; on both engines."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text, update

from models.job.primary_health import DEGRADED, OK, UNRELIABLE
from models.ledger.ledger import Ledger
from models.outcome import PROVIDER_WORDS, State
from models.reports.health import OPEN_JOBS
from models.schema.columns import db_now
from models.schema.job import Job
from models.store import Store
from producer.simulator.process import running_simulator
from tests.support.ledgers.half_price_lane import book_lane
from tests.support.ledgers.job_values import accepted, answered, claimed, closing, failed, opening, succeeded
from tests.support.sites.command_line import settings_for, stranger_in


def _answered_at(ledger: Ledger, *depths: int) -> None:
    _, job_ids = accepted(ledger, len(depths))
    for job_id, depth in zip(job_ids, depths, strict=True):
        _answer_after(ledger, job_id, *["overloaded"] * depth)


def _answer_after(ledger: Ledger, job_id: str, *reasons: str) -> None:
    """Answer a job after its first rungs were given up for these reasons."""
    depth, given_up = len(reasons), dict(enumerate(reasons))
    claim, call = claimed(ledger, job_id), opening(rung=depth, fallback_depth=depth)
    ledger.open_attempt(claim, call)
    ledger.finish(claim, succeeded(rung=depth, fallback_depth=depth, given_up=given_up), closing(call.id))


def _books(engine: Engine) -> Store:
    return Store(engine, worker="here")


@pytest.mark.parametrize(
    ("depths", "verdict"),
    [
        ([2] * 19, "too few jobs"),
        ([0] * 10 + [2] * 10, UNRELIABLE),
        ([0] * 11 + [2] * 9, DEGRADED),
        ([0] * 15 + [1] * 5, DEGRADED),
        ([0] * 16 + [1] * 4, OK),
    ],
)
def test_the_verdict_is_by_how_deep_the_jobs_of_this_day_went(engine: Engine, depths: list[int], verdict: str) -> None:
    store = _books(engine)
    _answered_at(store.ledger, *depths)
    (found,) = store.health.today()
    assert (found.start_model, found.jobs, found.verdict) == ("claude-opus-4-7", len(depths), verdict)
    assert found.share_depth_0 == pytest.approx(Decimal(depths.count(0)) / len(depths), abs=Decimal("0.0001"))


@pytest.mark.parametrize("word", PROVIDER_WORDS)
def test_a_fallback_on_each_word_of_the_provider_counts(engine: Engine, word: str) -> None:
    store = _books(engine)
    _, (job_id,) = accepted(store.ledger)
    _answer_after(store.ledger, job_id, word)
    (found,) = store.health.today()
    assert (found.mean_depth, found.share_depth_0) == (Decimal(1), Decimal(0))


@pytest.mark.parametrize(
    ("reasons", "depth"),
    [
        (("full",), 0),
        (("unfit", "full"), 0),
        (("retries_spent",), 0),
        (("over_budget",), 0),
        (("truncated",), 0),
        (("full", "same_limit"), 0),
        (("limited", "same_limit"), 2),
        (("rate_limited", "same_limit"), 2),
        (("overloaded", "full"), 1),
        (("full", "overloaded"), 0),  # the start rung did nothing wrong
    ],
)
def test_our_own_limits_blame_no_model(engine: Engine, reasons: tuple[str, ...], depth: int) -> None:
    store = _books(engine)
    _, (job_id,) = accepted(store.ledger)
    _answer_after(store.ledger, job_id, *reasons)
    assert [found.mean_depth for found in store.health.today()] == [depth]


def test_many_steps_down_from_our_own_limit_raise_no_alarm(engine: Engine) -> None:
    store = _books(engine)
    _, job_ids = accepted(store.ledger, 30)
    for job_id in job_ids[:27]:
        _answer_after(store.ledger, job_id, "full", "full")
    for job_id in job_ids[27:]:
        _answer_after(store.ledger, job_id, "overloaded")
    (found,) = store.health.today()
    assert (found.verdict, found.share_depth_0, found.share_depth_2plus) == (OK, Decimal("0.9"), Decimal(0))


def test_an_endpoint_that_is_out_is_blamed_before_its_model(engine: Engine) -> None:
    store = _books(engine)
    _, job_ids = accepted(store.ledger, 20)
    for number, job_id in enumerate(job_ids):
        _answer_after(store.ledger, job_id, *(("endpoint_out",) if number % 4 else ("overloaded",)))
    (found,) = store.health.today()
    assert found.share_endpoint_out == Decimal("0.75")
    assert found.in_words().startswith("anthropic, the endpoint of claude-opus-4-7, is degraded today: of 20 jobs")


def test_the_view_knows_the_same_words_as_the_models() -> None:
    text = (Path(__file__).parents[4] / "migrations/views/models/v_primary_health.sql").read_text(encoding="utf-8")
    listed = text.partition("g.value IN (")[2].partition(")")[0]
    assert tuple(word.strip(" \n'") for word in listed.split(",")) == PROVIDER_WORDS


def test_jobs_of_another_day_do_not_count(engine: Engine) -> None:
    store = _books(engine)
    _answered_at(store.ledger, *[2] * 20)
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET finished_at = '2026-01-02 03:04:05'"))
    assert store.health.today() == []


def test_open_jobs_are_counted_by_state_and_ended_ones_of_this_day(engine: Engine) -> None:
    store = _books(engine)
    _, (good, bad, old, running, sent, due, held, *_) = accepted(store.ledger, 9)
    answered(store.ledger, good)
    answered(store.ledger, old)
    store.ledger.finish(claimed(store.ledger, bad), failed(), None)
    claimed(store.ledger, running)
    with engine.begin() as connection:
        now = connection.execute(select(db_now(0.0))).scalar_one()
        connection.execute(update(Job).where(Job.id == old).values(finished_at=now - timedelta(days=1)))
        connection.execute(update(Job).where(Job.id == sent).values(sent_at=now))
        connection.execute(update(Job).where(Job.id == due).values(state=State.WAITING, due_at=now))
        connection.execute(update(Job).where(Job.id == held).values(state=State.WAITING, due_at=None, sent_at=now))
    assert store.health.open_jobs() == {"queued": 3, "waiting": 1, "running": 1, "held": 1}
    assert store.health.ended_today() == {"succeeded": 1, "failed": 1}


def test_open_jobs_are_counted_without_reading_those_that_have_ended(engine: Engine) -> None:
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.begin() as connection:
        if not is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        asked = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        plan = " ".join(str(row[-1]) for row in connection.execute(text(f"{asked} {OPEN_JOBS.text}")))
    indexes = ("ix_jobs_queued", "ix_jobs_due", "ix_jobs_sent", "ix_jobs_held")
    assert [index for index in indexes if index not in plan] == []


def test_what_the_settings_say_is_what_the_view_judges_by(engine: Engine) -> None:
    store = _books(engine)
    _answered_at(store.ledger, *[0] * 2, *[1] * 2)
    store.health.judge_by({"health_min_jobs": 4, "health_degraded_percent": 51})
    assert [found.verdict for found in store.health.today()] == [OK]
    store.health.judge_by({"health_degraded_percent": 50})
    assert [found.verdict for found in store.health.today()] == [DEGRADED]


def test_a_primary_in_trouble_is_told_by_the_worker_by_status_and_by_the_doctor(tmp_path: Path, redis_url: str) -> None:
    script = '[[rules]]\nmodel = "opus"\nanswer = 529\n[[rules]]\nmodel = "sonnet"\nanswer = 529'
    with running_simulator(script=script) as simulator:
        fast = {"REVIEW_EVERY_S": "0.2", "HEALTH_MIN_JOBS": "4"}
        me = stranger_in(tmp_path, REDIS_URL=redis_url, **settings_for(simulator, **fast))
        me.write("four.txt", "".join(f"Summarize: harbour {number}.\n" for number in range(4)))
        with me.starts("worker") as worker:
            batch = me.types("submit", "four.txt", "--watch").out.strip()
            shares = "the provider failed 100%, 100% twice or more"
            message = f"claude-opus-4-7 is unreliable today: of 4 jobs that start there {shares}"
            assert me.types("status", batch).err == f"alarm: {message}\n"
            assert f"warn health {message}" in " ".join(me.types("doctor", expect=None).out.split())
            logged = f"health: {message}"
            assert worker.stderr is not None
            assert any(logged in line for line in worker.stderr), "the worker told it"


def test_jobs_at_half_price_are_counted_by_their_wait(engine: Engine) -> None:
    book_lane(engine)
    assert _books(engine).health.at_half_price() == {"half_price": 1, "message_batch": 1}
