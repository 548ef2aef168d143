"""Chance comes from the seed and the body, and from nothing else."""

from __future__ import annotations

from statistics import median

from producer.simulator.answer.draw import Draw, draw_for


def _draws(count: int) -> list[Draw]:
    return [draw_for(7, b"body %d" % number) for number in range(count)]


def test_the_same_seed_and_body_draw_the_same() -> None:
    assert draw_for(7, b"body", 2) == draw_for(7, b"body", 2)


def test_another_seed_body_or_occurrence_draws_something_else() -> None:
    shares = {draw.share("x") for draw in (draw_for(7, b"a"), draw_for(8, b"a"), draw_for(7, b"b"))}
    assert len(shares | {draw_for(7, b"a", 1).share("x")}) == 4


def test_a_draw_is_known_in_advance() -> None:
    # If this changes, every recorded run with a printed seed changes with it.
    assert draw_for(7, b"body").share("rule 1") == 0.6060140957707869
    assert draw_for(7, b"body").token("request") == "1145c5ff77307792498ffd"


def test_a_seed_may_be_negative() -> None:
    assert 0 <= draw_for(-1, b"body").share("x") < 1


def test_shares_are_spread_evenly() -> None:
    hits = sum(draw.share("rule 1") < 0.1 for draw in _draws(5_000))
    assert 425 <= hits <= 575


def test_picks_reach_both_ends_and_nothing_beyond() -> None:
    assert {draw.pick("n", 1, 3) for draw in _draws(200)} == {1, 2, 3}


def test_no_latency_is_exactly_none() -> None:
    assert draw_for(7, b"body").latency_s(0.0) == 0.0


def test_latencies_lie_around_their_median_with_a_tail() -> None:
    latencies = [draw.latency_s(0.2) for draw in _draws(2_000)]
    assert 0.18 < median(latencies) < 0.22
    assert 0.3 < sorted(latencies)[1_900] < 0.45
    assert max(latencies) <= 1.6
