"""The real ledger, on both engines, and the one in memory keep the same promises to the worker."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import pytest
from sqlalchemy import Engine

from models.job.values import Cap, Claim, Closing, Ending, NewJob, Opening, OverCap
from models.ledger.job_actions import JobActions
from models.ledger.ledger import Ledger
from models.outcome import Outcome, Reason, State
from models.reports.jobs import Reports
from tests.support.ledgers.job_values import (
    LEASE_S,
    closing,
    failed,
    failing,
    message,
    new_batch,
    new_job,
    opening,
    parked,
    succeeded,
    unknown,
)
from tests.support.ledgers.memory_ledger import MemoryAttempt, MemoryLedger
from tests.support.servers.fixtures import opened

_Closed = tuple[int, str | None, Decimal | None]


class _Worked(Protocol):
    """The operations that a worker writes."""

    def claim(self, job_id: str, *, lease_s: float) -> Claim | None: ...
    def open_attempt(self, claim: Claim, opening: Opening) -> bool | OverCap: ...
    def over_cap(self, opening: Opening) -> OverCap | None: ...
    def close_attempt(self, claim: Claim, closing: Closing) -> None: ...
    def finish(self, claim: Claim, ending: Ending, closing: Closing | None) -> Ending | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A ledger, and how a test puts jobs in and looks at what became of them."""

    ledger: _Worked
    add: Callable[[NewJob], object]
    cancel: Callable[[str], object]
    state: Callable[[str], State]
    attempts: Callable[[str], list[_Closed]]  # number, outcome, cost
    answer: Callable[[str], Any]

    def claimed(self, job_id: str) -> Claim:
        """Claim a job that can be claimed."""
        claim = self.ledger.claim(job_id, lease_s=LEASE_S)
        assert claim is not None
        return claim

    def started(self) -> tuple[str, Claim]:
        """Add a job and claim it."""
        job = new_job()
        self.add(job)
        return job.id, self.claimed(job.id)


def _in_memory() -> Book:
    ledger = MemoryLedger()

    def closed(kept: MemoryAttempt) -> _Closed:
        end = kept.closing
        return (kept.opening.number, end.outcome if end else None, end.cost_usd if end else None)

    def answer(job_id: str) -> Any:
        ending = ledger.jobs[job_id].ending
        return ending and ending.message

    return Book(
        ledger=ledger,
        add=ledger.add,
        cancel=ledger.cancel,
        state=lambda job_id: ledger.jobs[job_id].state,
        attempts=lambda job_id: [closed(kept) for kept in ledger.attempts_of(job_id)],
        answer=answer,
    )


def _in_sql(engine: Engine) -> Book:
    ledger, job_actions, reports = Ledger(engine, worker="here"), JobActions(engine), Reports(engine)

    def batch_of(job_id: str) -> str:
        return str(reports.job(job_id)["batch_id"])

    return Book(
        ledger=ledger,
        add=lambda job: ledger.enqueue(new_batch(), [job]),
        cancel=lambda job_id: job_actions.cancel(batch_of(job_id)),
        state=lambda job_id: State(reports.job(job_id)["state"]),
        attempts=lambda job_id: [
            (row["attempt_no"], row["outcome"], row["cost_nano_usd"]) for row in reports.attempts(job_id)
        ],
        answer=lambda job_id: next(reports.answers(batch_of(job_id))).message,
    )


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def book(request: pytest.FixtureRequest) -> Iterator[Book]:
    """Open each of the ledgers in turn."""
    if request.param == "memory":
        yield _in_memory()
        return
    with opened(request.getfixturevalue(f"{request.param}_url")) as engine:
        yield _in_sql(engine)


def test_a_claim_tells_the_job_as_it_was_accepted(book: Book) -> None:
    job = new_job(prompt_id="row-7", task="summarize")
    book.add(job)
    claim = book.claimed(job.id)
    assert (claim.job_id, claim.prompt_id, claim.task, claim.token) == (job.id, "row-7", "summarize", 1)
    assert (claim.params, claim.span, claim.rung, claim.given_up) == (job.params, job.span, 0, {})
    assert claim.deadline_s == pytest.approx(86_400, abs=10)
    assert book.state(job.id) is State.RUNNING


def test_a_job_is_claimed_once(book: Book) -> None:
    job_id, _ = book.started()
    assert book.ledger.claim(job_id, lease_s=LEASE_S) is None
    assert book.ledger.claim("unknown", lease_s=LEASE_S) is None


def test_an_attempt_is_there_before_its_request(book: Book) -> None:
    job_id, claim = book.started()
    assert book.ledger.open_attempt(claim, opening(1))
    assert book.attempts(job_id) == [(1, None, None)]


def test_what_is_gone_leaves_no_room_under_a_cap_and_what_is_in_flight_may_yet(book: Book) -> None:
    (_, claim), caps = book.started(), (Cap(scope="day", cap_usd=Decimal("0.015")),)
    first, second = (opening(number, caps=caps, worst_case_usd=Decimal("0.01")) for number in (1, 2))
    assert book.ledger.over_cap(first) is None
    assert book.ledger.open_attempt(claim, first) is True
    assert isinstance(book.ledger.open_attempt(claim, second), OverCap)
    assert book.ledger.over_cap(second) is None
    book.ledger.close_attempt(claim, closing(first.id))
    over = book.ledger.over_cap(second)
    assert isinstance(over, OverCap)
    assert over == book.ledger.open_attempt(claim, second)
    dear = opening(2, caps=(Cap(scope="tree:new", cap_usd=Decimal("0.015")),), worst_case_usd=Decimal(1))
    over = book.ledger.over_cap(dear)
    assert over is not None
    assert (over.cap.scope, over.gone_usd, over.needs_usd) == ("tree:new", Decimal(0), Decimal(1))


def test_a_walk_closes_each_attempt_and_keeps_the_answer(book: Book) -> None:
    job_id, claim = book.started()
    first, second = opening(1), opening(2, rung=1, reason=Reason.FALLBACK)
    assert book.ledger.open_attempt(claim, first)
    book.ledger.close_attempt(claim, failing(first.id))
    assert book.ledger.open_attempt(claim, second)
    assert book.ledger.finish(claim, succeeded(), closing(second.id))
    assert book.attempts(job_id) == [(1, "overloaded", Decimal(0)), (2, "answered", Decimal("0.01"))]
    assert (book.state(job_id), book.answer(job_id)) == (State.SUCCEEDED, message())


def test_a_parked_job_comes_back_when_it_is_due_and_remembers(book: Book) -> None:
    job_id, claim = book.started()
    first = opening(1)
    book.ledger.open_attempt(claim, first)
    assert book.ledger.finish(claim, parked(0, rung=2, given_up={0: "overloaded"}, rounds=3), failing(first.id))
    assert book.state(job_id) is State.WAITING
    again = book.claimed(job_id)
    assert (again.token, again.rung, again.given_up, again.rounds) == (2, 2, {0: "overloaded"}, 3)
    assert again.attempt_count == 1


def test_a_parked_job_does_not_come_back_before(book: Book) -> None:
    job_id, claim = book.started()
    assert book.ledger.finish(claim, parked(3600), None)
    assert book.ledger.claim(job_id, lease_s=LEASE_S) is None


@pytest.mark.parametrize("how", ["cancelled", "taken over", "finished"])
def test_a_job_that_is_no_longer_ours_takes_nothing_but_the_cost(book: Book, how: str) -> None:
    job_id, claim = book.started()
    late = opening(1)
    assert book.ledger.open_attempt(claim, late)
    if how == "cancelled":
        book.cancel(job_id)
    else:
        book.ledger.finish(claim, parked(0) if how == "taken over" else failed(), None)
        book.ledger.claim(job_id, lease_s=LEASE_S)
    before = book.state(job_id)
    assert not book.ledger.open_attempt(claim, opening(2))
    assert not book.ledger.finish(claim, succeeded(), closing(late.id))
    assert book.attempts(job_id) == [(1, Outcome.LATE, Decimal("0.01"))]
    assert (book.state(job_id), book.answer(job_id)) == (before, None)


def test_a_closed_attempt_is_never_changed(book: Book) -> None:
    job_id, claim = book.started()
    first = opening(1)
    book.ledger.open_attempt(claim, first)
    book.ledger.close_attempt(claim, unknown(first.id))
    assert book.ledger.finish(claim, failed(), closing(first.id))
    assert book.attempts(job_id) == [(1, "timed_out", None)]


def test_an_ended_job_is_not_cancelled(book: Book) -> None:
    job_id, claim = book.started()
    book.ledger.finish(claim, failed(), None)
    book.cancel(job_id)
    assert book.state(job_id) is State.FAILED
