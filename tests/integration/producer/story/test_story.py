"""A job's story from a real ledger: by the report, by the view, and after its prompt was purged."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from models.job.values import DecisionRecord, Ending
from models.ledger.job_actions import JobActions
from models.ledger.ledger import Ledger
from models.outcome import Outcome, Reason, State
from models.reports.jobs import Reports
from producer.story.rows import job_record
from producer.story.story import story
from tests.support.ledgers.job_values import accepted, claimed, closing, failing, opening, succeeded
from tests.support.ledgers.story_rows import MODELS, OPUS, SONNET
from tests.support.plays.walk_scene import NOW

_MESSAGE = {"content": [{"type": "text", "text": "the secret answer"}]}


def decided(after: int, word: str, reason: str, **details: Any) -> DecisionRecord:
    """Make a decision about Opus."""
    at = NOW + timedelta(seconds=after)
    return DecisionRecord(attempt_count=after, at=at, rung=0, model=OPUS, decision=word, reason=reason, details=details)


@pytest.fixture
def job_id(ledger: Ledger) -> str:
    """Give a job that met a limit, then an overload, and was answered by Sonnet in a later walk."""
    _, (found,) = accepted(ledger)
    claim = claimed(ledger, found)
    first, second = opening(), opening(2, rung=1, fallback_depth=1, reason=Reason.FALLBACK, model=SONNET)
    assert ledger.open_attempt(claim, first)
    parked = Ending(
        state=State.WAITING,
        outcome=Outcome.OVERLOADED,
        error="overloaded: secret words of the API",
        rung=1,
        given_up={0: "overloaded"},
        rounds=0,
        due_in_s=0.0,
        decisions=(decided(0, "wait", "limited", limit="input", left=900), decided(1, "park", "overloaded", to=SONNET)),
    )
    assert ledger.finish(claim, parked, failing(first.id))
    claim = claimed(ledger, found)
    assert ledger.open_attempt(claim, second)
    ending = replace(succeeded(), decisions=(decided(1, "skip", "circuit_open", kind="overloaded"),))
    assert ledger.finish(claim, ending, closing(second.id))
    return found


def test_the_view_tells_every_event_in_order_on_both_engines(engine: Engine, job_id: str) -> None:
    columns = "position, kind, model, what, reason, cost_nano_usd, details"
    asked = text(f"SELECT {columns} FROM v_story WHERE job_id = :job ORDER BY position")  # noqa: S608 - our own words
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(asked, {"job": job_id})]
    assert rows == [
        (1, "accepted", None, "accepted", None, None, None),
        (2, "decision", OPUS, "wait", "limited", None, '{"limit":"input","left":900}'),
        (3, "attempt", OPUS, "overloaded", "start", 0, None),
        (4, "decision", OPUS, "park", "overloaded", None, f'{{"to":"{SONNET}"}}'),
        (5, "decision", OPUS, "skip", "circuit_open", None, '{"kind":"overloaded"}'),
        (6, "attempt", SONNET, "answered", "fallback", 10_000_000, None),
        (7, "ended", "claude-opus-4-7", "succeeded", "answered", None, None),
    ]


def test_one_jobs_events_are_looked_up_and_not_searched_for(engine: Engine, job_id: str) -> None:
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with engine.begin() as connection:
        if explain == "EXPLAIN":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(text(f"{explain} SELECT * FROM v_story WHERE job_id = '{job_id}'"))  # noqa: S608
        steps = [str(row[-1]) for row in plan]
    by_id = [
        step for step in steps if step.endswith(("(id=?)", "(job_id=?)")) or ("Index Cond" in step and job_id in step)
    ]
    assert len(by_id) == 4, steps  # accepted, attempts, decisions, end


def test_what_the_report_tells_adds_up_and_outlives_the_prompt(engine: Engine, job_id: str) -> None:
    reports = Reports(engine)
    before = "\n".join(story(job_record(job_id, reports), MODELS))
    assert "this key's input tokens per minute for it were used up" in " ".join(before.split())
    assert "2 calls, $0.01 in all" in " ".join(before.split())
    assert JobActions(engine).purge(older_than_s=-60) == 1
    after = "\n".join(story(job_record(job_id, reports), MODELS))
    assert after == before
    assert "secret answer" not in after
