"""A stream has its time for the first event, between two events, and in all."""

import pytest

from models.chain.deadline import Deadline, deadline_of
from worker.provider.stream_times import StreamTimes


def test_a_stream_is_waited_for_as_long_as_it_lives_and_brings_something() -> None:
    deadline = Deadline(after_s=500, reason="max_tokens", call_timeout_s=120, streamed_s=2_000, is_long=True)
    times, early = StreamTimes(deadline, now=0), StreamTimes(deadline, now=0)
    early.expect_early()
    assert (times.until, early.until, early.of_plain_reply()) == (500, 120, 500)
    signs = [(10, "progress"), (60, "alive"), (500, "alive"), (505, "progress"), (990, "alive"), (1_990, "progress")]
    ends = [times.after(sign, now=now, is_whole=False, has_pinged=True) for now, sign in signs]  # type: ignore[arg-type]  # all are signs
    assert ends == [70, 120, 510, 565, 1_005, 2_000]
    assert times.waited_for == "2,000 s (a day, the most a stream is given)"
    assert times.after("progress", now=1_995, is_whole=True, has_pinged=True) < 2_000
    assert times.has_begun_early


@pytest.mark.parametrize(("first_at", "is_early"), [(10, True), (59, True), (60, False), (180, False)])
def test_a_stream_begins_early_if_its_first_event_comes_in_half_of_the_setting(first_at: int, is_early: bool) -> None:
    times = StreamTimes(Deadline(after_s=2_000, reason="max_tokens", call_timeout_s=120), now=0)
    times.after("progress", now=first_at, is_whole=False, has_pinged=True)
    times.after("progress", now=1_000, is_whole=True, has_pinged=True)
    assert times.has_begun_early is is_early


def test_a_gateway_that_holds_the_whole_answer_back_is_no_model_whose_streams_begin_early() -> None:
    times = StreamTimes(Deadline(after_s=500, reason="max_tokens"), now=0)
    times.after("progress", now=130, is_whole=False, has_pinged=True)
    times.after("progress", now=131, is_whole=True, has_pinged=True)
    assert not times.has_begun_early


def test_no_sign_of_life_after_the_whole_message_makes_the_wait_longer() -> None:
    times = StreamTimes(Deadline(after_s=500, reason="max_tokens"), now=0)
    times.after("progress", now=10, is_whole=False, has_pinged=True)
    ends = [times.after("progress", now=11, is_whole=True, has_pinged=True)]
    ends += [times.after("alive", now=now, is_whole=True, has_pinged=True) for now in (11.5, 11.9, 12.0)]
    assert ends == [12] * 4
    assert times.after("progress", now=12, is_whole=False, has_pinged=True) > 12  # the message goes on after all


def test_a_gateway_that_drops_pings_may_be_silent_as_long_as_the_first_event_may_take() -> None:
    times = StreamTimes(Deadline(after_s=500, reason="max_tokens", call_timeout_s=120, is_long=True), now=0)
    ends = [times.after("progress", now=now, is_whole=False, has_pinged=False) for now in (1, 200)]
    ends.append(times.after("alive", now=300, is_whole=False, has_pinged=False))
    assert (ends, times.waited_for) == ([501, 700, 700], "500 s (max_tokens) of the event before, pings apart")
    assert times.after("progress", now=400, is_whole=False, has_pinged=True) == 460
    assert times.waited_for == "60 s of the event before (the longest silence of a stream)"


@pytest.mark.parametrize(
    ("time_left_s", "call_timeout_s", "words"),
    [
        (0, 120, "86,400 s (a day, the most a stream is given)"),
        (2_500, 120, "2,500 s (the job's own deadline)"),
        (86_400, 120, "86,400 s (the job's own deadline)"),
        (30, 120, "120 s (CALL_TIMEOUT_S)"),
    ],
)
def test_a_stream_that_lives_ends_for_the_reason_that_is_said(
    time_left_s: float, call_timeout_s: float, words: str
) -> None:
    deadline = deadline_of({"max_tokens": 64_000}, pace=16, call_timeout_s=call_timeout_s, time_left_s=time_left_s)
    times = StreamTimes(deadline, now=0)
    times.after("progress", now=1, is_whole=False, has_pinged=True)
    times.after("progress", now=deadline.streamed_s - 1, is_whole=False, has_pinged=True)
    assert times.waited_for == words
