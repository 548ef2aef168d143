"""Steps in SQL: they wait for their parts, are asked once, name what is missing or stop; on both engines."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from models.job.map_reduce import NewStep, OnFailedPart, ReleasedSteps
from models.ledger.job_actions import JobActions
from models.ledger.ledger import Ledger
from models.ledger.outbox import Outbox
from models.ledger.steps import Steps
from models.outcome import CostStatus, Outcome, State
from models.reports.jobs import Reports
from tests.support.ledgers.job_values import (
    answered,
    claimed,
    closing,
    failed,
    message,
    new_batch,
    new_job,
    opening,
    parked,
    succeeded,
)
from tests.support.threads_at_once import at_once

DAY_S = 86_400.0
_NAMES = ("a/1", "a/2", "b", "a", "all")  # two parts of a, a document of one, the whole of a, and of both
_PARTS: Mapping[str, tuple[str, ...]] = {"a": ("a/1", "a/2"), "all": ("a", "b")}
_ERRORS = {"a": "without an answer: a/2 (bad_request)", "all": "without an answer: a/1, a/2 (bad_request)"}
_LEVELS = {"a": 1, "all": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A batch of five jobs that read each other, and what looks at it."""

    ledger: Ledger
    reports: Reports
    steps: Steps
    batch_id: str
    ids: Mapping[str, str]

    def answer(self, *names: str, **changes: Any) -> None:
        """Have jobs answered, each in words of its own."""
        for name in names:
            ending = succeeded(message=message(f"What {name} says."), **changes)
            answered(self.ledger, self.ids[name], ending=ending)

    def fail(self, *names: str) -> None:
        """Have jobs fail."""
        for name in names:
            self.ledger.finish(claimed(self.ledger, self.ids[name]), failed(), None)

    def release_ready_steps(self) -> tuple[int, int]:
        """Let the clock look; returns how many steps are asked, and how many stopped."""
        released = self.steps.release_ready_steps(limit=100, live_s=900)
        return released.asked, released.stopped

    def states(self) -> dict[str, str]:
        """Tell where each job is."""
        return {name: self.job(name)["state"] for name in self.ids}

    def job(self, name: str) -> dict[str, Any]:
        """Read a job's row."""
        return self.reports.job(self.ids[name])

    def asked(self, name: str) -> str:
        """Read what a job asks."""
        return str(self.job(name)["params"]["messages"][0]["content"])


def _planned(engine: Engine, on_failed_part: OnFailedPart = OnFailedPart.NAME, **changes: Any) -> Planned:
    ledger, batch = Ledger(engine, worker="here"), new_batch(**changes)
    jobs = {name: new_job(seq, prompt_id=name) for seq, name in enumerate(_NAMES, start=1)}
    steps = [
        NewStep(
            job_id=jobs[name].id,
            document=None if name == "all" else name[0],
            level=_LEVELS.get(name, 0),
            label=name,
            parts=tuple(jobs[part].id for part in _PARTS.get(name, ())),
            pieces=("Merge:\n", ""),
            on_failed_part=on_failed_part,
        )
        for name in _NAMES
    ]
    ledger.enqueue(batch, list(jobs.values()), steps)
    ids = {name: job.id for name, job in jobs.items()}
    return Planned(ledger=ledger, reports=Reports(engine), steps=Steps(engine), batch_id=batch.id, ids=ids)


@pytest.fixture
def planned(engine: Engine) -> Planned:
    """Give such a batch, which names what is missing."""
    return _planned(engine)


@pytest.fixture
def strict(engine: Engine) -> Planned:
    """Give one that stops."""
    return _planned(engine, OnFailedPart.STOP)


def test_steps_wait_and_neither_are_sent_nor_can_be_claimed(planned: Planned, outbox: Outbox) -> None:
    assert {job.id for job in outbox.unsent(0, limit=10)} == {planned.ids[name] for name in ("a/1", "a/2", "b")}
    assert planned.states() == {"a/1": "queued", "a/2": "queued", "b": "queued", "a": "waiting", "all": "waiting"}
    assert planned.job("all")["outcome"] == "parts"
    assert planned.ledger.claim(planned.ids["all"], lease_s=60) is None
    assert planned.release_ready_steps() == (0, 0)
    assert not planned.reports.progress(planned.batch_id).is_settled


def test_a_step_is_asked_once_all_of_its_parts_have_ended_with_what_they_say(planned: Planned, outbox: Outbox) -> None:
    planned.answer("a/1", "b")
    assert planned.release_ready_steps() == (0, 0)
    planned.answer("a/2")
    assert planned.release_ready_steps() == (1, 0)
    assert planned.release_ready_steps() == (0, 0)
    assert planned.asked("a") == (
        'Merge:\n<summary of="a/1">\nWhat a/1 says.\n</summary>\n\n<summary of="a/2">\nWhat a/2 says.\n</summary>'
    )
    assert [job.id for job in outbox.unsent(0, limit=10)] == [planned.ids["a"]]
    planned.answer("a")
    assert planned.release_ready_steps() == (1, 0)
    assert "What a says." in planned.asked("all")
    assert "What b says." in planned.asked("all")
    assert "a/1" not in planned.asked("all")
    planned.answer("all")
    assert planned.reports.progress(planned.batch_id).is_finished
    assert [answer.id for answer in planned.reports.answers(planned.batch_id)] == list(_NAMES)


def test_of_many_clocks_that_look_at_once_one_asks(planned: Planned) -> None:
    planned.answer("a/1", "a/2")
    looks: list[ReleasedSteps] = []
    at_once(6, lambda _number: looks.append(planned.steps.release_ready_steps(limit=100, live_s=900)))
    assert sum(look.asked for look in looks) == 1


def test_a_part_that_failed_is_named_at_every_level_above_it(planned: Planned) -> None:
    planned.answer("a/1", "b")
    planned.fail("a/2")
    assert planned.release_ready_steps() == (1, 0)
    assert planned.job("a")["columns"] == {"missing_parts": "a/2 (bad_request)"}
    assert "<missing>\na/2 (bad_request)\n</missing>\nNo answer could be had" in planned.asked("a")
    planned.answer("a")
    assert planned.release_ready_steps() == (1, 0)
    assert "a/2 (bad_request)" in planned.asked("all")
    assert planned.job("all")["columns"] == {"missing_parts": "a/2 (bad_request)"}


def test_the_parts_of_a_step_that_failed_are_missing_above_it(planned: Planned) -> None:
    planned.answer("a/1", "a/2", "b")
    planned.release_ready_steps()
    planned.fail("a")
    assert planned.release_ready_steps() == (1, 0)
    assert planned.job("all")["columns"] == {"missing_parts": "a/1; a/2"}


def test_a_step_that_is_to_stop_fails_and_what_is_made_of_it_too(strict: Planned) -> None:
    strict.answer("a/1", "b")
    strict.fail("a/2")
    assert strict.release_ready_steps() == (0, 1)
    assert strict.release_ready_steps() == (0, 1)
    for name in ("a", "all"):
        row = strict.job(name)
        assert (row["state"], row["outcome"], row["error"]) == ("failed", "part_failed", _ERRORS[name])
    assert strict.reports.progress(strict.batch_id).is_finished


def test_where_every_part_failed_nothing_is_asked(planned: Planned) -> None:
    planned.fail("a/1", "a/2")
    assert planned.release_ready_steps() == (0, 1)
    planned.fail("b")
    assert planned.release_ready_steps() == (0, 1)
    assert planned.states() == dict.fromkeys(_NAMES, "failed")


def test_cancelling_ends_steps_and_a_retry_has_them_wait_again(planned: Planned, job_actions: JobActions) -> None:
    planned.answer("a/1")
    assert job_actions.cancel(planned.batch_id).jobs == 4
    assert planned.release_ready_steps() == (0, 0)
    assert planned.reports.progress(planned.batch_id).is_finished
    assert job_actions.retry(deadline_s=DAY_S, batch_id=planned.batch_id) == 4
    assert planned.states() == {"a/1": "succeeded", "a/2": "queued", "b": "queued", "a": "waiting", "all": "waiting"}
    planned.answer("a/2", "b")
    assert planned.release_ready_steps() == (1, 0)
    planned.answer("a")
    assert planned.release_ready_steps() == (1, 0)


@pytest.mark.parametrize("by", ["batch", "job"])
def test_a_retry_of_a_failed_part_goes_on_with_its_steps(strict: Planned, job_actions: JobActions, by: str) -> None:
    strict.answer("a/1", "b")
    strict.fail("a/2")
    strict.release_ready_steps()
    strict.release_ready_steps()
    target: dict[str, Any] = {"batch_id": strict.batch_id} if by == "batch" else {"job_id": strict.ids["a/2"]}
    assert job_actions.retry(deadline_s=DAY_S, states=[State.FAILED], **target) == 3
    assert strict.states() == {"a/1": "succeeded", "a/2": "queued", "b": "succeeded", "a": "waiting", "all": "waiting"}
    assert strict.job("a")["error"] is None
    strict.answer("a/2")
    strict.release_ready_steps()
    strict.answer("a")
    strict.release_ready_steps()
    assert "missing" not in strict.asked("all")


def test_what_was_made_without_a_part_is_made_anew_once_that_is_answered(
    planned: Planned, job_actions: JobActions
) -> None:
    planned.answer("a/1", "b")
    planned.fail("a/2")
    for name in ("a", "all"):
        planned.release_ready_steps()
        planned.answer(name)
    assert job_actions.retry(deadline_s=DAY_S, batch_id=planned.batch_id) == 3
    assert planned.states()["all"] == "waiting"
    planned.answer("a/2")
    planned.release_ready_steps()
    assert "What a/2 says." in planned.asked("a")
    assert planned.job("a")["columns"] == {}
    assert (planned.job("a")["rebuys"], planned.job("a/1")["rebuys"]) == (1, 0)


def test_a_part_with_a_longer_answer_is_read_again(planned: Planned, job_actions: JobActions) -> None:
    planned.answer("a/1", "b")
    cut = succeeded(outcome=Outcome.TRUNCATED, is_truncated=True, message=message("What a/2"))
    answered(planned.ledger, planned.ids["a/2"], ending=cut)
    planned.release_ready_steps()
    planned.answer("a")
    planned.release_ready_steps()
    assert job_actions.retry_truncated(deadline_s=DAY_S, max_tokens=500, batch_id=planned.batch_id) == 2
    assert planned.states()["a"] == "waiting"
    claim, again = claimed(planned.ledger, planned.ids["a/2"]), opening(2)
    assert planned.ledger.open_attempt(claim, again)
    planned.ledger.finish(claim, succeeded(message=message("What a/2 says.")), closing(again.id))
    planned.release_ready_steps()
    assert "What a/2 says." in planned.asked("a")


def test_a_batch_whose_steps_wait_for_a_held_part_only_is_settled(
    planned: Planned, job_actions: JobActions, engine: Engine
) -> None:
    planned.answer("a/1", "b")
    planned.ledger.finish(claimed(planned.ledger, planned.ids["a/2"]), parked(0, outcome=Outcome.UNKNOWN), None)
    assert not planned.reports.progress(planned.batch_id).is_settled
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET due_at = NULL WHERE id = :id"), {"id": planned.ids["a/2"]})
    progress = planned.reports.progress(planned.batch_id)
    assert (progress.held, progress.blocked, progress.is_settled, progress.is_finished) == (1, 2, True, False)
    assert job_actions.drop(batch_id=planned.batch_id) == 1
    progress = planned.reports.progress(planned.batch_id)
    assert (progress.blocked, progress.is_settled) == (1, False), "what can go on is not blocked"
    assert planned.release_ready_steps() == (1, 0)


def test_a_step_whose_deadline_is_over_can_be_claimed_to_expire(engine: Engine) -> None:
    late = _planned(engine, deadline_s=0)
    claim = late.ledger.claim(late.ids["all"], lease_s=60)
    assert claim is not None
    assert claim.deadline_s <= 0


def test_a_purge_leaves_what_an_open_step_will_read(planned: Planned, job_actions: JobActions, engine: Engine) -> None:
    planned.answer("a/1", "a/2", "b")
    planned.release_ready_steps()
    planned.answer("a")
    assert job_actions.purge(older_than_s=-60) == 2
    assert planned.release_ready_steps() == (1, 0)
    assert "What b says." in planned.asked("all")
    planned.answer("all")
    assert job_actions.purge(older_than_s=-60) == 3
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT COUNT(*) FROM steps WHERE pieces LIKE '%Merge%'")) == 0
    assert job_actions.retry(deadline_s=DAY_S, batch_id=planned.batch_id) == 0


def test_the_view_adds_up_each_document_and_level(planned: Planned, engine: Engine) -> None:
    planned.answer("a/1", "a/2")
    planned.fail("b")
    planned.release_ready_steps()
    claim, last = claimed(planned.ledger, planned.ids["a"]), opening()
    assert planned.ledger.open_attempt(claim, last)
    cut = replace(closing(last.id), cost_usd=None, cost_status=CostStatus.UNKNOWN, price_source=None, usage=None)
    planned.ledger.finish(claim, succeeded(), cut)
    asked = "SELECT document, level, jobs, succeeded, failed, attempts, unknown_costs, cost_nano_usd FROM v_documents"
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(f"{asked} ORDER BY level, document"))]
    assert rows == [
        ("a", 0, 2, 2, 0, 2, 0, 20_000_000),
        ("b", 0, 1, 0, 1, 0, 0, 0),
        ("a", 1, 1, 1, 0, 1, 1, 0),
        (None, 2, 1, 0, 0, 0, 0, 0),
    ]
