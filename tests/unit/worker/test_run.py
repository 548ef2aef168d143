"""One delivery, and the line that Flower shows of it."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from models.errors import LedgerError
from models.job.values import Claim
from models.outcome import State
from tests.support.plays.awaited import finished
from tests.support.plays.walk_scene import HandClock, scene
from worker.events import BatchPaused, DeliveryDropped, JobEnded
from worker.failing_batches import FailingBatches
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
    assert job.run() == line


def test_a_delivery_for_a_job_that_is_finished_or_unknown_is_dropped() -> None:
    job = scene("ok")
    job.run()
    for job_id in (job.job_id, "nobody"):
        assert job.run(job_id) == "dropped: finished, or somebody else has it"
        assert job.events[-1] == DeliveryDropped(job_id=job_id)
    assert len(job.provider.calls) == 1


def test_a_delivery_for_a_job_that_somebody_has_is_dropped() -> None:
    job = scene("ok")
    assert job.ledger.claim(job.job_id, lease_s=60) is not None
    assert job.run().startswith("dropped")
    assert job.provider.calls == []


def test_a_delivery_that_comes_too_early_is_dropped() -> None:
    clock = HandClock()
    job = scene("429:3", "ok", clock=clock)
    job.run()
    assert job.run().startswith("dropped")
    clock.now_s = 3
    assert job.run() == "opus-4-7 d0 $0.0075"


def test_a_job_whose_deadline_passed_fails_without_a_call() -> None:
    clock = HandClock()
    job = scene("ok", clock=clock)
    clock.now_s = 86_400
    assert job.run() == "failed: expired $0.0000"
    assert (job.job.state, job.provider.calls, job.attempts) == (State.FAILED, [], [])
    assert job.job.ending is not None
    assert job.job.ending.error == "its deadline passed before it could be called"
    assert isinstance(job.events[-1], JobEnded)


def test_a_job_is_not_parked_beyond_its_deadline() -> None:
    clock = HandClock()
    job = scene("401", clock=clock)
    clock.now_s = 86_400 - 60
    assert job.run() == "failed: unauthorized $0.0000"


def test_a_job_that_was_lost_says_so() -> None:
    job = scene("ok")
    job.provider.meanwhile = lambda: job.ledger.cancel(job.job_id)
    assert job.run() == "lost: finished or cancelled meanwhile"


def test_a_worker_that_stops_leaves_a_delivery_for_another() -> None:
    job = scene("ok")
    job.intake.close()
    assert job.run() == "left for another time: the worker stops"
    assert (job.ledger.unsent, job.job.state, job.provider.calls) == ([job.job_id], State.QUEUED, [])


def test_a_worker_that_stops_takes_no_job_further_than_the_call_it_is_at() -> None:
    job = scene("529", "ok")
    job.provider.meanwhile = job.intake.close
    assert job.run() == "waiting 0 s: worker_stopped"
    assert (job.job.state, job.job.rung, len(job.provider.calls)) == (State.WAITING, 1, 1)


def test_an_answer_that_comes_while_the_worker_stops_is_taken() -> None:
    job = scene("ok")
    job.provider.meanwhile = job.intake.close
    assert job.run() == "opus-4-7 d0 $0.0075"


def test_a_ledger_that_is_away_costs_nothing_but_time() -> None:
    def away(_job_id: str, *, lease_s: float) -> None:  # noqa: ARG001 - the Protocol's
        raise LedgerError("no connection")

    job = scene("ok")
    job.ledger.claim = away  # type: ignore[assignment]  # as a database that went away
    assert job.run() == "the ledger is away: no connection"
    assert job.provider.calls == []


def test_a_job_is_in_hand_while_it_is_called_and_not_longer() -> None:
    job = scene("ok")
    worker = job.worker
    beats = list[list[str]]()

    def renew(claims: Iterable[Claim], *, lease_s: float) -> None:
        assert lease_s == 60
        beats.append([claim.job_id for claim in claims])

    job.ledger.renew = renew  # type: ignore[method-assign]
    job.provider.meanwhile = worker.heartbeat.beat
    finished(run(job.job_id, worker))
    worker.heartbeat.beat()
    assert beats == [[job.job_id], []]


def test_jobs_of_a_batch_that_fail_alike_pause_it() -> None:
    paused = list[tuple[str, str]]()
    job = scene("400")
    claim = job.ledger.claim

    def of_a_batch(job_id: str, *, lease_s: float) -> Claim | None:
        claimed = claim(job_id, lease_s=lease_s)
        return claimed and replace(claimed, batch_id="batch-1")

    def pause(batch_id: str, *, because: str) -> int:
        paused.append((batch_id, because))
        return 7

    job.ledger.claim, job.ledger.pause = of_a_batch, pause  # type: ignore[method-assign]
    worker = replace(job.worker, failing_batches=FailingBatches(pause_after=1))
    assert finished(run(job.job_id, worker)) == "failed: bad_request $0.0000"
    ((batch_id, because),) = paused
    assert (batch_id, job.events[-1]) == ("batch-1", BatchPaused(batch_id="batch-1", because=because, count=7))
