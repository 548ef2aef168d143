"""The wait before another round: it doubles, it has an end, and it never is nothing."""

from hypothesis import given
from hypothesis import strategies as st

from worker.fallback.decide import backoff_s


@given(rounds=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_a_wait_is_between_a_quarter_of_its_bound_and_its_bound(rounds: int, chance: float) -> None:
    longest = backoff_s(rounds, draw=lambda: 1.0)
    assert longest / 4 <= backoff_s(rounds, draw=lambda: chance) <= longest <= 300


def test_the_bound_doubles_from_two_seconds_to_five_minutes() -> None:
    bounds = [backoff_s(rounds, draw=lambda: 1.0) for rounds in range(1, 11)]
    assert bounds == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
