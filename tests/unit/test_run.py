"""One delivery, and the line that Flower shows of it."""

import pytest

from models.outcome import State
from tests.walking import HandClock, scene
from worker.events import Dropped, JobEnded
from worker.run import run


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (["ok"], "opus-4-7 d0 $0.0075"),
        (["529", "ok"], "sonnet-4-6 d1 $0.0075"),
        (["529", "529", "ok"], "haiku-4-5 d2 $0.0075"),
        (["cut", "ok"], "sonnet-4-6 d1 unknown cost"),
        (["max_tokens"], "opus-4-7 d0 $0.0075"),
        (["400"], "failed: bad_request $0.0000"),
        (["refusal"], "failed: refused $0.0075"),
        (["cut", "timed_out", "html"], "failed: malformed unknown cost"),
        (["429:3"], "waiting 3 s: rate_limited"),
        (["401"], "waiting 60 s: unauthorized"),
    ],
)
def test_what_came_of_it_is_said_in_one_line(script: list[str], line: str) -> None:
    job = scene(*script)
    assert run(job.job_id, job.office) == line


def test_a_delivery_for_a_job_that_is_finished_or_unknown_is_dropped() -> None:
    job = scene("ok")
    run(job.job_id, job.office)
    for job_id in (job.job_id, "nobody"):
        assert run(job_id, job.office) == "dropped: finished, or somebody else has it"
        assert job.events[-1] == Dropped(job_id=job_id)
    assert len(job.provider.calls) == 1


def test_a_delivery_for_a_job_that_somebody_has_is_dropped() -> None:
    job = scene("ok")
    assert job.ledger.claim(job.job_id, lease_s=60) is not None
    assert run(job.job_id, job.office).startswith("dropped")
    assert job.provider.calls == []


def test_a_delivery_that_comes_too_early_is_dropped() -> None:
    clock = HandClock()
    job = scene("429:3", "ok", clock=clock)
    run(job.job_id, job.office)
    assert run(job.job_id, job.office).startswith("dropped")
    clock.now_s = 3
    assert run(job.job_id, job.office) == "opus-4-7 d0 $0.0075"


def test_a_job_whose_deadline_passed_fails_without_a_call() -> None:
    clock = HandClock()
    job = scene("ok", clock=clock)
    clock.now_s = 86_400
    assert run(job.job_id, job.office) == "failed: expired"
    assert (job.job.state, job.provider.calls, job.attempts) == (State.FAILED, [], [])
    assert job.job.ending is not None
    assert job.job.ending.error == "its deadline passed before it could be called"
    assert isinstance(job.events[-1], JobEnded)


def test_a_job_is_not_parked_beyond_its_deadline() -> None:
    clock = HandClock()
    job = scene("401", clock=clock)
    clock.now_s = 86_400 - 60
    assert run(job.job_id, job.office) == "failed: unauthorized $0.0000"


def test_a_job_that_was_lost_says_so() -> None:
    job = scene("ok")
    job.provider.meanwhile = lambda: job.ledger.cancel(job.job_id)
    assert run(job.job_id, job.office) == "lost: finished or cancelled meanwhile"
