"""What every turnstile promises of an outage, wherever its script runs: what opens a cooldown, probes, what ends it."""

from itertools import pairwise

import pytest

from tests.support.plays.admission_scripts import FIRST, Clock, Door
from worker.admission.admission import COOLING, Go, How, Later


def _why(answer: Go | Later) -> str:
    return answer.why if isinstance(answer, Later) else "go"


@pytest.mark.parametrize("how", ["overloaded", "server_error", "timed_out", "unreachable"])
def test_three_failures_in_a_row_take_a_model_out_of_rotation(door: Door, how: How) -> None:
    door.open(how)
    later = door.ask()
    assert isinstance(later, Later)
    assert (later.why, later.wait_s, later.figures["kind"]) == (COOLING, 5.0, how)


def test_failures_among_more_answers_are_no_outage(door: Door) -> None:
    ends: list[How] = ["overloaded", "overloaded", *["well"] * 4, "overloaded"]  # type: ignore[list-item]
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
        door.tell(ticket)
    assert door.through("overloaded") == "opened"


def test_quick_failures_are_no_outage_while_as_many_that_left_with_them_may_end_well(door: Door, clock: Clock) -> None:
    _have_answered(door, 64)
    before = door.leave(6)
    clock.pass_s(0.1)
    for ticket in before:
        door.leave(1)  # and takes its time
        assert door.through("overloaded") == ""
        door.tell(ticket)
    assert door.ask() == Go()


def test_an_answer_to_what_left_after_failures_ends_their_streak(door: Door, clock: Clock) -> None:
    _have_answered(door, 64)
    before = door.leave(8)
    clock.pass_s(0.1)
    for number, ticket in enumerate(before):
        if number == 4:
            clock.pass_s(0.1)
            door.through()
        assert door.through("overloaded") == ""
        door.tell(ticket)


def test_failures_of_long_ago_are_no_evidence(door: Door, clock: Clock) -> None:
    for _ in range(4):
        door.through("server_error")
        door.through("well")
        clock.pass_s(60)
    assert door.ask() == Go()


def test_one_job_that_fails_again_and_again_is_no_outage_while_others_end_well(door: Door) -> None:
    ends = [door.through("server_error", job="same"), door.through()]
    ends += [door.through("server_error", job="same") for _ in range(20)]
    assert set(ends) == {""}
    flight = door.leave(5)  # nor did more than the first cut it
    assert {door.tell(ticket) for ticket in flight} == {""}


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
    assert _why(door.ask(job="same")) == COOLING
    clock.pass_s(5)
    assert door.ask(ticket="again", job="same") == Go(is_probe=True)
    door.tell("again", "server_error")
    assert door.ask(ticket="another") == Go(is_probe=True)
    door.tell("another", "server_error")
    assert [_why(door.ask(job="same")), _why(door.ask())] == [COOLING, COOLING]


def test_a_job_that_ended_well_since_is_believed_again(door: Door) -> None:
    ends: list[tuple[How, str]] = [("server_error", "one"), ("well", "one"), ("server_error", "one")]
    assert {door.through(how, job=job) for how, job in ends} == {""}
    assert door.through("server_error", job="two") == "opened"


def test_a_probe_that_fails_its_job_again_keeps_nobody_else_waiting(door: Door, clock: Clock) -> None:
    assert [door.through("server_error", job=job) for job in ("known", "two", "three")] == ["", "", "opened"]
    clock.pass_s(600)
    assert door.ask(ticket="probe", job="known") == Go(is_probe=True)
    door.tell("probe", "server_error")
    clock.pass_s(5)
    assert _why(door.ask(job="known")) == COOLING
    assert door.ask(ticket="another") == Go(is_probe=True)
    door.tell("another", "server_error")
    clock.pass_s(59)
    assert [_why(door.ask(job="known")), _why(door.ask())] == [COOLING, COOLING]


def test_a_model_that_is_missing_is_out_at_once(door: Door) -> None:
    assert door.through("missing") == "opened"


def test_a_model_that_is_out_leaves_the_others_alone(door: Door, clock: Clock) -> None:
    door.open()
    assert Door(door.turnstile, clock, model="haiku", group="haiku-4").ask() == Go()


def test_when_a_probe_is_due_one_goes_and_nobody_beside_it(door: Door, clock: Clock) -> None:
    door.open()
    clock.pass_s(5)
    assert door.ask() == Go(is_probe=True)
    assert [_why(door.ask()) for _ in range(20)] == [COOLING] * 20


def test_a_dead_model_costs_one_call_an_interval_and_less_as_it_stays_dead(door: Door, clock: Clock) -> None:
    door.open()
    began_at, probed_at = clock.at, []
    while clock.at < began_at + 1_200:
        clock.pass_s(0.5)
        for number in range(3):
            ticket = f"{clock.at}-{number}"
            if isinstance(door.ask(ticket=ticket), Go):
                probed_at.append(clock.at - began_at)
                door.tell(ticket, "overloaded")
    gaps = [after - before for before, after in pairwise(probed_at)]
    assert min(gaps) >= 5
    assert 60 <= gaps[-1] <= 67
    assert len([at for at in probed_at if at <= 60]) <= 12


def test_a_probe_whose_worker_is_lost_makes_room_for_another(door: Door, clock: Clock) -> None:
    door.open()
    clock.pass_s(5)
    door.ask(ticket="lost", hold_s=30)
    clock.pass_s(29)
    assert _why(door.ask()) == COOLING
    clock.pass_s(1)
    assert door.ask() == Go(is_probe=True)
    assert door.tell("lost", "overloaded") == ""


def test_a_probe_that_did_not_leave_is_no_answer(door: Door, clock: Clock) -> None:
    door.open()
    clock.pass_s(5)
    door.ask(ticket="kept")
    assert door.tell("kept", "not_sent") == ""
    assert door.ask() == Go(is_probe=True)


def test_a_probe_that_is_answered_brings_the_model_back(door: Door, clock: Clock) -> None:
    door.open()
    clock.pass_s(5)
    door.ask(ticket="the probe")
    assert door.tell("the probe") == "closed"
    assert door.ask() == Go()


def test_what_left_before_an_outage_says_nothing_of_it(door: Door, clock: Clock) -> None:
    for ticket in door.leave(8):
        door.tell(ticket)
    well, bad, late, later, latest = door.leave(5)
    clock.pass_s(1)
    door.open("timed_out", after=5)
    clock.pass_s(4)
    assert [door.tell(well), door.tell(bad, "overloaded")] == ["", ""]
    assert _why(door.ask()) == COOLING
    clock.pass_s(1)
    door.ask(ticket="the probe")  # as due as if nothing had come
    door.tell("the probe")
    clock.pass_s(1)
    assert [door.tell(ticket, "overloaded") for ticket in (late, later, latest)] == ["", "", ""]
    assert door.ask() == Go()


def test_a_model_that_is_back_starts_slowly(door: Door, clock: Clock) -> None:
    for _ in range(4):
        for ticket in door.leave(FIRST):
            door.tell(ticket)
    door.leave(2 * FIRST - 1)  # it has grown
    clock.pass_s(200)  # and they are lost
    door.open()
    clock.pass_s(5)
    door.ask(ticket="the probe")
    door.tell("the probe")
    assert FIRST <= [_why(door.ask()) for _ in range(2 * FIRST)].count("go") < 2 * FIRST


def test_a_model_that_is_back_starts_with_half_of_what_it_took_before_the_outage(door: Door, clock: Clock) -> None:
    for flight in (FIRST, 22, 30, 40):
        for ticket in door.leave(flight):
            door.tell(ticket)
    before = door.leave(4)
    for _ in range(4):
        clock.pass_s(0.1)
        assert door.through("overloaded") == ""
        door.tell(before.pop())
    clock.pass_s(0.1)
    assert door.through("overloaded") == "opened"
    clock.pass_s(5)
    door.ask(ticket="the probe")
    door.tell("the probe")
    assert [_why(door.ask()) for _ in range(72)].count("go") >= FIRST * 3 // 2


def test_a_model_that_is_reported_slow_is_out_until_a_probe_is_not_slow(door: Door, clock: Clock) -> None:
    _have_answered(door, 8)
    assert door.through(is_slow=True) == "opened"
    later = door.ask()
    assert isinstance(later, Later)
    assert later.figures["kind"] == "slow"
    clock.pass_s(5)
    door.ask(ticket="slow")
    assert door.tell("slow", is_slow=True) == ""
    clock.pass_s(6)
    door.ask(ticket="fast")
    assert door.tell("fast") == "closed"


def test_a_slow_probe_ends_an_outage_that_was_no_slowness(door: Door, clock: Clock) -> None:
    door.open()
    clock.pass_s(5)
    door.ask(ticket="slow")
    assert door.tell("slow", is_slow=True) == "closed"


def test_a_probe_that_takes_an_hour_is_alone_for_150_seconds_and_still_believed(door: Door, clock: Clock) -> None:
    door.open()
    clock.pass_s(5)
    door.ask(ticket="long", hold_s=3_630)
    clock.pass_s(149)
    assert _why(door.ask()) == COOLING
    clock.pass_s(1)
    assert door.ask() == Go(is_probe=True)
    clock.pass_s(1)
    assert door.tell("long") == "closed"


def _have_answered(door: Door, how_many: int) -> None:
    for _ in range(how_many // 8):
        for ticket in door.leave(8):
            door.tell(ticket)
