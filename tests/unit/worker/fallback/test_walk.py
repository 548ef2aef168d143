"""One job down (or up) its chain: which models are asked, why, how often, and what is written down."""

import pytest

from models.chain.chain import RungRange
from models.job.values import Claim, Opening, OverCap
from models.outcome import Outcome, State
from tests.support.ledgers.memory_ledger import MemoryLedger
from tests.support.plays.walk_scene import CHAIN, HAIKU, OPUS, PARAMS, SONNET, HandClock, scene
from worker.events import AttemptClosed, JobEnded, JobLost, KeyPaused
from worker.fallback.wait_or_step import KEY_PAUSED

_CLIMBS = frozenset({Outcome.TRUNCATED, Outcome.REFUSED})

_PREFILLED = {**PARAMS, "messages": [*PARAMS["messages"], {"role": "assistant", "content": "{"}]}  # type: ignore[misc]


def test_two_overloaded_models_make_an_answer_of_depth_two() -> None:
    job = scene("529", "529", "ok")
    walked = job.walk()
    assert job.provider.calls == [OPUS, SONNET, HAIKU]
    assert job.story() == [
        (1, "start", 0, "overloaded"),
        (2, "fallback", 1, "overloaded"),
        (3, "fallback", 2, "answered"),
    ]
    assert job.job.state == State.SUCCEEDED
    assert walked.ending is not None
    assert (walked.ending.model_used, walked.ending.fallback_depth) == (HAIKU, 2)
    assert walked.ending.message is not None
    assert [closing.outcome for closing in walked.attempts] == ["overloaded", "overloaded", "answered"]


@pytest.mark.parametrize("word", ["500", "504", "unreachable"])
def test_what_may_pass_at_once_is_tried_once_more_on_the_same_rung(word: str) -> None:
    job = scene(word, word, "ok")
    job.walk()
    assert job.provider.calls == [OPUS, OPUS, SONNET]
    assert [reason for _, reason, _, _ in job.story()] == ["start", "retry", "fallback"]


def test_a_retry_that_works_has_no_depth() -> None:
    job = scene("500", "ok")
    job.walk()
    assert job.story()[1] == (2, "retry", 0, "answered")


def test_retries_are_counted_anew_on_every_rung() -> None:
    job = scene("500", "500", "500", "500", "500", "500")
    job.walk()
    assert job.provider.calls == [OPUS, OPUS, SONNET, SONNET, HAIKU, HAIKU]
    assert job.job.state == State.WAITING


@pytest.mark.parametrize("word", ["400", "413", "refusal"])
def test_what_no_model_cures_is_asked_once_and_fails(word: str) -> None:
    job = scene(word)
    job.walk()
    assert job.provider.calls == [OPUS]
    assert job.job.state == State.FAILED


@pytest.mark.parametrize("word", ["401", "402", "403", "spend"])
def test_trouble_with_the_key_is_asked_once_and_waits(word: str) -> None:
    job = scene(word)
    job.walk()
    assert job.provider.calls == [OPUS]
    assert (job.job.state, job.job.due_at, dict(job.job.given_up)) == (State.WAITING, 60, {})
    paused = [event for event in job.events if isinstance(event, KeyPaused)]
    assert [event.for_s for event in paused] == [60]


def test_a_job_without_time_pauses_the_key_for_everybody_else() -> None:
    job = scene("401")
    job.walk(time_left_s=0)
    assert job.job.state == State.FAILED
    assert [ended.how for ended in job.admission.ends] == ["key_refused"]


def test_while_the_key_is_paused_no_attempt_is_made() -> None:
    job = scene(held=["paused:42"])
    job.walk()
    assert (job.provider.calls, job.attempts) == ([], [])
    assert job.job.ending is not None
    assert (job.job.state, job.job.ending.outcome, job.job.due_at) == (State.WAITING, KEY_PAUSED, 42)


def test_a_job_that_was_parked_before_any_call_starts_when_it_comes_back() -> None:
    clock = HandClock()
    job = scene(clock=clock, held=["paused:42"])
    job.walk()
    clock.now_s = 42
    job.walk()
    assert job.story() == [(1, "start", 0, "answered")]


def test_a_paused_key_fails_a_job_that_has_no_time_to_wait() -> None:
    job = scene(held=["paused:42"])
    job.walk(time_left_s=42)
    assert (job.provider.calls, job.job.state) == ([], State.FAILED)


def test_an_answer_after_a_pause_is_told_to_everybody() -> None:
    clock = HandClock()
    job = scene("401", "ok", clock=clock)
    job.walk()
    clock.now_s = 60
    job.walk()
    assert [ended.how for ended in job.admission.ends] == ["key_refused", "well"]
    assert job.story() == [(1, "start", 0, "unauthorized"), (2, "resume", 0, "answered")]


def test_a_rung_the_request_does_not_fit_is_passed_over_without_a_request() -> None:
    job = scene(chain=(OPUS, HAIKU), params=_PREFILLED)
    walked = job.walk()
    assert job.provider.calls == [HAIKU]
    assert job.story() == [(1, "fallback", 0, "answered")]  # nothing was given up: opus was never on the way
    assert walked.ending is not None
    assert dict(walked.ending.given_up) == {0: "unfit"}


def test_a_request_is_sent_as_its_model_takes_it_and_the_row_says_what_was_done() -> None:
    job = scene(
        "529", params={**PARAMS, "temperature": 0.5, "max_tokens": 130_000}, span=RungRange(start=0, floor=2, ceiling=0)
    )
    job.walk()
    opus, sonnet = (attempt.opening for attempt in job.attempts)
    assert (opus.max_tokens, sonnet.max_tokens) == (128_000, 128_000)
    assert str(opus.note).endswith(f"temperature dropped: {OPUS} takes none")
    as_older = "sent as version 2023-06-01 of the API, which takes temperature"
    assert sonnet.note == f"max_tokens 130000 capped: {SONNET} writes at most 128000; {as_older}"
    assert job.provider.headers == [{}, {"anthropic-version": "2023-06-01"}]
    assert job.job.new.params["temperature"] == 0.5


def test_a_request_that_fits_no_rung_fails_without_a_request() -> None:
    job = scene(chain=(OPUS,), params=_PREFILLED)
    job.walk()
    assert (job.provider.calls, job.attempts) == ([], [])
    assert job.job.ending is not None
    assert job.job.ending.error is not None
    assert "takes no prefill" in job.job.ending.error


def test_a_parked_job_resumes_where_it_was_and_goes_on_counting() -> None:
    clock = HandClock()
    job = scene("cut", "429:3", "ok", clock=clock)
    job.walk()
    assert (job.job.state, job.job.rung, job.job.due_at) == (State.WAITING, 1, 3)
    clock.now_s = 3
    job.walk()
    assert job.provider.calls == [OPUS, SONNET, SONNET]
    assert job.story() == [(1, "start", 0, "cut"), (2, "fallback", 1, "rate_limited"), (3, "resume", 1, "answered")]


def test_after_a_round_in_vain_only_what_failed_for_free_is_asked_again() -> None:
    clock = HandClock()
    job = scene("529", "timed_out", "529", "529", "529", "ok", clock=clock)
    job.walk()
    assert (job.job.state, job.job.rounds, dict(job.job.given_up)) == (State.WAITING, 1, {1: "timed_out"})
    for _ in range(2):
        clock.now_s += 10
        job.walk()
    assert job.provider.calls == [OPUS, SONNET, HAIKU, OPUS, HAIKU, OPUS]


def test_from_the_cheapest_it_goes_up_once_nothing_is_left_below() -> None:
    job = scene("529", "529", span=RungRange(start=2, floor=2, ceiling=0))
    job.walk()
    assert job.provider.calls == [HAIKU, SONNET, OPUS]
    assert [(reason, depth) for _, reason, depth, _ in job.story()] == [("start", 0), ("fallback", 1), ("fallback", 2)]


def test_for_quality_it_climbs_where_it_may() -> None:
    job = scene("refusal", "ok", span=RungRange(start=1, floor=2, ceiling=0), climbs=_CLIMBS)
    job.walk()
    assert job.provider.calls == [SONNET, OPUS]
    assert job.story()[1] == (2, "climb", 1, "answered")


def test_a_truncated_answer_is_kept_and_flagged() -> None:
    walked = scene("max_tokens").walk()
    assert walked.ending is not None
    assert (walked.ending.state, walked.ending.is_truncated) == (State.SUCCEEDED, True)


@pytest.mark.parametrize("above", ["529", "429:3", "cut", "400", "refusal", "401"])
def test_a_truncated_answer_is_kept_where_nothing_better_comes_of_the_climb(above: str) -> None:
    climbs = _CLIMBS - {Outcome.REFUSED}
    job = scene("max_tokens", "max_tokens", above, span=RungRange(start=1, floor=1, ceiling=0), climbs=climbs)
    walked = job.walk()
    assert job.provider.calls == [SONNET, SONNET, OPUS]
    assert walked.ending is not None
    assert (walked.ending.state, walked.ending.is_truncated) == (State.SUCCEEDED, True)
    assert (walked.ending.model_used, walked.ending.fallback_depth) == (SONNET, 0)
    assert [attempt.closing is None for attempt in job.attempts] == [False, False, False]


def test_an_outcome_is_what_a_model_said_where_the_rest_was_passed_over() -> None:
    job = scene("529", chain=(HAIKU, OPUS), params=_PREFILLED)
    job.walk()
    assert job.job.ending is not None
    assert (job.job.state, job.job.ending.outcome) == (State.WAITING, "overloaded")


def test_a_request_that_fits_no_rung_fails_as_unfit() -> None:
    job = scene(chain=(OPUS,), params=_PREFILLED)
    job.walk()
    assert job.job.ending is not None
    assert (job.job.state, job.job.ending.outcome) == (State.FAILED, "unfit")


def test_a_model_that_says_one_second_for_ever_is_left_after_one_wait() -> None:
    clock = HandClock()
    job = scene("429:1", "429:1", "ok", clock=clock)
    job.walk()
    clock.now_s = 1
    job.walk()
    assert job.provider.calls == [OPUS, OPUS, SONNET]
    assert job.story()[-1] == (3, "fallback", 1, "answered")


def test_a_job_of_a_longer_chain_fits_into_a_shorter_one() -> None:
    job = scene("529", chain=CHAIN[:2], span=RungRange(start=2, floor=4, ceiling=1))
    job.walk()
    assert job.provider.calls == [SONNET]
    assert job.job.state == State.WAITING


class _Overtaken(MemoryLedger):
    """Loses its job to somebody else when the attempt `lost_at` is opened."""

    lost_at = 1

    def open_attempt(self, claim: Claim, opening: Opening) -> bool | OverCap:
        if opening.number == self.lost_at:
            self.cancel(claim.job_id)
        return super().open_attempt(claim, opening)


@pytest.mark.parametrize("lost_at", [1, 2])
def test_a_job_that_is_no_longer_ours_is_not_called(lost_at: int) -> None:
    ledger = _Overtaken()
    ledger.lost_at = lost_at
    job = scene("529", "ok", ledger=ledger)
    walked = job.walk()
    assert walked.ending is None
    assert len(job.provider.calls) == len(job.attempts) == len(walked.attempts) == lost_at - 1
    assert all(attempt.closing is not None for attempt in job.attempts)
    assert isinstance(job.events[-1], JobLost)


def test_a_job_that_is_cancelled_during_its_call_keeps_the_cost_and_no_answer() -> None:
    job = scene("ok")
    job.provider.meanwhile = lambda: job.ledger.cancel(job.job_id)
    walked = job.walk()
    assert (walked.ending, job.job.state, job.job.ending) == (None, State.CANCELLED, None)
    (attempt,) = job.attempts
    assert attempt.closing is not None
    assert attempt.closing.outcome == Outcome.LATE
    assert attempt.closing.cost_usd


def test_events_tell_each_attempt_and_the_end() -> None:
    job = scene("529", "ok")
    job.walk()
    assert [type(event) for event in job.events] == [AttemptClosed, AttemptClosed, JobEnded]
