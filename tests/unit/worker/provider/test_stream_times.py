"""A stream has its time for the first event, between two events, and in all."""

import pytest

from models.chain.deadline import Deadline
from worker.provider.stream_times import StreamTimes


def test_a_stream_is_waited_for_as_long_as_it_lives_and_brings_something() -> None:
    deadline = Deadline(after_s=500, reason="max_tokens", call_timeout_s=120, streamed_s=2_000, is_long=True)
    times, early = StreamTimes(deadline, now=0), StreamTimes(deadline, now=0)
    early.expect_early()
    assert (times.until, early.until, early.of_plain_reply()) == (500, 120, 500)
    signs = [(10, "progress"), (60, "alive"), (500, "alive"), (505, "progress"), (990, "alive"), (1_990, "progress")]
    ends = [times.after(sign, now=now, is_whole=False) for now, sign in signs]  # type: ignore[arg-type]  # all are signs
    assert ends == [70, 120, 510, 565, 1_005, 2_000]
    assert times.waited_for == "2,000 s (the job's own deadline)"
    assert times.after("progress", now=1_995, is_whole=True) < 2_000
    assert times.has_begun_early


@pytest.mark.parametrize(("first_at", "is_early"), [(10, True), (59, True), (60, False), (180, False)])
def test_a_stream_begins_early_if_its_first_event_comes_in_half_of_the_setting(first_at: int, is_early: bool) -> None:
    times = StreamTimes(Deadline(after_s=2_000, reason="max_tokens", call_timeout_s=120), now=0)
    times.after("progress", now=first_at, is_whole=False)
    times.after("progress", now=1_000, is_whole=True)
    assert times.has_begun_early is is_early


def test_a_gateway_that_holds_the_whole_answer_back_is_no_model_whose_streams_begin_early() -> None:
    times = StreamTimes(Deadline(after_s=500, reason="max_tokens"), now=0)
    times.after("progress", now=130, is_whole=False)
    times.after("progress", now=131, is_whole=True)
    assert not times.has_begun_early


def test_no_sign_of_life_after_the_whole_message_makes_the_wait_longer() -> None:
    times = StreamTimes(Deadline(after_s=500, reason="max_tokens"), now=0)
    times.after("progress", now=10, is_whole=False)
    ends = [times.after("progress", now=11, is_whole=True)]
    ends += [times.after("alive", now=now, is_whole=True) for now in (11.5, 11.9, 12.0)]
    assert ends == [12] * 4
    assert times.after("progress", now=12, is_whole=False) > 12  # the message goes on after all
