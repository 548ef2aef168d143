"""A job that fails again between good ends of others tells of itself, and many such jobs tell of the model."""

from tests.support.plays.admission_scripts import Clock
from worker.admission.own_measurements import RepeatedFailures


def _known(clock: Clock) -> RepeatedFailures:
    failures = RepeatedFailures(clock)
    failures.add("opus", "other", "well")
    return failures


def test_a_first_failure_is_nobodys_fault() -> None:
    failures = _known(Clock())
    assert not failures.has_failed("opus", "one")
    assert not failures.add("opus", "one", "server_error")
    assert failures.has_failed("opus", "one")
    assert not failures.has_failed("haiku", "one")


def test_a_job_that_fails_again_while_others_end_well_is_at_fault() -> None:
    failures = _known(Clock())
    assert [failures.add("opus", "one", "server_error") for _ in range(20)] == [False, *[True] * 19]


def test_a_job_that_ended_well_since_is_believed_again() -> None:
    failures = _known(Clock())
    failures.add("opus", "one", "server_error")
    failures.add("opus", "one", "well")
    assert not failures.add("opus", "one", "server_error")


def test_a_call_that_did_not_leave_changes_nothing() -> None:
    failures = _known(Clock())
    failures.add("opus", "one", "server_error")
    failures.add("opus", "one", "not_sent")
    assert failures.has_failed("opus", "one")


def test_without_recent_good_ends_it_is_the_model() -> None:
    clock = Clock()
    failures = _known(clock)
    failures.add("opus", "one", "server_error")
    clock.pass_s(60)
    assert not failures.add("opus", "one", "server_error")


def test_more_than_ten_jobs_that_fail_again_tell_of_the_model() -> None:
    clock = Clock()
    failures = _known(clock)
    for number in range(12):
        failures.add("opus", f"{number}", "server_error")
    clock.pass_s(1)
    failures.add("opus", "other", "well")
    assert [failures.add("opus", f"{number}", "server_error") for number in range(12)] == [*[True] * 10, False, False]


def test_a_failure_is_known_for_an_hour() -> None:
    clock = Clock()
    failures = _known(clock)
    failures.add("opus", "one", "server_error")
    clock.pass_s(3_601)
    assert not failures.has_failed("opus", "one")


def test_the_oldest_of_ten_thousand_jobs_is_forgotten() -> None:
    failures = _known(Clock())
    for number in range(10_001):
        failures.add("opus", f"{number}", "server_error")
    assert (failures.has_failed("opus", "0"), failures.has_failed("opus", "1")) == (False, True)
