"""Promises of admission control for a chain with several endpoints: outages of a whole one, its one probe, its key."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.support.plays.admission_scripts import Clock, Door
from worker.admission.admission import CIRCUIT_OPEN, PAUSED, Denied, Granted, ResultKind
from worker.admission.lua_script import LuaScript, Tuning


@dataclass(slots=True)
class Doors:
    """Two models of the usual API and one of another endpoint, before one admission control."""

    opus: Door
    sonnet: Door
    elsewhere: Door


def _doors(door: Door, rungs: Mapping[str, int]) -> Doors:
    tuning = Tuning(probe_every_s=5, key_pause_s=60, rungs=rungs)
    admission = LuaScript(door.admission._run_script, tuning, now=door.clock)  # noqa: SLF001 - on the fixture's host
    opus, sonnet, elsewhere = (Door(admission, door.clock, model, model) for model in ("opus", "sonnet", "cloud/opus"))
    return Doors(opus, sonnet, elsewhere)


@pytest.fixture
def doors(door: Door) -> Doors:
    """Give a chain with two endpoints."""
    return _doors(door, {"anthropic": 2, "cloud": 1})


def _denied(door: Door) -> tuple[str, object]:
    answer = door.acquire()
    return (answer.reason, answer.details["kind"]) if isinstance(answer, Denied) else ("go", "")


@pytest.mark.parametrize("how", ["overloaded", "server_error", "timed_out"])
def test_an_endpoint_is_out_if_a_second_model_fails_while_the_first_is_out(doors: Doors, how: ResultKind) -> None:
    doors.opus.open(how)
    assert _denied(doors.sonnet) == ("go", "")
    assert [doors.sonnet.through(how) for _ in range(2)] == ["", "endpoint_opened"]
    assert [_denied(door) for door in (doors.opus, doors.sonnet)] == [(CIRCUIT_OPEN, "outage")] * 2
    assert _denied(doors.elsewhere) == ("go", "")


def test_one_failure_of_a_second_model_is_noise(doors: Doors, clock: Clock) -> None:
    doors.opus.open()
    ends: tuple[ResultKind, ...] = ("overloaded", "well", "overloaded", "well")
    for how in ends:
        clock.pass_s(0.1)
        assert doors.sonnet.through(how) == ""


def test_a_model_that_is_back_or_failed_long_ago_makes_no_outage(doors: Doors, clock: Clock) -> None:
    doors.opus.open()
    clock.pass_s(5)
    assert doors.opus.through() == "closed"
    doors.sonnet.open()
    clock.pass_s(61)
    assert [doors.opus.through("overloaded") for _ in range(2)] == ["", ""]


def test_an_endpoint_that_nobody_reaches_is_out_at_once(doors: Doors) -> None:
    assert [doors.opus.through("unreachable") for _ in range(3)] == ["", "", "endpoint_opened"]
    assert _denied(doors.sonnet) == (CIRCUIT_OPEN, "outage")


def test_the_only_model_of_an_endpoint_is_the_endpoint(doors: Doors) -> None:
    assert [doors.elsewhere.through("server_error") for _ in range(3)] == ["", "", "endpoint_opened"]
    assert _denied(doors.opus) == ("go", "")


def test_a_name_that_an_endpoint_does_not_know_says_nothing_about_the_endpoint(doors: Doors) -> None:
    assert doors.elsewhere.through("missing") == "opened"
    assert doors.opus.through("missing") == "opened"
    assert doors.sonnet.through("missing") == "opened"


def test_one_probe_an_interval_is_for_the_whole_endpoint(doors: Doors, clock: Clock) -> None:
    assert doors.opus.through("unreachable") == ""
    assert [doors.opus.through("unreachable") for _ in range(2)] == ["", "endpoint_opened"]
    clock.pass_s(5)
    (probe,) = doors.sonnet.leave(1)
    assert [_denied(door) for door in (doors.opus, doors.sonnet)] == [(CIRCUIT_OPEN, "outage")] * 2
    assert doors.sonnet.release(probe, "overloaded") == ""
    assert _denied(doors.opus) == (CIRCUIT_OPEN, "outage")
    clock.pass_s(6)
    answer = doors.opus.acquire(ticket="next")
    assert isinstance(answer, Granted)
    assert answer.is_probe
    assert doors.opus.release("next") == "endpoint_closed"
    assert [_denied(door) for door in (doors.opus, doors.sonnet)] == [("go", "")] * 2


def test_the_probe_of_an_outage_may_be_any_model_whatever_its_own_breaker_says(doors: Doors, clock: Clock) -> None:
    [doors.opus.through("unreachable") for _ in range(3)]
    for _ in range(4):  # the endpoint and this model are probed less and less
        clock.pass_s(10)
        assert doors.opus.through("unreachable") == ""
    free = doors.opus.admission.capacity({"opus": "opus", "sonnet": "sonnet"}, horizon_s=1)
    assert {one.is_closed for one in free.values()} == {True}
    clock.pass_s(10)
    free = doors.opus.admission.capacity({"opus": "opus", "sonnet": "sonnet"}, horizon_s=1)
    assert [one.free for one in free.values()] == [1, 1]
    assert doors.opus.through() == "endpoint_closed"
    assert doors.opus.through() == ""


def test_an_endpoint_that_refuses_the_key_is_reached(doors: Doors, clock: Clock) -> None:
    [doors.opus.through("unreachable") for _ in range(3)]
    clock.pass_s(5)
    assert doors.opus.through("key_refused") == "endpoint_closed"


def test_a_key_that_is_refused_pauses_its_own_endpoint_alone(doors: Doors) -> None:
    doors.elsewhere.through("key_refused")
    assert _denied(doors.elsewhere) == (PAUSED, "key_refused")
    assert [_denied(door) for door in (doors.opus, doors.sonnet)] == [("go", "")] * 2


def test_failures_under_way_make_the_pause_of_a_key_no_shorter(doors: Doors) -> None:
    under_way = doors.opus.leave(4)
    doors.sonnet.through("key_refused")
    for ticket in under_way:
        doors.opus.release(ticket, "unreachable")
    answer = doors.opus.acquire()
    assert isinstance(answer, Denied)
    assert (answer.reason, answer.wait_s) == (PAUSED, 60)


def test_a_chain_with_one_endpoint_has_no_outage_of_all(door: Door) -> None:
    doors = _doors(door, {})
    for each in (doors.opus, doors.sonnet):
        each.open("unreachable")
    assert [_denied(each) for each in (doors.opus, doors.sonnet)] == [(CIRCUIT_OPEN, "unreachable")] * 2
