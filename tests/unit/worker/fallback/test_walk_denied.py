"""A job whose models may not be called now: what is waited for, passed over or parked, and what is written of it."""

from dataclasses import replace
from typing import Any

import pytest

from models.chain.chain import RungRange
from models.errors import LedgerError
from models.job.values import Claim, Opening, OverCap
from models.outcome import Outcome, State
from tests.support.ledgers.memory_ledger import MemoryLedger
from tests.support.plays.walk_scene import CHAIN, HAIKU, OPUS, SONNET, HandClock, Scene, scene
from worker.events import KeyPaused

_AT_OPUS = RungRange(start=0, floor=0, ceiling=0)


def _decisions(job: Scene) -> list[tuple[str, str, str]]:
    ending = job.job.ending
    assert ending is not None
    return [(reported.decision, reported.model, reported.reason) for reported in ending.decisions]


def test_a_model_that_is_cooling_is_passed_over_without_a_request() -> None:
    job = scene(held=["circuit_open:4"])
    job.walk()
    assert job.provider.calls == [SONNET]
    assert job.story() == [(1, "fallback", 1, "answered")]  # it was given up, though nobody asked it
    assert _decisions(job) == [("skip", OPUS, "circuit_open")]


def test_limits_within_the_jobs_patience_are_waited_for() -> None:
    clock = HandClock()
    job = scene(held=["limited:3"], clock=clock)
    job.walk()
    assert (job.provider.calls, job.job.state, job.job.due_at) == ([], State.WAITING, 3)
    assert _decisions(job) == [("wait", OPUS, "limited")]
    clock.now_s = 3
    job.walk()
    assert job.provider.calls == [OPUS]
    assert [need.has_waited for need in job.admission.needs] == [False, True]


def test_patience_is_the_jobs_own_where_it_has_some() -> None:
    job = scene(held=["limited:3"], terms={"patience_s": 2.0})
    job.walk()
    assert job.provider.calls == [SONNET]
    assert job.admission.needs[0].patience_s == 2


def test_a_rung_is_waited_for_once_a_round() -> None:
    clock = HandClock()
    job = scene(held=["limited:3", "limited:3"], clock=clock)
    job.walk()
    clock.now_s = 3
    job.walk()
    assert job.provider.calls == [SONNET]


def test_a_job_woken_too_early_waits_again_with_its_whole_patience() -> None:
    job = scene(held=["limited:3", "limited:2"], clock=HandClock())
    job.walk()
    job.ledger.jobs[job.job_id] = replace(job.job, given_up={0: "woken"}, due_at=0)  # as the dispatcher marks it
    job.walk()
    assert (job.provider.calls, job.job.state, job.job.due_at) == ([], State.WAITING, 2)
    assert _decisions(job) == [("wait", OPUS, "limited")]
    assert [(need.has_waited, need.patience_s) for need in job.admission.needs] == [(False, 5), (True, 5)]


def test_a_job_that_comes_back_first_asks_the_better_model_it_was_not_let_into_without_a_wait() -> None:
    clock = HandClock()
    job = scene(held=["limited:30", "limited:3"], clock=clock)
    job.walk()
    assert (job.job.rung, job.job.given_up) == (1, {0: "limited", 1: "waited"})
    clock.now_s = 3
    job.walk()
    assert job.provider.calls == [OPUS]
    assert job.story() == [(1, "start", 0, "answered")]
    assert job.admission.needs[2].patience_s == 0


def test_where_the_better_model_has_no_room_still_the_job_goes_on_at_its_own_rung() -> None:
    clock = HandClock()
    job = scene(held=["limited:30", "limited:3", "full:3"], clock=clock)
    job.walk()
    clock.now_s = 3
    job.walk()
    assert (job.provider.calls, job.slept) == ([SONNET], [])
    assert job.story() == [(1, "start", 1, "answered")]


def test_our_own_limit_is_waited_for_again_and_again_and_is_no_reason_to_step_down() -> None:
    clock = HandClock()
    job = scene(held=["full:40", "full:40"], clock=clock)
    for _ in range(2):
        job.walk()
        assert (job.provider.calls, job.job.state, job.job.rung) == ([], State.WAITING, 0)
        assert job.job.due_at is not None
        clock.now_s = job.job.due_at
    job.walk()
    assert job.story() == [(1, "start", 0, "answered")]


def test_a_jobs_own_patience_and_a_caller_who_stands_by_hold_for_our_limit_too() -> None:
    job = scene(held=["full:3"], terms={"patience_s": 2.0})
    job.walk()
    assert job.provider.calls == [SONNET]
    standing_by = scene(held=["full:3", "full:70"])
    standing_by.walk(time_left_s=0)
    assert (standing_by.slept, standing_by.provider.calls) == ([3], [SONNET])
    standing_by = scene(held=["full:3"])
    standing_by.walk(time_left_s=0)
    assert (standing_by.slept, standing_by.provider.calls) == ([3], [OPUS])


@pytest.mark.parametrize(("terms", "changes"), [({"patience_s": 0.0}, {}), ({}, {"patience_s": 0.0})])
def test_who_has_no_patience_at_all_steps_past_our_own_limit_at_once(
    terms: dict[str, Any], changes: dict[str, Any]
) -> None:
    job = scene(held=["full:0.4"], terms=terms, **changes)
    job.walk()
    assert (job.provider.calls, job.slept) == ([SONNET], [])


def test_a_request_that_is_surely_over_a_limit_is_not_sent_and_says_so() -> None:
    job = scene(span=_AT_OPUS)
    job.admission.details = {"limit": "input", "needs": 41_000.0, "per_minute": 20_000.0}
    job.admission.script.append("limited:3600")
    job.walk()
    ending = job.job.ending
    assert ending is not None
    assert (job.provider.calls, job.job.state, ending.outcome) == ([], State.FAILED, "over_limit")
    assert "needs about 41,000 input tokens; no model of the chain takes more than 20,000" in (ending.error or "")


def test_a_request_that_may_be_under_a_limit_waits_for_it() -> None:
    job = scene(span=_AT_OPUS)
    job.admission.details = {"limit": "input", "needs": 39_000.0, "per_minute": 20_000.0}
    job.admission.script.append("limited:3600")
    job.walk()
    assert (job.provider.calls, job.job.state) == ([], State.WAITING)


def test_a_refused_key_that_answers_others_is_asked_once_more_and_then_one_other_model() -> None:
    clock = HandClock()
    job = scene("401", "401", "ok", clock=clock)
    job.admission.changes.extend(["key_works", "key_works"])
    job.walk()
    assert (job.provider.calls, job.job.state, job.job.due_at) == ([OPUS], State.WAITING, 5)
    assert not [event for event in job.events if isinstance(event, KeyPaused)]
    clock.now_s = 5
    job.walk()
    assert (job.provider.calls, job.job.state) == ([OPUS, OPUS, SONNET], State.SUCCEEDED)
    assert [reported[3] for reported in job.story()] == ["unauthorized", "rejected", "answered"]


def test_limits_beyond_patience_pass_the_whole_group_over() -> None:
    chain = (OPUS, "claude-opus-4-6", HAIKU)
    job = scene(held=["limited:30"], chain=chain)
    job.walk()
    assert job.provider.calls == [HAIKU]
    assert len(job.admission.needs) == 2  # the other model of the group was not asked for


def test_a_full_model_is_held_in_hand_for_a_moment() -> None:
    job = scene(held=["full:0.3", "full:0.4", "go:0.2"])
    job.walk()
    assert job.provider.calls == [OPUS]
    assert job.slept == pytest.approx([0.3, 0.4, 0.2])
    assert job.attempts[0].opening.waited_ms == 900


def test_a_model_that_stays_full_is_waited_for_without_a_thread() -> None:
    job = scene(held=["full:0.4"] * 3)
    job.walk()
    assert sum(job.slept) <= 1
    assert (job.provider.calls, job.job.state, job.job.due_at) == ([], State.WAITING, 0.5)


def test_where_nothing_may_be_called_the_job_waits_for_the_first_that_may() -> None:
    job = scene(held=["circuit_open:9", "circuit_open:4", "limited:60"])
    job.walk()
    assert (job.provider.calls, job.job.state, job.job.due_at, job.job.rounds) == ([], State.WAITING, 4, 0)
    assert _decisions(job) == [
        ("skip", OPUS, "circuit_open"),
        ("skip", SONNET, "circuit_open"),
        ("park", HAIKU, "limited"),
    ]
    job.ledger.jobs[job.job_id]  # it comes back at its start, whichever was the first
    assert job.job.rung == 0


def test_a_round_in_vain_is_one_with_a_call() -> None:
    job = scene("529", held=["go", "circuit_open:9", "circuit_open:9"])
    job.walk()
    assert (job.job.rounds, job.job.due_at) == (1, 2)  # its own back-off, which is sooner


def test_a_retry_beyond_the_fleets_budget_steps_on() -> None:
    job = scene("500", "ok", held=["go", "retries_spent:0"])
    job.walk()
    assert job.provider.calls == [OPUS, SONNET]
    assert [need.is_retry for need in job.admission.needs] == [False, True, False]
    assert job.story()[1] == (2, "fallback", 1, "answered")


def test_a_caller_who_stands_by_waits_for_nothing() -> None:
    job = scene(held=["circuit_open:4", "limited:2", "circuit_open:4"])
    job.walk(time_left_s=0)
    assert (job.provider.calls, job.job.state) == ([], State.FAILED)
    assert job.admission.needs[0].patience_s == 0


def test_a_wait_beyond_the_deadline_steps_down_or_fails() -> None:
    patient = {"patience_s": 3600.0}
    job = scene("429:900", "ok", terms=patient)
    job.walk(time_left_s=300)
    assert job.provider.calls == [OPUS, SONNET]
    held = scene("429:900", span=_AT_OPUS, terms=patient)
    held.walk(time_left_s=300)
    assert (held.provider.calls, held.job.state) == ([OPUS], State.FAILED)


def test_a_floor_and_an_hour_wait_for_any_retry_after() -> None:
    clock = HandClock()
    job = scene("429:900", "ok", span=_AT_OPUS, clock=clock)
    job.walk(time_left_s=3600)
    assert (job.provider.calls, job.job.state, job.job.due_at) == ([OPUS], State.WAITING, 900)
    clock.now_s = 900
    job.walk(time_left_s=2700)
    assert (job.provider.calls, job.job.state) == ([OPUS, OPUS], State.SUCCEEDED)


def test_a_climb_waits_for_a_better_model_and_never_takes_a_worse_one() -> None:
    climbs = frozenset({Outcome.REFUSED})
    job = scene("refusal", span=RungRange(start=1, floor=2, ceiling=0), held=["go", "circuit_open:7"], climbs=climbs)
    job.walk()
    assert (job.provider.calls, job.job.state, job.job.due_at, job.job.rung) == ([SONNET], State.WAITING, 7, 0)


def test_a_truncated_answer_is_kept_where_the_climb_may_not_be_made_now() -> None:
    climbs = frozenset({Outcome.TRUNCATED})
    held = ["go", "go", "circuit_open:7"]
    job = scene("max_tokens", "max_tokens", span=RungRange(start=1, floor=2, ceiling=0), held=held, climbs=climbs)
    job.walk()
    assert (job.provider.calls, job.job.state) == ([SONNET, SONNET], State.SUCCEEDED)
    assert _decisions(job) == [
        ("raise", SONNET, "truncated"),
        ("climb", SONNET, "truncated"),
        ("stop", OPUS, "circuit_open"),
    ]


class _Refusing(MemoryLedger):
    def open_attempt(self, claim: Claim, opening: Opening) -> bool | OverCap:  # noqa: ARG002 - the Protocol's
        raise LedgerError("it is away")


def test_what_was_let_through_and_did_not_leave_is_given_back() -> None:
    job = scene(ledger=_Refusing())
    with pytest.raises(LedgerError):
        job.walk()
    assert [(ended.ticket, ended.how) for ended in job.admission.ends] == [(job.admission.needs[0].ticket, "not_sent")]


@pytest.mark.parametrize(
    ("word", "how"),
    [
        ("ok", "well"),
        ("max_tokens", "well"),
        ("400", "well"),
        ("html", "server_error"),
        ("cut", "server_error"),
        ("timed_out", "timed_out"),
        ("unreachable", "unreachable"),
        ("404", "missing"),
        ("429:7", "limited"),
        ("ramp", "ramped"),
        ("500", "server_error"),
        ("529", "overloaded"),
        ("spend", "key_refused"),
    ],
)
def test_every_end_is_reported_to_admission(word: str, how: str) -> None:
    job = scene(word, chain=CHAIN[:1])
    job.walk()
    first = job.admission.ends[0]
    assert (first.ticket, first.how) == (job.admission.needs[0].ticket, how)
    assert first.retry_after_s == (7 if word.endswith(":7") else None)
    assert (first.input_tokens is None) == (word not in {"ok", "max_tokens"})
