"""Which jobs are sent again because their message was lost; on both engines."""

from sqlalchemy import Engine, text

from models.ledger import Ledger
from models.outbox import Outbox
from tests.given import accepted, claimed, ids_of, parked


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
