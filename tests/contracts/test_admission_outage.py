"""Promises of admission control of an outage, wherever its script runs: what opens a cooldown, probes, what ends it."""

from itertools import pairwise

import pytest

from tests.support.plays.admission_scripts import FIRST, Clock, Door
from worker.admission.admission import CIRCUIT_OPEN, Denied, Granted, ResultKind


def _why(answer: Granted | Denied) -> str:
    return answer.reason if isinstance(answer, Denied) else "go"


@pytest.mark.parametrize("how", ["overloaded", "server_error", "timed_out", "unreachable"])
def test_three_failures_in_a_row_take_a_model_out_of_rotation(door: Door, how: ResultKind) -> None:
    door.open(how)
    later = door.acquire()
    assert isinstance(later, Denied)
    assert (later.reason, later.wait_s, later.details["kind"]) == (CIRCUIT_OPEN, 5.0, how)


def test_failures_among_more_answers_are_no_outage(door: Door) -> None:
    ends: list[ResultKind] = ["overloaded", "overloaded", *["well"] * 4, "overloaded"]  # type: ignore[list-item]
    assert {door.through(how) for how in ends} == {""}


def test_half_of_all_calls_failing_is_an_outage(door: Door) -> None:
    ends = [door.through("server_error" if number % 2 else "well") for number in range(6)]
    assert ends[-1] == "opened"


def test_answers_to_what_left_before_an_outage_do_not_hide_it(door: Door, clock: Clock) -> None:
    _have_answered(door, 16)
    before = door.leave(5)
    clock.pass_s(0.1)
    for ticket in before[:4]:
        assert door.through("overloaded") == ""
        door.release(ticket)
    assert door.through("overloaded") == "opened"


def test_quick_failures_are_no_outage_while_as_many_that_left_with_them_may_end_well(door: Door, clock: Clock) -> None:
    _have_answered(door, 64)
    before = door.leave(6)
    clock.pass_s(0.1)
    for ticket in before:
        door.leave(1)  # and takes its time
        assert door.through("overloaded") == ""
        door.release(ticket)
    assert door.acquire() == Granted()


def test_an_answer_to_what_left_after_failures_ends_their_streak(door: Door, clock: Clock) -> None:
    _have_answered(door, 64)
    before = door.leave(8)
    clock.pass_s(0.1)
    for number, ticket in enumerate(before):
        if number == 4:
            clock.pass_s(0.1)
            door.through()
        assert door.through("overloaded") == ""
        door.release(ticket)


def test_failures_of_long_ago_are_no_evidence(door: Door, clock: Clock) -> None:
    for _ in range(4):
        door.through("server_error")
        door.through("well")
        clock.pass_s(60)
    assert door.acquire() == Granted()


def test_one_job_that_fails_again_and_again_is_no_outage_while_others_end_well(door: Door) -> None:
    ends = [door.through("server_error", job="same"), door.through()]
    ends += [door.through("server_error", job="same") for _ in range(20)]
    assert set(ends) == {""}
    flight = door.leave(5)  # nor did more than the first cut it
    assert {door.release(ticket) for ticket in flight} == {""}


def test_many_jobs_that_fail_again_are_an_outage_however_many_ended_well_before(door: Door, clock: Clock) -> None:
    _have_answered(door, 64)
    jobs = [f"job-{number}" for number in range(15)]
    for job in jobs:
        assert (door.through("server_error", job=job), door.through()) == ("", "")
        clock.pass_s(0.1)
    assert door.through() == ""
    assert [door.through("server_error", job=job) for job in jobs] == [*[""] * 14, "opened"]


def test_what_says_of_itself_that_it_is_the_model_counts_from_one_job_too(door: Door) -> None:
    door.through()
    assert [door.through("overloaded", job="same") for _ in range(3)] == ["", "", "opened"]


def test_on_the_word_of_one_job_alone_it_rests_and_others_may_look(door: Door, clock: Clock) -> None:
    door.through()
    clock.pass_s(60)
    assert [door.through("server_error", job="same") for _ in range(3)] == ["", "", "opened"]
    assert _why(door.acquire(job="same")) == CIRCUIT_OPEN
    clock.pass_s(5)
    assert door.acquire(ticket="again", job="same") == Granted(is_probe=True)
    door.release("again", "server_error")
    assert door.acquire(ticket="another") == Granted(is_probe=True)
    door.release("another", "server_error")
    assert [_why(door.acquire(job="same")), _why(door.acquire())] == [CIRCUIT_OPEN, CIRCUIT_OPEN]


def test_a_job_that_ended_well_since_is_believed_again(door: Door) -> None:
    ends: list[tuple[ResultKind, str]] = [("server_error", "one"), ("well", "one"), ("server_error", "one")]
    assert {door.through(how, job=job) for how, job in ends} == {""}
    assert door.through("server_error", job="two") == "opened"


def test_a_probe_that_fails_its_job_again_keeps_nobody_else_waiting(door: Door, clock: Clock) -> None:
    assert [door.through("server_error", job=job) for job in ("known", "two", "three")] == ["", "", "opened"]
    clock.pass_s(600)
    assert door.acquire(ticket="probe", job="known") == Granted(is_probe=True)
    door.release("probe", "server_error")
    clock.pass_s(5)
    assert _why(door.acquire(job="known")) == CIRCUIT_OPEN
    assert door.acquire(ticket="another") == Granted(is_probe=True)
    door.release("another", "server_error")
    clock.pass_s(59)
    assert [_why(door.acquire(job="known")), _why(door.acquire())] == [CIRCUIT_OPEN, CIRCUIT_OPEN]


def test_a_model_that_is_missing_is_out_at_once(door: Door) -> None:
    assert door.through("missing") == "opened"


def test_a_model_that_is_out_leaves_the_others_alone(door: Door, clock: Clock) -> None:
    door.open()
    assert Door(door.admission, clock, model="haiku", group="haiku-4").acquire() == Granted()


def test_when_a_probe_is_due_one_goes_and_nobody_beside_it(door: Door, clock: Clock) -> None:
    door.open()
    clock.pass_s(5)
    assert door.acquire() == Granted(is_probe=True)
    assert [_why(door.acquire()) for _ in range(20)] == [CIRCUIT_OPEN] * 20


def test_a_dead_model_costs_one_call_an_interval_and_less_as_it_stays_dead(door: Door, clock: Clock) -> None:
    door.open()
    began_at, probed_at = clock.at, []
    while clock.at < began_at + 1_200:
        clock.pass_s(0.5)
        for number in range(3):
            ticket = f"{clock.at}-{number}"
            if isinstance(door.acquire(ticket=ticket), Granted):
                probed_at.append(clock.at - began_at)
                door.release(ticket, "overloaded")
    gaps = [after - before for before, after in pairwise(probed_at)]
    assert min(gaps) >= 5
    assert 60 <= gaps[-1] <= 67
    assert len([at for at in probed_at if at <= 60]) <= 12


def test_a_probe_whose_worker_is_lost_makes_room_for_another(door: Door, clock: Clock) -> None:
    door.open()
    clock.pass_s(5)
    door.acquire(ticket="lost", hold_s=30)
    clock.pass_s(29)
    assert _why(door.acquire()) == CIRCUIT_OPEN
    clock.pass_s(1)
    assert door.acquire() == Granted(is_probe=True)
    assert door.release("lost", "overloaded") == ""


def test_a_probe_that_did_not_leave_is_no_answer(door: Door, clock: Clock) -> None:
    door.open()
    clock.pass_s(5)
    door.acquire(ticket="kept")
    assert door.release("kept", "not_sent") == ""
    assert door.acquire() == Granted(is_probe=True)


def test_a_probe_that_is_answered_brings_the_model_back(door: Door, clock: Clock) -> None:
    door.open()
    clock.pass_s(5)
    door.acquire(ticket="the probe")
    assert door.release("the probe") == "closed"
    assert door.acquire() == Granted()


def test_what_left_before_an_outage_says_nothing_of_it(door: Door, clock: Clock) -> None:
    for ticket in door.leave(8):
        door.release(ticket)
    well, bad, late, later, latest = door.leave(5)
    clock.pass_s(1)
    door.open("timed_out", after=5)
    clock.pass_s(4)
    assert [door.release(well), door.release(bad, "overloaded")] == ["", ""]
    assert _why(door.acquire()) == CIRCUIT_OPEN
    clock.pass_s(1)
    door.acquire(ticket="the probe")  # as due as if nothing had come
    door.release("the probe")
    clock.pass_s(1)
    assert [door.release(ticket, "overloaded") for ticket in (late, later, latest)] == ["", "", ""]
    assert door.acquire() == Granted()


def test_a_model_that_is_back_starts_slowly(door: Door, clock: Clock) -> None:
    for _ in range(4):
        for ticket in door.leave(FIRST):
            door.release(ticket)
    door.leave(2 * FIRST - 1)  # it has grown
    clock.pass_s(200)  # and they are lost
    door.open()
    clock.pass_s(5)
    door.acquire(ticket="the probe")
    door.release("the probe")
    assert FIRST <= [_why(door.acquire()) for _ in range(2 * FIRST)].count("go") < 2 * FIRST


def test_a_model_that_is_back_starts_with_half_of_what_it_took_before_the_outage(door: Door, clock: Clock) -> None:
    for flight in (FIRST, 22, 30, 40):
        for ticket in door.leave(flight):
            door.release(ticket)
    before = door.leave(4)
    for _ in range(4):
        clock.pass_s(0.1)
        assert door.through("overloaded") == ""
        door.release(before.pop())
    clock.pass_s(0.1)
    assert door.through("overloaded") == "opened"
    clock.pass_s(5)
    door.acquire(ticket="the probe")
    door.release("the probe")
    assert [_why(door.acquire()) for _ in range(72)].count("go") >= FIRST * 3 // 2


def test_a_model_that_is_reported_slow_is_out_until_a_probe_is_not_slow(door: Door, clock: Clock) -> None:
    _have_answered(door, 8)
    assert door.through(is_slow=True) == "opened"
    later = door.acquire()
    assert isinstance(later, Denied)
    assert later.details["kind"] == "slow"
    clock.pass_s(5)
    door.acquire(ticket="slow")
    assert door.release("slow", is_slow=True) == ""
    clock.pass_s(6)
    door.acquire(ticket="fast")
    assert door.release("fast") == "closed"


def test_a_slow_probe_ends_an_outage_that_was_no_slowness(door: Door, clock: Clock) -> None:
    door.open()
    clock.pass_s(5)
    door.acquire(ticket="slow")
    assert door.release("slow", is_slow=True) == "closed"


def test_a_probe_that_takes_an_hour_is_alone_for_150_seconds_and_still_believed(door: Door, clock: Clock) -> None:
    door.open()
    clock.pass_s(5)
    door.acquire(ticket="long", hold_s=3_630)
    clock.pass_s(149)
    assert _why(door.acquire()) == CIRCUIT_OPEN
    clock.pass_s(1)
    assert door.acquire() == Granted(is_probe=True)
    clock.pass_s(1)
    assert door.release("long") == "closed"


def _have_answered(door: Door, how_many: int) -> None:
    for _ in range(how_many // 8):
        for ticket in door.leave(8):
            door.release(ticket)
