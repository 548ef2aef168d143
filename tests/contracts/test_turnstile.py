"""What every turnstile promises, wherever its script runs: the key, cooldowns and probes, flight and retries."""

import pytest

from tests.turning import Clock, Door
from worker.turnstile import FULL, PAUSED, RETRIES_SPENT, Go, How, Later, Room


def _why(answer: Go | Later) -> str:
    return answer.why if isinstance(answer, Later) else "go"


def test_who_comes_first_may_go(door: Door) -> None:
    assert door.ask() == Go()


def test_a_refused_key_rests_and_then_one_call_tries_it(door: Door, clock: Clock) -> None:
    door.through("key_refused")
    assert door.ask() == Later(wait_s=60.0, why=PAUSED)
    clock.pass_s(61)
    assert door.ask(ticket="the probe") == Go(is_probe=True)
    assert _why(door.ask()) == PAUSED
    door.tell("the probe", "missing")  # whoever says that a model is missing knows the key
    assert Door(door.turnstile, clock, model="haiku", group="haiku-4").ask() == Go()


def test_a_refused_key_is_about_every_model(door: Door, clock: Clock) -> None:
    door.through("key_refused")
    assert _why(Door(door.turnstile, clock, model="haiku", group="haiku-4").ask()) == PAUSED


def test_calls_from_before_a_key_was_refused_neither_free_it_nor_prolong_its_rest(door: Door, clock: Clock) -> None:
    well, refused = door.leave(2)
    clock.pass_s(1)
    door.through("key_refused")
    clock.pass_s(30)
    door.tell(well)
    door.tell(refused, "key_refused")
    assert door.ask() == Later(wait_s=30.0, why=PAUSED)


def test_the_probe_of_a_key_that_did_not_leave_makes_room_for_another(door: Door, clock: Clock) -> None:
    door.through("key_refused")
    clock.pass_s(61)
    door.ask(ticket="the probe")
    door.tell("the probe", "not_sent")
    assert door.ask() == Go(is_probe=True)


def test_so_many_calls_and_no_more_are_in_flight(door: Door) -> None:
    door.leave(8)
    later = door.ask()
    assert isinstance(later, Later)
    assert (later.why, later.figures) == (FULL, {"in_flight": 8.0, "cap": 8.0})
    assert 0.02 <= later.wait_s <= 0.5


def test_an_urgent_one_passes_where_the_others_wait(door: Door) -> None:
    door.leave(8)
    assert door.ask(is_urgent=True) == Go()
    assert _why(door.ask(is_urgent=True)) == FULL


def test_each_round_that_goes_well_lets_thrice_as_many_out(door: Door) -> None:
    flying = door.leave(8)
    for allowed in (24, 72, 216):
        for ticket in flying[:]:
            door.tell(ticket)
            flying.remove(ticket)
            flying += door.leave(3)
        assert len(flying) == allowed
        assert _why(door.ask()) == FULL


def test_what_is_not_used_does_not_grow(door: Door) -> None:
    for _ in range(100):
        door.through()
    door.leave(8)
    assert _why(door.ask()) == FULL


@pytest.mark.parametrize(("how", "left"), [("limited", 4), ("overloaded", 4), ("server_error", 5)])
def test_a_flight_that_fails_cuts_once_however_many_of_it_fail(door: Door, clock: Clock, how: How, left: int) -> None:
    tickets = door.leave(8)
    clock.pass_s(1)
    for ticket in tickets[:2]:
        door.tell(ticket, how)
    for ticket in tickets[2:]:
        door.tell(ticket, "not_sent")
    clock.pass_s(120)
    door.leave(left)
    assert _why(door.ask()) == FULL


def test_a_call_whose_worker_is_lost_is_in_flight_no_longer(door: Door, clock: Clock) -> None:
    door.leave(8, hold_s=100)
    clock.pass_s(100)
    assert door.turnstile.rooms({"opus": "opus-4"}, horizon_s=0) == {"opus": Room(free=8, is_closed=False)}
    door.leave(8)


def test_a_call_that_is_told_twice_counts_once(door: Door) -> None:
    door.leave(8)
    (last,) = door.leave(1, is_urgent=True)
    for _ in range(5):
        door.tell(last, "overloaded")
    assert _why(door.ask()) == FULL


def test_a_tenth_of_all_requests_may_be_retries_beside_a_few(door: Door) -> None:
    def passed() -> int:
        count = 0
        while isinstance(door.ask(ticket="again", is_retry=True), Go):
            door.tell("again")
            count += 1
        return count

    at_first = passed()
    assert 10 <= at_first <= 12
    for _ in range(100):
        door.through()
    assert 9 <= passed() <= 12
    later = door.ask(is_retry=True)
    assert isinstance(later, Later)
    assert (later.why, later.wait_s) == (RETRIES_SPENT, 0)


def test_retries_are_forgotten_as_time_passes(door: Door, clock: Clock) -> None:
    while isinstance(door.ask(ticket="again", is_retry=True), Go):
        door.tell("again")
    clock.pass_s(60)
    assert door.ask(is_retry=True) == Go()


def test_a_ramp_limit_is_a_quarter_in_flight_for_every_model_and_a_little_more_each_minute(
    door: Door, clock: Clock
) -> None:
    haiku = Door(door.turnstile, clock, model="haiku", group="haiku-4")
    tickets = door.leave(4)
    clock.pass_s(1)
    for ticket in tickets:
        door.tell(ticket, "ramped")  # one of them is enough
    haiku.leave(2)
    assert _why(haiku.ask()) == FULL
    clock.pass_s(80)
    haiku.leave(6)
    assert _why(haiku.ask()) == FULL
