"""Promises of admission control of a group's limits, wherever its script runs: buckets, headers, 429s and promises."""

from itertools import pairwise
from typing import Any, cast

import pytest

from tests.support.plays.admission_scripts import FIRST, Clock, Door
from worker.admission.admission import FULL, LIMITED, Capacity, Denied, Granted

_FULL = {"requests": (600, 599), "input": (60_000, 60_000), "output": (12_000, 12_000)}  # 10, 1,000 and 200 a second


def _limited(answer: Granted | Denied) -> Denied:
    assert isinstance(answer, Denied), answer
    assert answer.reason == LIMITED, answer
    return answer


def _passed(door: Door, **words: Any) -> int:
    """Have requests pass one after the other, as they were expected to, until one may not at once."""
    count = 0
    while door.acquire(ticket=f"{door.clock()}-{count}", **words) == Granted():
        output, read = words.get("output_tokens", 50), words.get("input_tokens", 100)
        door.release(f"{door.clock()}-{count}", input_tokens=read, output_tokens=output)
        count += 1
    return count


def test_limits_are_unknown_until_a_reply_tells_them(door: Door) -> None:
    assert door.acquire(input_tokens=10_000_000) == Granted()


def test_as_many_leave_as_the_limit_has_but_for_what_is_kept_for_the_urgent(door: Door) -> None:
    door.through(limits={"requests": (600, 600)})
    assert _passed(door) == 594
    assert [door.acquire(is_urgent=True) for _ in range(5)] == [Granted()] * 5


@pytest.mark.parametrize(("kind", "words"), [("input", {"input_tokens": 600}), ("output", {"output_tokens": 600})])
def test_tokens_are_limits_too(door: Door, kind: str, words: dict[str, int]) -> None:
    door.through(limits={kind: (60_000, 60_000)})
    assert _passed(door, **words) == 99
    while isinstance(later := door.acquire(**words), Granted):
        pass  # a few are granted in hand
    assert later.details["limit"] == kind


def test_buckets_fill_all_the_time_and_never_over(door: Door, clock: Clock) -> None:
    door.through(limits={"requests": (600, 600)})
    _passed(door)
    clock.pass_s(6)
    assert 59 <= _passed(door) <= 60  # the last one before was granted on credit
    clock.pass_s(600)
    assert _passed(door) <= 595


def test_a_short_wait_is_granted_with_what_it_waits_for(door: Door) -> None:
    door.through(limits={"requests": (600, 600)})
    _passed(door)
    waits = [answer.after_s for _ in range(7) if isinstance(answer := door.acquire(), Granted)]
    assert waits == sorted(waits)
    assert 0 < waits[0] < waits[-1] <= 1


def test_a_longer_wait_is_told_with_its_figures(door: Door) -> None:
    door.through(limits={"output": (600, 100)})
    later = _limited(door.acquire(output_tokens=200))
    assert later.wait_s == pytest.approx((200 + 6 - 100) / 10)
    assert later.details == {"limit": "output", "left": 100.0, "needs": 200.0, "per_minute": 600.0}


def test_what_was_not_used_is_there_for_others(door: Door) -> None:
    door.through(limits={"output": (60_000, 10_000)})
    ticket = "modest"
    door.acquire(ticket=ticket, output_tokens=8_000)
    _limited(door.acquire(output_tokens=8_000))
    door.release(ticket, output_tokens=10)
    assert isinstance(door.acquire(output_tokens=8_000), Granted)


def test_what_did_not_leave_took_nothing(door: Door) -> None:
    door.through(limits={"input": (60_000, 10_000)})
    door.acquire(ticket="kept", input_tokens=8_000)
    door.release("kept", "not_sent")
    assert door.acquire(input_tokens=8_000) == Granted()


def test_models_of_one_group_share_its_limits(door: Door, clock: Clock) -> None:
    door.through(limits={"input": (60_000, 10_000)})
    sister = Door(door.admission, clock, model="opus-older", group=door.group)
    other = Door(door.admission, clock, model="haiku", group="haiku-4")
    door.acquire(input_tokens=8_000)
    _limited(sister.acquire(input_tokens=8_000))
    assert other.acquire(input_tokens=8_000) == Granted()


def test_a_request_larger_than_the_limit_needs_a_full_bucket(door: Door) -> None:
    door.through(limits={"input": (10_000, 10_000)})
    assert door.acquire(input_tokens=1_000_000) == Granted()


def test_what_others_use_is_seen_in_the_headers(door: Door) -> None:
    door.through(limits={"input": (60_000, 60_000)})
    door.through(limits={"input": (60_000, 20_000)})
    assert _passed(door, input_tokens=1_000) <= 19


def test_what_others_use_is_taken_once_however_many_replies_tell_it(door: Door) -> None:
    door.through(limits={"input": (60_000, 60_000)})
    tickets = door.leave(8, input_tokens=1_000)
    for number, ticket in enumerate(tickets, start=1):
        # Somebody took 10,000 before all of them.
        door.release(ticket, input_tokens=1_000, limits={"input": (60_000, 50_000 - 1_000 * number)})
    left = door.admission.capacity({door.model: door.group}, horizon_s=0)
    assert _passed(door, input_tokens=1_000) == 60 - 10 - 8 - 1
    assert left[door.model].free > 0


def test_replies_that_overtake_each_other_lose_nothing_for_long(door: Door) -> None:
    door.through(limits={"input": (60_000, 60_000)})
    for _ in range(10):
        tickets = door.leave(8, input_tokens=100)
        level = 60_000
        for ticket in reversed(tickets):  # each saw the level before those that left earlier had arrived
            level -= 100
            door.release(ticket, input_tokens=100, limits={"input": (60_000, level)})
        door.clock.pass_s(10)
    assert _passed(door, input_tokens=1_000) >= 56


def test_output_that_is_still_being_written_is_no_error(door: Door) -> None:
    door.through(limits={"output": (12_000, 12_000)})
    tickets = door.leave(8, output_tokens=1_000)
    for ticket in tickets:  # the provider takes output when it is written: headers tell of none of it
        door.release(ticket, output_tokens=1_000, limits={"output": (12_000, 12_000)})
    assert _passed(door, output_tokens=1_000) <= 4


def test_a_limit_that_was_raised_is_used(door: Door, clock: Clock) -> None:
    door.through(limits={"requests": (60, 60)})
    door.through(limits={"requests": (600, 590)})
    clock.pass_s(60)
    assert _passed(door) > 500


def test_after_a_429_the_group_rests_as_long_as_it_was_told(door: Door, clock: Clock) -> None:
    door.through("limited", retry_after_s=900.0)
    assert _limited(door.acquire()).wait_s == pytest.approx(900)
    clock.pass_s(900)
    assert door.acquire() == Granted()


def test_without_a_retry_after_the_rest_doubles_while_it_goes_on(door: Door, clock: Clock) -> None:
    waits: list[float] = []
    for _ in range(8):
        door.through("limited")
        waits.append(_limited(door.acquire(patience_s=0)).wait_s if waits else 1.0)
        clock.pass_s(waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_flight_that_is_answered_429_counts_once(door: Door, clock: Clock) -> None:
    tickets = door.leave(8)
    clock.pass_s(1)
    for ticket in tickets:
        door.release(ticket, "limited")
    clock.pass_s(1)
    assert door.acquire() == Granted()


def test_after_a_429_what_was_used_up_is_used_up(door: Door, clock: Clock) -> None:
    door.through(limits=_FULL)
    door.through("limited", retry_after_s=1.0, limits={"requests": (600, 400), "output": (12_000, 0)})
    clock.pass_s(1)
    later = _limited(door.acquire(output_tokens=1_000, patience_s=60))
    assert later.details["limit"] == "output"


def test_a_large_request_is_not_kept_waiting_by_small_ones(door: Door, clock: Clock) -> None:
    door.through(limits={"input": (20_000, 3_000)})
    wait_s = _limited(door.acquire(job="large", input_tokens=17_000, patience_s=60)).wait_s
    came_at = clock.at
    while clock.at < came_at + wait_s:
        _limited(door.acquire(patience_s=0, input_tokens=1_000))
        clock.pass_s(1)
    assert isinstance(door.acquire(job="large", input_tokens=17_000, has_waited=True), Granted)


def test_those_who_wait_are_told_times_one_after_the_other(door: Door) -> None:
    door.through(limits={"requests": (60, 10)})
    _passed(door)
    while isinstance(door.acquire(), Granted):
        pass
    waits = [_limited(door.acquire(patience_s=30)).wait_s for _ in range(10)]
    gaps = [after - before for before, after in pairwise(waits)]
    assert gaps == [pytest.approx(1.0, abs=0.01)] * 9


def test_who_comes_when_all_is_promised_sees_a_wait_beyond_patience(door: Door) -> None:
    door.through(limits={"requests": (60, 0)})
    waits = [_limited(door.acquire(patience_s=10)).wait_s for _ in range(100)]
    assert max(waits) < 12  # and no promise is made beyond it: those who step down push nobody back


def test_who_waited_goes_before_newcomers(door: Door, clock: Clock) -> None:
    door.through(limits={"requests": (60, 0)})
    promised = [_limited(door.acquire(patience_s=60)).wait_s for _ in range(20)]
    for wait in promised[:10]:
        clock.pass_s(max(0.0, 1_800_000_000 + wait - clock.at))
        _limited(door.acquire(patience_s=0))
        ticket = f"{wait}"
        assert isinstance(door.acquire(ticket=ticket, has_waited=True), Granted)
        door.release(ticket)


def test_who_waits_for_a_place_is_promised_what_it_needs(door: Door) -> None:
    door.through(limits={"requests": (60, FIRST + 2)})
    tickets = door.leave(FIRST)
    assert [cast("Denied", door.acquire(patience_s=60)).reason for _ in range(4)] == [FULL] * 4
    for ticket in tickets:
        door.release(ticket)
    _limited(door.acquire(patience_s=0))
    assert isinstance(door.acquire(has_waited=True), Granted)


def test_who_waited_and_will_not_wait_again_gives_up_what_it_was_promised(door: Door) -> None:
    door.through(limits={"requests": (20, 0)})  # one in 3 s
    before = _limited(door.acquire(patience_s=0)).wait_s
    for number in range(30):
        for _ in range(3):  # however often a job asks, it has one place in the line
            door.acquire(job=f"job {number}", patience_s=600, input_tokens=400)
    assert _limited(door.acquire(patience_s=0)).wait_s == pytest.approx(before + 30 * 3)
    for number in range(30):
        _limited(door.acquire(job=f"job {number}", patience_s=0, has_waited=True, input_tokens=100))
    assert _limited(door.acquire(patience_s=0)).wait_s == pytest.approx(before)


def test_a_promise_that_nobody_comes_for_is_not_kept_for_ever(door: Door, clock: Clock) -> None:
    door.through(limits={"requests": (60, 1)})
    for _ in range(30):
        door.acquire(patience_s=60)
    clock.pass_s(1_800)
    assert door.acquire(patience_s=0) == Granted()


def test_room_is_what_limits_and_flight_leave(door: Door) -> None:
    models = {door.model: door.group}
    assert door.admission.capacity(models, horizon_s=0) == {door.model: Capacity(free=FIRST, is_closed=False)}
    door.through(limits={"output": (600, 300)}, output_tokens=50)
    assert door.admission.capacity(models, horizon_s=0)[door.model].free == (300 - 12) // 50
    door.leave(5)
    assert door.admission.capacity(models, horizon_s=0)[door.model] == Capacity(free=0, is_closed=False)


def test_a_closed_group_has_no_room_and_a_model_to_be_probed_has_one(door: Door, clock: Clock) -> None:
    models = {door.model: door.group}
    door.open("timed_out")
    assert door.admission.capacity(models, horizon_s=2) == {door.model: Capacity(free=0, is_closed=True)}
    clock.pass_s(5)
    assert door.admission.capacity(models, horizon_s=2) == {door.model: Capacity(free=1, is_closed=False)}
    door.through("limited", retry_after_s=30.0)
    assert door.admission.capacity(models, horizon_s=2) == {door.model: Capacity(free=0, is_closed=True)}


def test_looking_for_room_changes_nothing(door: Door, clock: Clock) -> None:
    door.through(limits={kind: limit for kind, limit in _FULL.items() if kind != "requests"})
    tickets = door.leave(FIRST, hold_s=10)
    clock.pass_s(11)
    for _ in range(3):
        door.admission.capacity({door.model: door.group}, horizon_s=60)
    assert door.admission.capacity({door.model: door.group}, horizon_s=0)[door.model].free == FIRST
    assert [door.release(ticket) for ticket in tickets] == [""] * FIRST


def test_a_job_that_finds_its_model_out_of_rotation_gives_its_place_up(door: Door, clock: Clock) -> None:
    door.through(limits={"requests": (60, 5)})  # one a second
    tickets = door.leave(3)
    while isinstance(door.acquire(patience_s=0), Granted):
        pass
    for number in range(30):
        _limited(door.acquire(job=f"job {number}", patience_s=60))
    assert "opened" in [door.release(ticket, "overloaded") for ticket in tickets]
    for number in range(30):
        assert isinstance(door.acquire(job=f"job {number}", has_waited=True), Denied)
    clock.pass_s(5)
    door.acquire(ticket="the probe")
    assert door.release("the probe") == "closed"
    clock.pass_s(10)
    assert door.acquire(patience_s=0) == Granted()
