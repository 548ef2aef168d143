"""Which jobs are sent again because their message was lost; on both engines."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, text

from models.ledger.ledger import Ledger
from models.ledger.outbox import Outbox
from models.queue.queue_window import Due
from tests.support.ledgers.job_values import accepted, claimed, ids_of, parked


def _sent(outbox: Outbox, engine: Engine, rung: int, at: str) -> list[str]:
    jobs = outbox.unsent(rung, limit=99)
    outbox.mark_sent(jobs)
    with engine.begin() as connection:
        for job in jobs:
            connection.execute(text("UPDATE jobs SET sent_at = :at WHERE id = :id"), {"at": at, "id": job.id})
    return ids_of(jobs)


def test_what_was_sent_long_ago_and_never_heard_is_sent_again(ledger: Ledger, outbox: Outbox, engine: Engine) -> None:
    accepted(ledger, 2)
    lost = _sent(outbox, engine, 0, "2026-01-01 00:00:00")
    accepted(ledger, 1)
    outbox.mark_sent(outbox.unsent(0, limit=99))
    assert outbox.forget_lost(0, older_than_s=10) == 2
    assert sorted(ids_of(outbox.unsent(0, limit=99))) == sorted(lost)
    assert outbox.forget_lost(0, older_than_s=10) == 0


def test_a_waiting_job_that_was_sent_when_due_is_sent_again_too(ledger: Ledger, outbox: Outbox, engine: Engine) -> None:
    _, (due, later) = accepted(ledger, 2)
    ledger.finish(claimed(ledger, due), parked(0, rung=1), None)
    ledger.finish(claimed(ledger, later), parked(600, rung=1), None)
    assert _sent(outbox, engine, 1, "2026-01-01 00:00:00") == [due]
    assert [outbox.forget_lost(rung, older_than_s=10) for rung in (0, 1)] == [0, 1]


def test_a_message_that_was_not_heeded_is_sent_again_unless_the_job_is_at_work(ledger: Ledger, outbox: Outbox) -> None:
    _, (idle, busy) = accepted(ledger, 2)
    outbox.mark_sent(outbox.unsent(0, limit=99))
    claimed(ledger, busy)
    for job_id in (idle, busy):
        outbox.unsend(job_id)
    assert ids_of(outbox.unsent(0, limit=99)) == [idle]


def _parked(ledger: Ledger, *ends: Mapping[str, Any]) -> list[str]:
    _, jobs = accepted(ledger, len(ends))
    for job_id, end in zip(jobs, ends, strict=True):
        ledger.finish(claimed(ledger, job_id), parked(600, **{"given_up": {}, "rung": 0, **end}), None)
    return jobs


def _woken(outbox: Outbox, rung: int) -> tuple[int, list[str]]:
    count = outbox.wake(rung, limit=99)
    return count, sorted(ids_of([*outbox.unsent(0, limit=99), *outbox.unsent(1, limit=99)]))


def test_jobs_that_wait_for_a_model_are_made_due_when_it_has_room(ledger: Ledger, outbox: Outbox) -> None:
    own, waits = {"outcome": "limited", "given_up": {0: "limited", 1: "waited"}, "rung": 1}, {"outcome": "full"}
    at_one, at_zero, any_rung, stubborn, fails = _parked(
        ledger,
        own,
        waits,
        {"outcome": "circuit_open"},
        {"outcome": "overloaded", "rounds": 9},
        {"outcome": "bad_request"},
    )
    assert _woken(outbox, 1) == (2, sorted([at_one, any_rung]))
    assert _woken(outbox, 0) == (1, sorted([at_one, any_rung, at_zero]))
    assert {stubborn, fails}.isdisjoint(_woken(outbox, 0)[1])
    assert claimed(ledger, at_one).given_up == {0: "limited", 1: "woken"}


def test_no_more_are_made_due_than_there_is_room_for_and_none_that_is_due_soon(ledger: Ledger, outbox: Outbox) -> None:
    _parked(ledger, *[{"outcome": "limited"}] * 3)
    assert [outbox.wake(0, limit=2) for _ in range(3)] == [2, 1, 0]
    _, (soon,) = accepted(ledger, 1)
    ledger.finish(claimed(ledger, soon), parked(1, outcome="limited", given_up={}, rung=0), None)
    assert outbox.wake(0, limit=9) == 0


def test_due_jobs_are_counted_with_how_late_the_first_of_them_is(ledger: Ledger, outbox: Outbox) -> None:
    assert outbox.due(0, limit=9) == Due(jobs=0, late_s=0)
    _parked(ledger, *[{"outcome": "limited"}] * 3)
    outbox.wake(0, limit=9)
    found = outbox.due(0, limit=2)
    assert (found.jobs, outbox.due(1, limit=2).jobs) == (2, 0)
    assert 0 <= found.late_s < 60
