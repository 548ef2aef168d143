"""Promises of admission control, wherever its script runs: the key, cooldowns and probes, flight and retries."""

import pytest

from tests.support.plays.admission_scripts import FIRST, STATED, STATED_GROUP, Clock, Door, restated
from worker.admission.admission import FULL, PAUSED, RETRIES_SPENT, Capacity, Denied, Granted, ResultKind


def _why(answer: Granted | Denied) -> str:
    return answer.reason if isinstance(answer, Denied) else "go"


def _paused_s(door: Door) -> float:
    later = door.acquire()
    assert isinstance(later, Denied), later
    assert later.reason == PAUSED
    return later.wait_s


def test_who_comes_first_may_go(door: Door) -> None:
    assert door.acquire() == Granted()


def test_a_refused_key_rests_and_then_one_call_tries_it(door: Door, clock: Clock) -> None:
    door.through("key_refused")
    assert _paused_s(door) == 60.0
    clock.pass_s(61)
    assert door.acquire(ticket="the probe") == Granted(is_probe=True)
    assert _why(door.acquire()) == PAUSED
    door.release("the probe", "missing")  # a reply that names a missing model knows the key
    assert Door(door.admission, clock, model="haiku", group="haiku-4").acquire() == Granted()


def test_a_refused_key_is_about_every_model(door: Door, clock: Clock) -> None:
    door.through("key_refused")
    assert _why(Door(door.admission, clock, model="haiku", group="haiku-4").acquire()) == PAUSED


def test_calls_from_before_a_key_was_refused_neither_free_it_nor_prolong_its_rest(door: Door, clock: Clock) -> None:
    well, refused = door.leave(2)
    clock.pass_s(1)
    door.through("key_refused")
    clock.pass_s(30)
    door.release(well)
    door.release(refused, "key_refused")
    assert _paused_s(door) == 30.0


def test_a_key_that_answers_others_is_not_refused(door: Door, clock: Clock) -> None:
    for number in range(100):
        clock.pass_s(0.1)
        assert door.through("key_refused" if number % 10 == 9 else "well") == ("key_works" if number % 10 == 9 else "")
    clock.pass_s(0.1)
    door.through()
    assert [door.through("key_refused"), door.through("key_refused")] == ["key_works"] * 2
    door.through("key_refused")  # nobody was answered in between
    assert _why(door.acquire()) == PAUSED


def test_the_probe_of_a_key_that_did_not_leave_makes_room_for_another(door: Door, clock: Clock) -> None:
    door.through("key_refused")
    clock.pass_s(61)
    door.acquire(ticket="the probe")
    door.release("the probe", "not_sent")
    assert door.acquire() == Granted(is_probe=True)


def test_so_many_calls_and_no_more_are_in_flight(door: Door) -> None:
    door.leave(FIRST)
    later = door.acquire()
    assert isinstance(later, Denied)
    assert (later.reason, later.details) == (FULL, {"in_flight": FIRST, "cap": FIRST})
    assert 0.02 <= later.wait_s <= 0.5


def test_an_urgent_one_passes_where_the_others_wait(door: Door) -> None:
    door.leave(FIRST)
    assert door.acquire(is_urgent=True) == Granted()
    assert _why(door.acquire(is_urgent=True)) == FULL


def test_each_round_that_goes_well_lets_thrice_as_many_out(door: Door) -> None:
    flying = door.leave(FIRST)
    for allowed in (3 * FIRST, 9 * FIRST, 27 * FIRST):
        for ticket in flying[:]:
            door.release(ticket)
            flying.remove(ticket)
            flying += door.leave(3)
        assert len(flying) == allowed
        assert _why(door.acquire()) == FULL


def test_a_known_requests_limit_is_used_from_its_first_reply_on(door: Door) -> None:
    door.through(latency_ms=1_000, limits={"requests": (3_600, 3_599)})
    door.leave(60)
    assert _why(door.acquire()) == FULL


def test_a_model_that_nobody_called_begins_as_the_stated_limit_of_its_group_allows(door: Door) -> None:
    door.model, door.group = "stated", STATED_GROUP
    allowed = STATED * 10 // 60  # an answer is supposed to take ten seconds
    door.leave(allowed)
    denied = door.acquire()
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.details["cap"]) == ("full", allowed)


def test_a_model_that_nobody_called_begins_as_headers_of_its_group_allow(door: Door) -> None:
    door.through(limits={"requests": (1_200, 1_190)})
    door.model = "another of the group"
    door.leave(200)
    assert _why(door.acquire()) == FULL


def test_a_stated_limit_that_the_model_pushes_back_at_once_is_left_for_the_slow_start(door: Door) -> None:
    door.model, door.group = "stated", STATED_GROUP
    flight = door.leave(FIRST + 4)
    for ticket in flight[:3]:
        door.release(ticket, "limited", latency_ms=0)
    assert _why(door.acquire()) == FULL


def test_a_stated_limit_that_no_header_confirmed_is_changed_and_removed_by_the_operator(
    door: Door, clock: Clock
) -> None:
    def fits(stated: int) -> int:
        door.admission = restated(door.admission, {STATED_GROUP: stated})
        count = 0
        while isinstance(door.acquire(patience_s=0), Granted):
            count += 1
        clock.pass_s(200)  # the tickets of these lapse
        return count

    door.model, door.group = "stated", STATED_GROUP
    assert fits(60) == FIRST
    assert fits(1_200) == 200
    assert fits(30) == FIRST
    assert fits(0) == FIRST


def test_headers_replace_a_stated_limit(door: Door) -> None:
    door.model, door.group = "stated", STATED_GROUP
    door.through(limits={"requests": (60, 2)})
    door.leave(2)
    denied = door.acquire()
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.details["per_minute"]) == ("limited", 60)


def test_what_is_not_used_does_not_grow(door: Door) -> None:
    for _ in range(100):
        door.through()
    door.leave(FIRST)
    assert _why(door.acquire()) == FULL


@pytest.mark.parametrize("how", ["limited", "overloaded", "server_error"])
def test_noise_of_a_few_in_a_hundred_cuts_nothing(door: Door, clock: Clock, how: ResultKind) -> None:
    for number in range(300):
        clock.pass_s(0.05)
        door.through(how if number % 20 == 0 and number else "well")
    door.leave(FIRST)
    assert _why(door.acquire()) == FULL


@pytest.mark.parametrize("how", ["limited", "overloaded", "server_error"])
def test_a_flight_of_which_a_fifth_fails_is_cut_once_however_many_of_it_fail(
    door: Door, clock: Clock, how: ResultKind
) -> None:
    for _ in range(10):
        door.through()
    tickets = door.leave(FIRST)
    clock.pass_s(1)
    for ticket in tickets[:4]:
        door.release(ticket, how)
    for ticket in tickets[4:]:
        door.release(ticket, "not_sent")
    clock.pass_s(0.5)
    door.leave(9)  # of 14 that were in flight: a cut leaves seven tenths
    assert _why(door.acquire()) == FULL


def test_after_a_cut_the_flight_grows_by_a_tenth_a_round_trip(door: Door, clock: Clock) -> None:
    test_a_flight_of_which_a_fifth_fails_is_cut_once_however_many_of_it_fail(door, clock, "overloaded")
    clock.pass_s(200)
    for _ in range(12):
        for ticket in door.leave(9):
            door.release(ticket)
    door.leave(10)
    assert door.acquire() == Granted()


def test_a_call_whose_worker_is_lost_is_in_flight_no_longer(door: Door, clock: Clock) -> None:
    door.leave(FIRST, hold_s=100)
    clock.pass_s(100)
    assert door.admission.capacity({"opus": "opus-4"}, horizon_s=0) == {"opus": Capacity(free=FIRST, is_closed=False)}
    door.leave(FIRST)


def test_a_call_that_is_told_twice_counts_once(door: Door) -> None:
    door.leave(FIRST)
    (last,) = door.leave(1, is_urgent=True)
    for _ in range(5):
        door.release(last, "overloaded")
    assert _why(door.acquire()) == FULL


def test_a_tenth_of_all_requests_may_be_retries_beside_a_few(door: Door) -> None:
    def passed() -> int:
        count = 0
        while isinstance(door.acquire(ticket="again", is_retry=True), Granted):
            door.release("again")
            count += 1
        return count

    at_first = passed()
    assert 10 <= at_first <= 12
    for _ in range(100):
        door.through()
    assert 9 <= passed() <= 12
    later = door.acquire(is_retry=True)
    assert isinstance(later, Denied)
    assert (later.reason, later.wait_s) == (RETRIES_SPENT, 0)


def test_retries_are_forgotten_as_time_passes(door: Door, clock: Clock) -> None:
    while isinstance(door.acquire(ticket="again", is_retry=True), Granted):
        door.release("again")
    clock.pass_s(60)
    assert door.acquire(is_retry=True) == Granted()


def test_a_ramp_limit_is_a_quarter_in_flight_for_every_model_and_a_little_more_each_minute(
    door: Door, clock: Clock
) -> None:
    haiku = Door(door.admission, clock, model="haiku", group="haiku-4")
    tickets = door.leave(4)
    clock.pass_s(1)
    for ticket in tickets:
        door.release(ticket, "ramped")  # one of them is enough
    haiku.leave(FIRST // 4)
    assert _why(haiku.acquire()) == FULL
    clock.pass_s(80)
    haiku.leave(FIRST - FIRST // 4)
    assert _why(haiku.acquire()) == FULL
