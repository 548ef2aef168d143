"""The referee's arithmetic: what was possible, what was made of it, what was wasted, when it was over."""

import pytest

from producer.simulator.answer.script import parse_script
from tests.benchmarks.chain import referee
from tests.benchmarks.chain.overload import limits_of, script_of
from tests.benchmarks.chain.referee import Call

_LIMITS = {"a": {"requests": 60, "output_tokens": 900}, "b": {"requests": 600, "output_tokens": 600}}
_NEEDS = {"requests": 1.0, "output_tokens": 10.0}


def _calls(group: str, count: int, *, last_s: float, status: int = 200, output_tokens: int = 10) -> list[Call]:
    times = [last_s * place / count for place in range(1, count + 1)]
    return [Call(at_s=at_s, group=group, status=status, output_tokens=output_tokens) for at_s in times]


def test_each_group_lets_through_what_its_scarcest_limit_does() -> None:
    assert [referee.binding_kind(kinds, _NEEDS) for kinds in _LIMITS.values()] == ["requests", "output_tokens"]
    assert [referee.jobs_a_minute(kinds, _NEEDS) for kinds in _LIMITS.values()] == [60, 60]


def test_the_ideal_spends_the_full_buckets_first_and_then_the_refill_of_all_groups() -> None:
    assert referee.ideal_makespan_s(120, _LIMITS, _NEEDS) == 0
    assert referee.ideal_makespan_s(180, _LIMITS, _NEEDS) == 30
    assert referee.ideal_makespan_s(360, _LIMITS, _NEEDS) == 120


def test_work_that_fits_into_the_buckets_takes_no_time() -> None:
    assert referee.ideal_makespan_s(10, _LIMITS, _NEEDS) == 0


def test_needs_are_those_of_answered_calls_only() -> None:
    calls = [*_calls("a", 3, last_s=1, output_tokens=30), *_calls("a", 9, last_s=1, status=429, output_tokens=0)]
    assert referee.needs_of(calls) == {"requests": 1, "input_tokens": 0, "output_tokens": 30}


def test_a_side_without_an_answer_has_used_nothing() -> None:
    calls = _calls("a", 5, last_s=10, status=529)
    assert referee.quota_shares(calls, _LIMITS, _NEEDS) == {"a": 0, "b": 0, "all": 0}


def test_who_uses_every_group_to_the_last_has_used_all_of_the_quota() -> None:
    calls = _calls("a", 90, last_s=30) + _calls("b", 90, last_s=30)
    assert referee.quota_shares(calls, _LIMITS, _NEEDS) == {"a": 1, "b": 1, "all": 1}


def test_who_leaves_one_of_two_equal_groups_alone_has_used_half() -> None:
    shares = referee.quota_shares(_calls("a", 120, last_s=60), _LIMITS, _NEEDS)
    assert shares == {"a": 1, "b": 0, "all": 0.5}


def test_refused_calls_use_no_quota_and_do_not_prolong_the_work() -> None:
    calls = [*_calls("a", 90, last_s=30), *_calls("a", 50, last_s=600, status=429)]
    assert referee.quota_shares(calls, _LIMITS, _NEEDS)["a"] == 1
    assert referee.share_answered(calls, 429) == pytest.approx(50 / 140)


def test_calls_in_the_air_at_the_onset_are_told_apart_from_the_later_ones() -> None:
    failed = [9.9, 10.0, 10.9, 11.0, 16.0, 17.0, 30.9, 31.0]
    wasted = referee.waste(failed, from_s=10, to_s=31, interval_s=5, onset_s=1)
    assert (wasted.at_onset, wasted.later) == (2, 4)
    assert wasted.per_interval == 1
    assert wasted.most_in_one == 2


def test_the_rate_before_is_a_median_which_one_bad_second_does_not_move() -> None:
    at_s = [second + part / 10 for second in range(10) if second != 4 for part in range(10)]
    assert referee.full_rate(at_s, from_s=0, to_s=10) == 10


def test_recovery_is_when_the_rate_is_reached_and_most_of_five_seconds_keep_it() -> None:
    counts = [9, 0, 0, 0, 9, 0, 9, 9, 9, 9, 9]
    at_s = [100 + second + part / 20 for second, count in enumerate(counts) for part in range(count)]
    assert referee.recovery_s(at_s, at_s=100, to_s=111, rate=9) == 4


def test_a_side_that_stays_below_its_rate_never_recovers() -> None:
    at_s = [100 + part / 5 for part in range(100)]
    assert referee.recovery_s(at_s, at_s=100, to_s=120, rate=6) is None
    assert referee.recovery_s(at_s, at_s=100, to_s=120, rate=5) == 0


def test_what_happens_outside_the_watched_seconds_is_not_counted() -> None:
    assert referee.per_second([0.5, 1.0, 1.9, 3.0], from_s=1, to_s=3) == [2, 0]


def test_in_each_group_of_the_overload_another_limit_binds() -> None:
    limits = limits_of(360)
    needs = {"requests": 1, "input_tokens": 189, "output_tokens": 69}
    binding = {group: referee.binding_kind(kinds, needs) for group, kinds in limits.items()}
    assert binding == {"opus-4": "requests", "sonnet-4": "output_tokens", "haiku-4-5": "input_tokens"}
    assert parse_script(script_of(limits)).limits["sonnet-4"].output_tokens_per_minute == 360 * 69


def test_two_thousand_prompts_at_five_times_the_limit_take_about_fifty_seconds_at_best() -> None:
    needs = {"requests": 1, "input_tokens": 189, "output_tokens": 69}
    assert 45 < referee.ideal_makespan_s(2000, limits_of(360), needs) < 55
