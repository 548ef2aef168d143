"""A tenth of a worker's requests may be retries, beside a few."""

from tests.support.plays.admission_scripts import Clock
from worker.admission.retry_budget import RetryBudget


def _spent(budget: RetryBudget) -> int:
    count = 0
    while budget.has_room():
        budget.add(is_retry=True)
        count += 1
    return count


def test_a_few_retries_need_no_other_requests() -> None:
    assert 10 <= _spent(RetryBudget(Clock())) <= 12


def test_a_tenth_of_all_requests_may_be_retries() -> None:
    budget = RetryBudget(Clock())
    for _ in range(1_000):
        budget.add(is_retry=False)
    assert 110 <= _spent(budget) <= 125


def test_retries_are_forgotten_as_time_passes() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    _spent(budget)
    clock.pass_s(60)
    assert budget.has_room()


def test_figures_tell_a_person_why() -> None:
    budget = RetryBudget(Clock())
    budget.add(is_retry=True)
    assert budget.details() == {"retries": 1.0, "requests": 1.0}
