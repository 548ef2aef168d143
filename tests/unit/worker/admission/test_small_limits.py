"""Small limits and requests of any size: some job makes progress, or each waiting job says until when and why."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.outcome import State
from producer.simulator.account.buckets import Limits
from tests.support.plays.small_limits import Play, Task, play
from tests.support.plays.walk_scene import HAIKU, OPUS, SONNET

pytestmark = pytest.mark.slow
_CHAIN = (OPUS, SONNET, HAIKU)
_LATE_S = 5.0  # a job whose time has come is sent so soon
_TIER_1 = Limits(requests_per_minute=50, input_tokens_per_minute=30_000, output_tokens_per_minute=8_000)


def _limits() -> st.SearchStrategy[Limits]:
    return st.builds(
        Limits,
        requests_per_minute=st.sampled_from([1, 5, 50, 4_000]),
        input_tokens_per_minute=st.sampled_from([100, 2_000, 20_000, 400_000]),
        output_tokens_per_minute=st.sampled_from([50, 1_000, 8_000, 80_000]),
    )


def _tasks() -> st.SearchStrategy[Task]:
    return st.builds(
        Task,
        reads=st.sampled_from([10, 90, 1_900, 17_000, 30_000]),
        writes=st.sampled_from([1, 40, 200, 900, 7_000]),
        max_tokens=st.sampled_from([16, 1_024, 32_000]),
    )


def _check_waits(running: Play) -> None:
    for job_id, job in running.site.open_jobs:
        if job.state is State.WAITING:
            assert job.due_at is not None
            assert job.due_at >= running.looked_at_s - _LATE_S, f"{job_id} waits for a time that is past"
            assert job.ending is not None
            assert job.ending.error, f"{job_id} does not say why it waits"


def _run(running: Play, *, most_s: float, more_s: Callable[[], float] = lambda: 0.0) -> float:
    """Play until every job has ended; return the seconds it took."""
    while running.site.open_jobs:
        running.tick()
        _check_waits(running)
        assert running.site.clock.now_s <= most_s + more_s(), running.site.open_jobs
    return running.site.clock.now_s


@given(
    st.integers(1, 3).flatmap(lambda rungs: st.lists(_limits(), min_size=rungs, max_size=rungs)),
    st.lists(_tasks(), min_size=1, max_size=8),
)
@settings(max_examples=30)
def test_whatever_the_limits_and_the_requests_every_job_ends_or_says_until_when_it_waits(
    limits: list[Limits], tasks: list[Task]
) -> None:
    running = play(tasks, limits, _CHAIN[: len(limits)])
    # A cut answer is written again, longer or by a better model: the answers count, and not the jobs.
    _run(running, most_s=600, more_s=lambda: running.api.refills_s)
    for job in running.site.ledger.jobs.values():
        number = int(job.new.prompt_id)
        fits = any(tasks[number].reads <= (limit.input_tokens_per_minute or 0) for limit in limits)
        assert job.ending is not None
        assert job.state is (State.SUCCEEDED if fits else State.FAILED), (job.ending.outcome, job.ending.error)


def test_generous_max_tokens_under_a_small_output_limit_stop_nothing() -> None:
    tasks = [Task(reads=100, writes=200, max_tokens=32_000)] * 60
    running = play(tasks, [_TIER_1] * 3, _CHAIN)
    assert _run(running, most_s=300) < 180
    assert sum(status == 429 for _, status in running.api.calls) <= 6


def test_answers_larger_than_a_minutes_output_are_bought_one_by_one() -> None:
    tasks = [Task(reads=10, writes=100, max_tokens=1_000)] * 36
    running = play(tasks, [Limits(output_tokens_per_minute=50)], (OPUS,))
    assert _run(running, most_s=36 * 120 + 600) > 30 * 120
    assert all(job.state is State.SUCCEEDED for job in running.site.ledger.jobs.values())


def test_documents_near_the_input_limit_go_one_after_the_other() -> None:
    tasks = [Task(reads=17_000, writes=100, max_tokens=1_000)] * 4
    limits = Limits(input_tokens_per_minute=20_000)
    running = play(tasks, [limits], (OPUS,))
    assert _run(running, most_s=300) <= 4 * 60
    assert all(job.state is State.SUCCEEDED for job in running.site.ledger.jobs.values())


def test_a_document_above_every_models_limit_is_told_so() -> None:
    tasks = [Task(reads=30_000, writes=100, max_tokens=1_000), Task(reads=100, writes=100, max_tokens=1_000)]
    small, larger = Limits(input_tokens_per_minute=12_000), Limits(input_tokens_per_minute=20_000)
    running = play(tasks, [small, larger], (OPUS, SONNET))
    _run(running, most_s=300)
    reported, fine = (running.site.ledger.jobs[f"job-{number}"] for number in (0, 1))
    assert (reported.state, fine.state) == (State.FAILED, State.SUCCEEDED)
    assert reported.ending is not None
    assert reported.ending.outcome == "over_limit"
    assert "no model of the chain takes more than 20,000 a minute" in (reported.ending.error or "")
