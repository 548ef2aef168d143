"""People read what happened: progress, answers in order, unique beginnings of ids; on both engines."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.event import listen

from models.errors import NotFoundError
from models.ledger.ledger import Ledger
from models.outcome import Outcome, State
from models.reports.jobs import Reports
from tests.support.ledgers.job_values import (
    accepted,
    answered,
    claimed,
    closing,
    failed,
    failing,
    new_batch,
    new_job,
    opening,
    parked,
    succeeded,
    unknown,
)


def test_progress_counts_jobs_by_state_and_adds_up_their_attempts(ledger: Ledger, reports: Reports) -> None:
    batch_id, (done, refused, waiting, running, _) = accepted(ledger, 5, name="Bridges")
    answered(ledger, done, Outcome.OVERLOADED, Outcome.OVERLOADED)
    ledger.finish(claimed(ledger, refused), failed(), None)
    ledger.finish(claimed(ledger, waiting), parked(60), None)
    claimed(ledger, running)
    progress = reports.progress(batch_id)
    assert (progress.name, progress.job_count, progress.created_at.tzinfo is not None) == ("Bridges", 5, True)
    assert progress.states == {
        State.SUCCEEDED: 1,
        State.FAILED: 1,
        State.WAITING: 1,
        State.RUNNING: 1,
        State.QUEUED: 1,
    }
    assert (progress.finished, progress.succeeded, progress.is_finished) == (2, 1, False)
    assert (progress.attempts, progress.cost_usd, progress.unknown_costs) == (3, Decimal("0.01"), 0)


def test_an_unknown_cost_is_counted_and_never_summed_as_nothing(ledger: Ledger, reports: Reports) -> None:
    batch_id, (job_id, _) = accepted(ledger, 2)
    claim, lost, last = claimed(ledger, job_id), opening(1), opening(2)
    ledger.open_attempt(claim, lost)
    ledger.close_attempt(claim, unknown(lost.id))
    ledger.open_attempt(claim, last)
    ledger.finish(claim, succeeded(), closing(last.id))
    progress = reports.progress(batch_id)
    assert (progress.cost_usd, progress.unknown_costs, progress.attempts) == (Decimal("0.01"), 1, 2)
    with_unknown, without_attempt = reports.answers(batch_id)
    assert with_unknown.cost_usd is None
    assert without_attempt.cost_usd is None or without_attempt.cost_usd == 0
    assert reports.models(batch_id)[0].unknown_costs == 1


def test_an_open_attempt_is_not_yet_an_unknown_cost(ledger: Ledger, reports: Reports) -> None:
    batch_id, (job_id,) = accepted(ledger)
    ledger.open_attempt(claimed(ledger, job_id), opening())
    assert (reports.progress(batch_id).attempts, reports.progress(batch_id).unknown_costs) == (1, 0)


def test_a_batch_that_has_ended_by_its_states_has_all_its_cost(
    engine: Engine, ledger: Ledger, reports: Reports
) -> None:
    batch_id, (job_id,) = accepted(ledger)
    once = [job_id]

    def end_it(*statement: Any) -> None:  # between the reads of states and money, whichever comes first
        if once and ("GROUP BY" in statement[2] or "attempts" in statement[2]):
            answered(ledger, once.pop())

    listen(engine, "after_cursor_execute", end_it)
    progress = reports.progress(batch_id)
    assert once == []
    assert not progress.is_settled or progress.cost_usd == Decimal("0.01")
    assert (reports.progress(batch_id).is_settled, reports.progress(batch_id).cost_usd) == (True, Decimal("0.01"))


def test_money_is_summed_to_the_nano_dollar(ledger: Ledger, reports: Reports) -> None:
    batch_id, ids = accepted(ledger, 3)
    for job_id in ids:
        answered(ledger, job_id, cost_usd=Decimal("123456.123456789"))
    assert reports.progress(batch_id).cost_usd == Decimal("370368.370370367")


def test_answers_come_in_the_order_of_submission_over_many_pages(ledger: Ledger, reports: Reports) -> None:
    batch_id, ids = accepted(ledger, 1_203)
    other, _ = accepted(ledger, 3)
    for job_id in (ids[1_202], ids[0], ids[700]):
        answered(ledger, job_id)
    answers = list(reports.answers(batch_id))
    assert [answer.job_id for answer in answers] == ids
    assert [answer.id for answer in answers] == [str(seq) for seq in range(1, 1_204)]
    assert [n for n, answer in enumerate(answers) if answer.message is not None] == [0, 700, 1_202]
    assert len(list(reports.answers(other))) == 3


@pytest.mark.parametrize("count", [500, 501])
def test_a_batch_that_ends_on_a_page_is_read_to_its_end(ledger: Ledger, reports: Reports, count: int) -> None:
    batch_id, ids = accepted(ledger, count)
    assert [answer.job_id for answer in reports.answers(batch_id)] == ids


def test_an_answer_gives_back_the_inputs_own_columns(ledger: Ledger, reports: Reports) -> None:
    batch_id = ledger.enqueue(new_batch(), [new_job(prompt_id="row-7", columns={"year": "1912"})])
    (answer,) = reports.answers(batch_id)
    assert (answer.id, answer.columns, answer.text, answer.stop_reason) == ("row-7", {"year": "1912"}, None, None)


def test_batches_are_listed_newest_first(ledger: Ledger, reports: Reports) -> None:
    ids = [accepted(ledger)[0] for _ in range(3)]
    assert [progress.batch_id for progress in reports.batches(limit=2)] == ids[:0:-1]


def test_a_batch_is_found_by_its_id_a_beginning_of_it_or_its_name(ledger: Ledger, reports: Reports) -> None:
    batch_id, _ = accepted(ledger, name="Bridges")
    assert reports.batch_id(batch_id) == batch_id
    assert reports.batch_id(batch_id[:8]) == batch_id
    assert reports.batch_id("Bridges") == batch_id


def test_a_job_is_found_by_its_id_a_beginning_of_it_or_its_prompts_id(ledger: Ledger, reports: Reports) -> None:
    job = new_job(prompt_id="row-7")
    ledger.enqueue(new_batch(), [job])
    assert reports.job_id(job.id) == job.id
    assert reports.job_id(job.id[:9]) == job.id
    assert reports.job_id("row-7") == job.id


@pytest.mark.parametrize("beginning", ["zzz", "%", "_", "row%"])
def test_what_nobody_has_is_not_found(ledger: Ledger, reports: Reports, beginning: str) -> None:
    accepted(ledger)
    for find in (reports.batch_id, reports.job_id):
        with pytest.raises(NotFoundError, match=r"no (batch|job) is called or begins with .*`stepdown ls`"):
            find(beginning)


def test_a_beginning_of_two_ids_is_refused(ledger: Ledger, reports: Reports) -> None:
    ledger.enqueue(new_batch(id="0197aa-1"), [new_job(1, id="0197bb-1")])
    ledger.enqueue(new_batch(id="0197aa-2"), [new_job(1, id="0197bb-2")])
    with pytest.raises(NotFoundError, match="more than one batch is called or begins with '0197aa'"):
        reports.batch_id("0197aa")
    with pytest.raises(NotFoundError, match="more than one job is called or begins with '0197bb'"):
        reports.job_id("0197bb")


def test_a_name_two_batches_have_is_refused_as_such(ledger: Ledger, reports: Reports) -> None:
    accepted(ledger, name="Bridges")
    accepted(ledger, name="Bridges")
    with pytest.raises(NotFoundError, match="more than one batch is called"):
        reports.batch_id("Bridges")
    with pytest.raises(NotFoundError, match="more than one job is called"):
        reports.job_id("1")


def test_a_batch_or_a_job_that_is_gone_is_not_found(reports: Reports) -> None:
    with pytest.raises(NotFoundError, match="no batch has the id"):
        reports.progress("0197-unknown")


def test_attempts_are_told_in_their_order(ledger: Ledger, reports: Reports) -> None:
    _, (job_id,) = accepted(ledger)
    claim = claimed(ledger, job_id)
    for number in range(1, 12):
        attempt = opening(number)
        ledger.open_attempt(claim, attempt)
        ledger.close_attempt(claim, failing(attempt.id))
    assert [row["attempt_no"] for row in reports.attempts(job_id)] == list(range(1, 12))
