"""The ledger knows which jobs have no message, and in which order they get one; on both engines."""

from models.job.values import Unsent
from models.ledger.job_actions import JobActions
from models.ledger.ledger import Ledger
from models.ledger.outbox import Outbox
from models.outcome import State
from models.reports.jobs import Reports
from tests.support.ledgers.job_values import accepted, answered, claimed, ids_of, parked


def _wait(ledger: Ledger, job_id: str, due_in_s: float, rung: int = 0) -> None:
    assert ledger.finish(claimed(ledger, job_id), parked(due_in_s, rung=rung), None)


def test_accepted_jobs_have_no_message_until_it_is_marked(ledger: Ledger, reports: Reports, outbox: Outbox) -> None:
    _, ids = accepted(ledger, 3)
    unsent = outbox.unsent(0, limit=10)
    assert ids_of(unsent) == ids
    outbox.mark_sent(unsent[:2])
    assert ids_of(outbox.unsent(0, limit=10)) == ids[2:]
    assert reports.job(ids[0])["sent_at"] is not None


def test_a_small_batch_is_not_starved_by_a_large_one_before_it(ledger: Ledger, outbox: Outbox) -> None:
    _, large = accepted(ledger, 50)
    _, small = accepted(ledger, 2)
    assert set(ids_of(outbox.unsent(0, limit=4))) == {*large[:2], *small}


def test_what_is_due_goes_first_the_longest_due_before_the_others(ledger: Ledger, outbox: Outbox) -> None:
    _, (one, two, three, fresh) = accepted(ledger, 4)
    _wait(ledger, two, -20)
    _wait(ledger, one, -10)
    _wait(ledger, three, 3600)
    assert ids_of(outbox.unsent(0, limit=10)) == [two, one, fresh]
    assert ids_of(outbox.unsent(0, limit=1)) == [two]
    assert ids_of(outbox.unsent(0, limit=2)) == [two, one]


def test_a_job_is_sent_to_the_rung_it_has_reached(ledger: Ledger, outbox: Outbox) -> None:
    _, (job_id,) = accepted(ledger)
    _wait(ledger, job_id, 0, rung=2)
    assert outbox.unsent(0, limit=10) == []
    assert outbox.unsent(2, limit=10) == [Unsent(id=job_id, rung=2, deliveries=1)]


def test_running_and_finished_jobs_need_no_message(ledger: Ledger, outbox: Outbox, job_actions: JobActions) -> None:
    batch_id, (running, done, _) = accepted(ledger, 3)
    claimed(ledger, running)
    answered(ledger, done)
    job_actions.cancel(batch_id)
    assert outbox.unsent(0, limit=10) == []


def test_a_job_parked_between_sending_and_marking_is_sent_again(ledger: Ledger, outbox: Outbox) -> None:
    _, (job_id,) = accepted(ledger)
    sent = outbox.unsent(0, limit=1)
    _wait(ledger, job_id, 0)  # its message was heard, and it was parked
    outbox.mark_sent(sent)
    assert outbox.unsent(0, limit=10) == [Unsent(id=job_id, rung=0, deliveries=1)]


def test_a_job_that_ended_between_sending_and_marking_stays_as_it_is(
    ledger: Ledger, reports: Reports, outbox: Outbox
) -> None:
    _, (job_id,) = accepted(ledger)
    sent = outbox.unsent(0, limit=1)
    answered(ledger, job_id)
    before = reports.job(job_id)
    assert before["state"] == State.SUCCEEDED
    outbox.mark_sent(sent)
    assert reports.job(job_id) == before


def test_jobs_of_a_longer_chain_come_to_the_last_rung_of_this_one(
    ledger: Ledger, reports: Reports, outbox: Outbox
) -> None:
    _, (job_id,) = accepted(ledger)
    (unsent,) = outbox.unsent(0, limit=9)
    outbox.mark_sent([unsent])
    assert outbox.fit_to_chain(rungs=1) == 0
    assert outbox.unsent(0, limit=9) == []
    claim = claimed(ledger, job_id)
    ledger.finish(claim, parked(0.0, rung=2), None)
    assert outbox.fit_to_chain(rungs=2) == 1
    assert ids_of(outbox.unsent(1, limit=9)) == [job_id]
    assert reports.job(job_id)["rung"] == 1
