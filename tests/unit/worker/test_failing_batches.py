"""When a batch is paused: many jobs of it in a row failed alike."""

from models.outcome import Outcome
from tests.support.ledgers.job_values import failed, parked, succeeded
from worker.failing_batches import FailingBatches

_BAD = failed()
_OTHER = failed(outcome=Outcome.TOO_LONG)


def test_the_same_failure_in_a_row_pauses_a_batch_once() -> None:
    failing_batches = FailingBatches(pause_after=3)
    reported = [failing_batches.note("batch-1", _BAD) for _ in range(5)]
    assert [message is not None for message in reported] == [False, False, True, False, False]
    assert reported[2] is not None
    assert reported[2].startswith(
        "3 jobs in a row ended bad_request, the last one with: bad_request: no; stepdown release"
    )


def test_another_failure_or_an_answer_begins_again_and_waiting_counts_for_nothing() -> None:
    for between in (_OTHER, succeeded()):
        failing_batches = FailingBatches(pause_after=3)
        ends = [_BAD, _BAD, between, _BAD, parked(1), _BAD]
        assert [failing_batches.note("batch-1", end) for end in ends] == [None] * 6
        assert failing_batches.note("batch-1", _BAD) is not None


def test_batches_are_counted_apart_and_calls_without_one_not_at_all() -> None:
    failing_batches = FailingBatches(pause_after=2)
    assert [failing_batches.note(batch, _BAD) for batch in ("one", "two", None, None, None)] == [None] * 5
    assert failing_batches.note("two", _BAD) is not None


def test_zero_never_pauses() -> None:
    failing_batches = FailingBatches(pause_after=0)
    assert [failing_batches.note("batch-1", _BAD) for _ in range(9)] == [None] * 9
