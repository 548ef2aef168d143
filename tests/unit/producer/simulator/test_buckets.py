"""Rate limits refill continuously, are shared by model groups, and count what the API counts."""

from __future__ import annotations

from producer.simulator.account.buckets import Limits, RateLimits
from producer.simulator.request.catalog import find


def _limits(**limits: int) -> RateLimits:
    return RateLimits({"opus-4": Limits(**limits)}, started_s=100.0)


def _group(name: str) -> str:
    model = find(name)
    assert model is not None
    return model.group


def test_the_request_over_the_limit_is_told_when_to_come_back() -> None:
    limits = _limits(requests_per_minute=2)
    assert [limits.admit("opus-4", 1, 100.0).wait_s for _ in range(3)] == [None, None, 30]


def test_a_bucket_refills_continuously() -> None:
    limits = _limits(requests_per_minute=2)
    for _ in range(2):
        limits.admit("opus-4", 1, 100.0)
    assert limits.admit("opus-4", 1, 115.0).wait_s == 15
    assert limits.admit("opus-4", 1, 130.0).wait_s is None


def test_a_bucket_never_holds_more_than_a_minute() -> None:
    limits = _limits(requests_per_minute=1)
    assert limits.admit("opus-4", 1, 9_000.0).wait_s is None
    assert limits.admit("opus-4", 1, 9_000.0).wait_s == 60


def test_input_is_taken_before_the_answer_and_names_its_limit() -> None:
    limits = _limits(input_tokens_per_minute=600)
    assert limits.admit("opus-4", 500, 100.0).wait_s is None
    refused = limits.admit("opus-4", 200, 100.0)
    assert (refused.wait_s, refused.limit) == (10, "input-tokens")


def test_a_refused_request_takes_nothing() -> None:
    limits = _limits(requests_per_minute=10, input_tokens_per_minute=600)
    limits.admit("opus-4", 600, 100.0)
    for _ in range(20):
        limits.admit("opus-4", 600, 100.0)
    rows = {name: remaining for name, _, remaining, _ in limits.headers("opus-4", 100.0)}
    assert rows["requests"] == 9


def test_a_prompt_larger_than_the_bucket_never_passes() -> None:
    limits = _limits(input_tokens_per_minute=600)
    refused = limits.admit("opus-4", 5_000, 100.0)
    assert (refused.wait_s, refused.limit) == (440, "input-tokens")  # 4,400 missing at 10 a second
    assert limits.admit("opus-4", 5_000, 9_000.0).wait_s == 440
    assert limits.admit("opus-4", 600, 9_000.0).wait_s is None


def test_a_refusal_names_the_limit_in_the_words_of_the_api() -> None:
    message = _limits(input_tokens_per_minute=20_000).admit("opus-4", 20_001, 100.0).message
    start = "This request would exceed your organization's rate limit of 20,000 input tokens per minute"
    assert message.startswith(start)


def test_the_limits_of_all_models_are_one_bucket_beside_that_of_the_group() -> None:
    limits = RateLimits({"all": Limits(requests_per_minute=2), "opus-4": Limits(requests_per_minute=1)}, 100.0)
    waits = [limits.admit(group, 1, 100.0).wait_s for group in ("opus-4", "opus-4", "haiku-4-5", "haiku-4-5")]
    assert waits == [None, 60, None, 30]


def test_headers_tell_of_the_emptier_of_two_buckets() -> None:
    limits = RateLimits({"all": Limits(requests_per_minute=9), "opus-4": Limits(requests_per_minute=5)}, 100.0)
    assert limits.headers("opus-4", 100.0)[0][:3] == ("requests", 5, 5)
    assert limits.headers("haiku-4-5", 100.0)[0][:3] == ("requests", 9, 9)


def test_output_is_charged_afterwards_and_may_go_below_zero() -> None:
    limits = _limits(output_tokens_per_minute=60)
    assert limits.admit("opus-4", 1, 100.0).wait_s is None
    limits.charge_output("opus-4", 90)
    assert limits.admit("opus-4", 1, 100.0).wait_s == 31
    assert limits.admit("opus-4", 1, 131.0).wait_s is None


def test_a_group_without_limits_lets_everything_pass() -> None:
    limits = _limits(requests_per_minute=1)
    assert [limits.admit("haiku-4-5", 10**9, 100.0).wait_s for _ in range(3)] == [None] * 3


def test_opus_4_5_to_4_8_share_a_bucket_and_so_do_sonnet_4_5_and_4_6() -> None:
    assert {_group(f"claude-opus-4-{minor}") for minor in (5, 6, 7, 8)} == {"opus-4"}
    assert {_group(f"claude-sonnet-4-{minor}") for minor in (5, 6)} == {"sonnet-4"}
    others = ["claude-opus-5", "claude-opus-5-5", "claude-sonnet-5", "claude-sonnet-5-5", "claude-haiku-4-5"]
    assert len({_group(name) for name in others}) == len(others)
