"""A model that answers far slower than is normal for it is slow; long answers and single late ones are not."""

from worker.admission.own_measurements import Slowness

_MODEL = "opus"


def _is_slow(slowness: Slowness, latency_s: float, *, written: int = 50, is_probe: bool = False) -> bool:
    return slowness.is_slow(_MODEL, latency_s=latency_s, read=100, written=written, is_probe=is_probe)


def _of_normal_pace(replies: int = 40) -> Slowness:
    slowness = Slowness()
    assert not any(_is_slow(slowness, 1.0) for _ in range(replies))
    return slowness


def _reported(slowness: Slowness, latency_s: float = 30.0, *, within: int = 10) -> bool:
    return any(_is_slow(slowness, latency_s) for _ in range(within))


def test_a_model_far_slower_than_it_was_is_slow_within_ten_replies() -> None:
    assert _reported(_of_normal_pace())


def test_one_late_reply_in_ten_is_not_slowness() -> None:
    slowness = _of_normal_pace()
    assert not any(_is_slow(slowness, 30.0 if number % 20 == 0 else 1.0) for number in range(400))


def test_long_answers_are_not_slow_ones() -> None:
    slowness = _of_normal_pace()
    assert not any(_is_slow(slowness, 41.0, written=4_000) for _ in range(40))


def test_a_few_more_seconds_are_not_slowness_however_short_the_answers_were() -> None:
    slowness = Slowness()
    assert not any(_is_slow(slowness, 0.2) for _ in range(40))
    assert not _reported(slowness, 4.0, within=40)


def test_nothing_is_slow_before_there_is_a_normal() -> None:
    assert not _reported(_of_normal_pace(9))


def test_a_probe_is_slow_by_itself_until_it_is_as_fast_as_ever() -> None:
    slowness = _of_normal_pace()
    assert _reported(slowness)
    assert [_is_slow(slowness, latency_s, is_probe=True) for latency_s in (30.0, 30.0, 1.2)] == [True, True, False]


def test_a_probe_of_a_model_nobody_measured_is_not_slow() -> None:
    assert not _is_slow(Slowness(), 30.0, is_probe=True)


def test_a_model_that_is_back_is_not_slow_by_what_was_measured_before() -> None:
    slowness = _of_normal_pace()
    assert _reported(slowness)
    assert not any(_is_slow(slowness, 1.0) for _ in range(10))
    assert not _is_slow(slowness, 30.0)


def test_what_the_fleet_knows_already_is_not_reported_again() -> None:
    slowness = _of_normal_pace()
    assert not any(_is_slow(slowness, 30.0) for _ in range(5))
    slowness.forget_recent(_MODEL)
    assert not any(_is_slow(slowness, 30.0) for _ in range(3))


def test_models_are_measured_apart() -> None:
    slowness = _of_normal_pace()
    assert not any(slowness.is_slow("haiku", latency_s=30.0, read=100, written=50) for _ in range(40))
