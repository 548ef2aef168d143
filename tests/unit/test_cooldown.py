"""A key that is refused: nobody calls for a while, then one tries it, and an answer frees everybody."""

import pytest

from tests.at_once import at_once
from tests.walking import HandClock
from worker.cooldown import KeyPause


@pytest.fixture
def clock() -> HandClock:
    """Stand at a time that is not zero."""
    return HandClock(1000.0)


def test_without_a_pause_everybody_calls(clock: HandClock) -> None:
    pause = KeyPause(clock)
    assert [pause.remaining_s() for _ in range(3)] == [0, 0, 0]


def test_in_a_pause_everybody_is_told_how_long_it_lasts(clock: HandClock) -> None:
    pause = KeyPause(clock)
    pause.pause(60)
    clock.now_s += 20
    assert [pause.remaining_s() for _ in range(3)] == [40, 40, 40]


def test_after_a_pause_one_goes_ahead_and_the_others_wait_for_it(clock: HandClock) -> None:
    pause = KeyPause(clock)
    pause.pause(60)
    clock.now_s += 60
    assert pause.remaining_s() == 0
    assert [pause.remaining_s() for _ in range(3)] == [5, 5, 5]


def test_of_many_threads_exactly_one_goes_ahead(clock: HandClock) -> None:
    pause = KeyPause(clock)
    pause.pause(60)
    clock.now_s += 61
    told = at_once(32, lambda _: pause.remaining_s())
    assert sorted(told) == [0, *[5] * 31]


def test_where_the_one_that_went_ahead_is_never_heard_of_another_follows(clock: HandClock) -> None:
    pause = KeyPause(clock)
    pause.pause(60)
    clock.now_s += 60
    assert pause.remaining_s() == 0
    clock.now_s += 5
    assert [pause.remaining_s(), pause.remaining_s()] == [0, 5]


def test_an_answer_frees_everybody(clock: HandClock) -> None:
    pause = KeyPause(clock)
    pause.pause(60)
    pause.resume()
    assert [pause.remaining_s() for _ in range(3)] == [0, 0, 0]


def test_refused_again_it_pauses_anew(clock: HandClock) -> None:
    pause = KeyPause(clock)
    pause.pause(60)
    clock.now_s += 60
    assert pause.remaining_s() == 0
    pause.pause(60)
    assert pause.remaining_s() == 60
